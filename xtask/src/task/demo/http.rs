//! A tiny client of the server's API: plain HTTP on loopback, JSON, one connection a call.
//!
//! It finds each operation's path and method in `/openapi.json` by its id, as any client may.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::lab::daemon::until;

/// The API of one server, as one person.
#[derive(Debug)]
pub(super) struct Api {
    port: u16,
    token: Option<String>,
    /// Method and path template by operation id.
    operations: BTreeMap<String, (String, String)>,
}

impl Api {
    /// Waits until the server answers, as long as `check` passes, and learns its operations.
    pub(super) fn connect(port: u16, mut check: impl FnMut() -> Result<()>) -> Result<Self> {
        let mut api = Self {
            port,
            token: None,
            operations: BTreeMap::new(),
        };
        let mut document = Value::Null;
        until(Duration::from_secs(30), "the server's answer", || {
            check()?;
            if let Ok(answer) = api.request("GET", "/openapi.json", None) {
                document = answer;
            }
            Ok(!document.is_null())
        })?;
        let paths = document
            .get("paths")
            .and_then(Value::as_object)
            .context("no paths in /openapi.json")?;
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                if let Some(id) = operation.get("operationId").and_then(Value::as_str) {
                    api.operations
                        .insert(id.to_owned(), (method.to_uppercase(), path.clone()));
                }
            }
        }
        Ok(api)
    }

    /// Becomes somebody.
    pub(super) fn login(&mut self, email: &str, password: &str) -> Result<()> {
        let answer = self.call(
            "login",
            &[],
            Some(&json!({ "email": email, "password": password })),
        )?;
        let token = answer
            .get("access_token")
            .and_then(Value::as_str)
            .context("the login gave no token")?;
        self.token = Some(token.to_owned());
        Ok(())
    }

    /// Calls an operation that makes something, and gives its id.
    pub(super) fn create(
        &self,
        operation: &str,
        parameters: &[(&str, &str)],
        body: &Value,
    ) -> Result<String> {
        let made = self.call(operation, parameters, Some(body))?;
        Ok(made
            .get("id")
            .and_then(Value::as_str)
            .with_context(|| format!("{operation} gave no id: {made}"))?
            .to_owned())
    }

    /// Calls an operation by its id.
    pub(super) fn call(
        &self,
        operation: &str,
        parameters: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value> {
        let (method, template) = self
            .operations
            .get(operation)
            .with_context(|| format!("the server has no operation {operation}"))?;
        let mut path = template.clone();
        for (name, value) in parameters {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        self.request(method, &path, body)
            .with_context(|| operation.to_owned())
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .context("connecting to the server")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        // HTTP/1.0: the answer is whole and ends with the connection.
        let mut request = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nAccept: application/json\r\n",
            self.port
        );
        if let Some(token) = &self.token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            request.push_str("Content-Type: application/json\r\n");
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = String::from_utf8(answer).context("the server's answer is not text")?;
        let (head, body) = text
            .split_once("\r\n\r\n")
            .context("the server's answer has no end of its head")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            bail!("{method} {path}: {status} {body}");
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(body).with_context(|| format!("{method} {path}: {body}"))
    }
}
