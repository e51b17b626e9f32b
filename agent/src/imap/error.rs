//! What can go wrong with a mail server, said so that a technician can act on it.

use std::fmt;
use std::time::Duration;

use maildreieck_api_spec::runs::FailureCode;
use maildreieck_api_spec::vocabulary::Corner;

/// Which way a command or a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No connection came about.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// User name or password refused.
    Login,
    /// User name or access token refused.
    Token,
    /// There is no access token, and there will be none until somebody does something.
    NoToken,
    /// The token server gives no access token at the moment.
    TokenServer,
    /// The server answered NO.
    No,
    /// The target account is full.
    OverQuota,
    /// The server wants to be left alone for a while.
    BackOff,
    /// The server answered BAD: what it did with the rest is unknown, so the connection is closed.
    Bad,
    /// The server said BYE.
    Bye,
    /// The connection ended in the middle.
    Cut,
    /// Nothing came for too long.
    Silent,
    /// The answer is not what the protocol promises.
    Unexpected,
    /// Another folder has the name of the one that was listed.
    Replaced,
}

/// A failure of one command on one account: which, in which folder, why, and whether trying again helps.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ImapError {
    /// Which way.
    pub kind: Kind,
    /// The account's corner.
    pub corner: Corner,
    /// Host and port.
    pub server: String,
    /// The command's name, or the step before the first command.
    pub command: &'static str,
    /// The folder it was about.
    pub folder: Option<String>,
    /// The server's own words or the system's, cut short.
    pub text: String,
}

impl ImapError {
    /// Whether trying again later can help without anybody doing anything.
    #[must_use]
    pub fn temporary(&self) -> bool {
        match self.kind {
            Kind::Connect
            | Kind::Bye
            | Kind::Cut
            | Kind::Silent
            | Kind::TokenServer
            | Kind::BackOff
            | Kind::Replaced => true,
            // A folder that is gone since it was listed is no more in the next list.
            Kind::No => {
                passes(&self.text) || matches!(self.command, "EXAMINE" | "SELECT" | "STATUS")
            }
            Kind::Tls
            | Kind::Login
            | Kind::Token
            | Kind::NoToken
            | Kind::OverQuota
            | Kind::Bad
            | Kind::Unexpected => false,
        }
    }

    /// Whether every other connection of the account would meet the same. One that went silent has been waited for
    /// long enough: another is left to the next run.
    #[must_use]
    pub fn concerns_account(&self) -> bool {
        matches!(
            self.kind,
            Kind::Login
                | Kind::Token
                | Kind::NoToken
                | Kind::TokenServer
                | Kind::OverQuota
                | Kind::BackOff
                | Kind::Silent
        )
    }

