//! A token server: gives access tokens for refresh tokens (RFC 6749, 6) over plain HTTP on loopback, and says
//! to a mail server whose a token is (RFC 7662). It remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::listener::Listener;

/// The largest request that is read.
const LARGEST_REQUEST: usize = 1 << 20;

#[derive(Debug)]
struct State {
    /// Whose mail a refresh token opens.
    refresh: BTreeMap<String, String>,
    /// Whose mail an access token opens, and how many logins it is still good for.
    access: BTreeMap<String, (String, usize)>,
    uses: usize,
    issued: usize,
    rotates: bool,
    life_s: u64,
    /// What the next requests are answered, in the place of a token: status and body.
    refusals: Vec<(u16, String)>,
    asked: Vec<BTreeMap<String, String>>,
    introspected: usize,
}

/// A running token server.
#[derive(Debug)]
pub struct TokenServer {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl TokenServer {
    /// Starts one that knows no refresh token. Its access tokens live an hour.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start() -> Result<Self> {
        let state = Arc::new(Mutex::new(State {
            refresh: BTreeMap::new(),
            access: BTreeMap::new(),
            uses: usize::MAX,
            issued: 0,
            rotates: false,
            life_s: 3600,
            refusals: Vec::new(),
            asked: Vec::new(),
            introspected: 0,
        }));
        let shared = Arc::clone(&state);
        let listener = Listener::start("a token server", move |stream| serve(stream, &shared))?;
        Ok(Self { listener, state })
    }

    /// Where access tokens are given.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.listener.port())
    }

    /// Where it says whose a token is.
    #[must_use]
    pub fn introspection_url(&self) -> String {
        format!("http://127.0.0.1:{}/introspect", self.listener.port())
    }

    /// From now on this refresh token opens the mail of `user`.
    pub fn consent(&self, refresh_token: &str, user: &str) {
        lock(&self.state)
            .refresh
            .insert(refresh_token.to_owned(), user.to_owned());
    }

    /// Forgets every refresh token, as when the owner withdraws his consent.
    pub fn withdraw(&self) {
        lock(&self.state).refresh.clear();
    }

    /// Gives a new refresh token with each access token; the one that was used is good no more.
    pub fn rotate(&self) {
        lock(&self.state).rotates = true;
    }

    /// Tells this life of access tokens from now on.
    pub fn set_life_s(&self, life_s: u64) {
        lock(&self.state).life_s = life_s;
    }

    /// Ends each access token after so many logins, whatever life was told.
    pub fn set_uses(&self, uses: usize) {
        lock(&self.state).uses = uses;
    }

    /// Answers the next requests with these, in order, before it gives a token again.
    pub fn refuse_next(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(s, body)| (*s, (*body).to_owned()));
        lock(&self.state).refusals.extend(answers);
    }

    /// The token requests so far, each as its fields.
    #[must_use]
    pub fn asked(&self) -> Vec<BTreeMap<String, String>> {
        lock(&self.state).asked.clone()
    }

    /// How often a mail server asked whose a token is.
    #[must_use]
    pub fn introspected(&self) -> usize {
        lock(&self.state).introspected
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers what comes on one connection until the other side closes it.
fn serve(stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line
            .split(' ')
            .nth(1)
            .context("no request line")?
            .to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 {
                bail!("cut in the headers");
            }
            let header = header.trim();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        if length > LARGEST_REQUEST {
            bail!("too large");
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let form = fields(&String::from_utf8(body)?);
        let (status, body) = if path.starts_with("/introspect") {
            lock(state).introspect(&form)
        } else {
            lock(state).token(form)
        };
        write!(
            writer,
            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        writer.flush()?;
    }
}

impl State {
    fn token(&mut self, form: BTreeMap<String, String>) -> (u16, String) {
        self.asked.push(form.clone());
        if !self.refusals.is_empty() {
            return self.refusals.remove(0);
        }
        let used = form.get("refresh_token").cloned().unwrap_or_default();
        let user = self.refresh.get(&used).cloned();
        let (Some(user), Some("refresh_token")) =
            (user, form.get("grant_type").map(String::as_str))
        else {
            let said = serde_json::json!({
                "error": "invalid_grant",
                "error_description": format!("the token {used} was withdrawn"),
            });
            return (400, said.to_string());
        };
        self.issued += 1;
        let access = format!("access-{}-{}", self.issued, "x".repeat(400));
        self.access
            .insert(access.clone(), (user.clone(), self.uses));
        let mut said = serde_json::json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.life_s,
        });
        if self.rotates {
            let next = format!("refresh-{}", self.issued);
            self.refresh.remove(&used);
            self.refresh.insert(next.clone(), user);
            if let Some(fields) = said.as_object_mut() {
                fields.insert("refresh_token".to_owned(), next.into());
            }
        }
        (200, said.to_string())
    }

    fn introspect(&mut self, form: &BTreeMap<String, String>) -> (u16, String) {
        self.introspected += 1;
        let token = form
            .get("token")
            .and_then(|token| self.access.get_mut(token));
        let said = match token {
            Some((user, left)) if *left > 0 => {
                *left -= 1;
                serde_json::json!({ "active": true, "username": user })
            }
            _ => serde_json::json!({ "active": false }),
        };
        (200, said.to_string())
    }
}

/// `application/x-www-form-urlencoded`.
fn fields(form: &str) -> BTreeMap<String, String> {
    form.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|d| d.unwrap_or(b'0'));
                let digits = String::from_utf8_lossy(&digits).into_owned();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let found = fields("grant_type=refresh_token&scope=a+b%2Fc&x=");
        let found: Vec<_> = found
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("grant_type", "refresh_token"),
                ("scope", "a b/c"),
                ("x", "")
            ]
        );
    }
}