    /// Whether the connection ended in the middle: what came whole stands, and another may bring the rest.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.kind, Kind::Cut | Kind::Bye)
    }

    /// Whether the server refuses this folder and may show the others: it lists the folder and does not let it be
    /// opened, as any server does without the right to read (RFC 4314, 4).
    #[must_use]
    pub fn refuses_folder(&self) -> bool {
        self.kind == Kind::No
            && matches!(self.command, "EXAMINE" | "STATUS")
            && !of_account(&self.text)
    }

    /// Whether the server says that the folder is not there: Dovecot goes on listing a parent that was deleted for
    /// its children's sake. It says so in words alone, others by RFC 5530's code.
    #[must_use]
    pub fn says_it_is_not_there(&self) -> bool {
        let lower = self.text.to_ascii_lowercase();
        let words = ["nonexistent", "doesn't exist", "does not exist"];
        self.refuses_folder() && words.iter().any(|words| lower.contains(words))
    }

    /// Whether the server says that the user may not do it (RFC 5530's NOPERM): it will go on saying so.
    #[must_use]
    pub fn lacks_rights(&self) -> bool {
        let lower = self.text.to_ascii_lowercase();
        self.kind == Kind::No
            && ["[noperm]", "permission denied", "access denied"]
                .iter()
                .any(|words| lower.contains(words))
    }

    /// Whether folders were renamed, replaced or deleted since they were listed: the list is of no use any more.
    #[must_use]
    pub fn outdates_the_list(&self) -> bool {
        self.kind == Kind::Replaced || self.says_it_is_not_there()
    }

    /// How long the server wants to be left alone, where that is what failed.
    #[must_use]
    pub fn backs_off(&self) -> Option<Duration> {
        (self.kind == Kind::BackOff).then(|| suggested(&self.text).unwrap_or(BACK_OFF))
    }

    /// The code for the server's report.
    #[must_use]
    pub fn code(&self) -> FailureCode {
        match self.kind {
            Kind::Connect | Kind::TokenServer => FailureCode::Unreachable,
            Kind::Tls => FailureCode::Certificate,
            Kind::Login | Kind::Token | Kind::NoToken => FailureCode::CredentialsRefused,
            Kind::No => FailureCode::Refused,
            Kind::OverQuota => FailureCode::OverQuota,
            Kind::BackOff => FailureCode::Refused,
            Kind::Bye | Kind::Cut | Kind::Silent | Kind::Replaced => FailureCode::Interrupted,
            Kind::Bad | Kind::Unexpected => FailureCode::UnexpectedAnswer,
        }
    }
}

impl fmt::Display for ImapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.corner, self.server, self.command)?;
        if let Some(folder) = &self.folder {
            write!(f, " in folder '{folder}'")?;
        }
        let what = match self.kind {
            Kind::Connect => "no connection",
            Kind::Tls => "the TLS handshake failed",
            Kind::Login => "user name or password refused",
            Kind::Token => "user name or access token refused",
            Kind::NoToken | Kind::TokenServer => "no access token",
            Kind::No => "the server refused it",
            Kind::OverQuota => "the account is full",
            Kind::BackOff => "the server wants to be left alone for a while",
            Kind::Bad => "the server did not accept the command",
            Kind::Bye => "the server said goodbye",
            Kind::Cut => "the connection was cut",
            Kind::Silent => "the server went silent",
            Kind::Unexpected => "unexpected answer",
            Kind::Replaced => "another folder has its name since it was listed",
        };
        write!(f, ": {what}")?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        f.write_str(match self.kind {
            Kind::Connect => " (check host, port and network; trying again can help)",
            Kind::Tls => " (check the host name, tls and tls_ca_file, and the server's certificate; trying again does not help)",
            Kind::Login => " (check username and password_file; trying again does not help)",
            Kind::Token => " (check username, and scope in the oauth section; the owner of this very account must have consented; trying again does not help)",
            Kind::OverQuota => " (make room in the account or raise its quota)",
            _ if self.temporary() => " (trying again can help)",
            _ => " (trying again does not help)",
        })
    }
}

/// How long a server is left alone that does not say how long.
const BACK_OFF: Duration = Duration::from_secs(300);
/// At most, whatever it says.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(86_400);

/// What a NO says by its words, upper-case response codes among them: Exchange Online's 'Suggested Backoff Time:
/// 299979 milliseconds', Gmail's [THROTTLED] and [OVERQUOTA] 'exceeded command or bandwidth limits', RFC 5530's
/// [LIMIT].
#[must_use]
pub(crate) fn kind_of_no(text: &str) -> Kind {
    let lower = text.to_ascii_lowercase();
    let says = |hints: &[&str]| hints.iter().any(|hint| lower.contains(hint));
    if says(&[
        "backoff time",
        "throttled",
        "bandwidth limit",
        "too many simultaneous",
        "rate limit",
    ]) {
        Kind::BackOff
    } else if says(&[
        "overquota",
        "over quota",
        "quota exceeded",
        "mailbox is full",
    ]) {
        Kind::OverQuota
    } else {
        Kind::No
    }
}

/// What a BAD says: Exchange Online asks for a pause by it too.
pub(super) fn kind_of_bad(text: &str) -> Kind {
    match kind_of_no(text) {
        Kind::BackOff => Kind::BackOff,
        _ => Kind::Bad,
    }
}

/// Whether a NO says that the same may be accepted later.
pub(crate) fn passes(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let hints = [
        "unavailable",
        "inuse",
        "serverbug",
        "try again",
        "temporar",
        // POP3's (RFC 2449, 8.1.1; RFC 3206).
        "[in-use]",
        "[sys/temp]",
    ];
    hints.iter().any(|hint| lower.contains(hint))
}

/// Whether a NO that names a folder is of the server's state, so that the next folder would meet the same (RFC
/// 5530's [UNAVAILABLE]).
fn of_account(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let hints = ["unavailable", "try again", "temporar"];
    hints.iter().any(|hint| lower.contains(hint))
}

/// Milliseconds after 'Backoff Time'.
fn suggested(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    let (_, rest) = lower.split_once("backoff time")?;
    let digits: String = rest
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    let wait = Duration::from_millis(digits.parse().ok()?);
    Some(wait.min(LONGEST_BACK_OFF))
}

/// A server's words for an error message: printable, on one line, at most 200 characters.
#[must_use]
pub fn shortened(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_of_a_folder_leaves_the_others() {
        let check = |kind, command, text: &str, expected| {
            let error = ImapError {
                kind,
                corner: Corner::Primary,
                server: String::new(),
                command,
                folder: Some("Alt".to_owned()),
                text: text.to_owned(),
            };
            assert_eq!(error.refuses_folder(), expected, "{command} {text}");
            let gone = text.contains("exist") || text.contains("EXIST");
            assert_eq!(error.says_it_is_not_there(), gone, "{command} {text}");
        };
        check(Kind::No, "STATUS", "[NOPERM] Permission denied", true);
        check(
            Kind::No,
            "EXAMINE",
            "[NONEXISTENT] Mailbox doesn't exist",
            true,
        );
        check(Kind::No, "STATUS", "Mailbox doesn't exist: Alt", true);
        check(Kind::No, "EXAMINE", "[SERVERBUG] Internal error", true);
        check(Kind::No, "EXAMINE", "[UNAVAILABLE] later", false);
        check(
            Kind::No,
            "STATUS",
            "Temporary authentication failure",
            false,
        );
        check(Kind::No, "UID FETCH", "not now", false);
        check(Kind::BackOff, "STATUS", "[THROTTLED]", false);
        check(Kind::Bye, "STATUS", "closing", false);
        check(Kind::Bad, "EXAMINE", "what?", false);
    }

    #[test]
    fn what_a_no_says() {
        let check = |text: &str, kind, seconds: Option<u64>| {
            assert_eq!(kind_of_no(text), kind, "{text}");
            let error = ImapError {
                kind,
                corner: Corner::Standby,
                server: String::new(),
                command: "APPEND",
                folder: None,
                text: text.to_owned(),
            };
            let waits = error.backs_off().map(|d| d.as_secs());
            assert_eq!(waits, seconds, "{text}");
        };
        check("[OVERQUOTA] mailbox is full", Kind::OverQuota, None);
        check("[CANNOT] not that", Kind::No, None);
        assert_eq!(kind_of_bad("[OVERQUOTA] what?"), Kind::Bad);
        assert_eq!(kind_of_bad("Suggested Backoff Time: 1"), Kind::BackOff);
        check(
            "Request is throttled. Suggested Backoff Time: 299979 milliseconds",
            Kind::BackOff,
            Some(299),
        );
        check("[THROTTLED]", Kind::BackOff, Some(300));
        check(
            "[OVERQUOTA] Account exceeded command or bandwidth limits.",
            Kind::BackOff,
            Some(300),
        );
        check(
            "Suggested Backoff Time: 99999999999999 ms",
            Kind::BackOff,
            Some(86_400),
        );
    }
}
