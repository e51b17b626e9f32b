//! Text with a rule: each type checks itself while it is read, so that no later code meets an empty name
//! or a control character. The rule's wording is what a problem response quotes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a text was not taken: the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleBroken(pub &'static str);

macro_rules! checked_text {
    ($($(#[$doc:meta])* $name:ident($max:tt, $rule:tt, $check:expr, $example:tt)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, max_length = $max, example = $example)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = RuleBroken;
            fn try_from(text: String) -> Result<Self, RuleBroken> {
                let check: fn(&str) -> bool = $check;
                let fits = text.chars().count() <= $max && !text.chars().any(char::is_control) && check(&text);
                fits.then_some(Self(text)).ok_or(RuleBroken($rule))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    )+};
}

checked_text! {
    /// What people call a thing.
    Name(100, "1 to 100 characters without control characters, not blank at either end",
        |text| !text.is_empty() && text.trim() == text, "Elektro Blau"),
    /// A mail address that the server writes to, or that a person logs in with.
    EmailAddress(254, "a mail address like name@example.org, at most 254 characters",
        is_address, "owner@example.org"),
    /// Host name (RFC 1123) or address of a mail server.
    HostName(253, "a host name or an IP address, at most 253 characters", is_host, "imap.example.org"),
    /// The user name of a mail account.
    UserName(255, "1 to 255 characters without control characters", |text| !text.is_empty(), "info@example.org"),
    /// An IANA time zone; the server knows which exist.
    ZoneName(64, "an IANA time zone like Europe/Berlin",
        |text| !text.is_empty() && text.is_ascii(), "Europe/Berlin"),
    /// A folder on the standby below which a triangle lies; empty for none.
    StandbyPrefix(100, "at most 100 characters without control characters, no `/` at either end, not blank at either end",
        |text| text.trim() == text && !text.starts_with('/') && !text.ends_with('/') && !text.contains("//"), "abc"),
    /// The role name or exact path of a folder that is left out with its subtree.
    FolderName(255, "1 to 255 characters without control characters", |text| !text.is_empty(), "Junk"),
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    !local.is_empty()
        && local.len() <= 64
        && local.chars().all(atom)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && domain.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_host(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || text.split('.').all(is_label)
}

/// A password on its way in. It is never sent out, stored or printed.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, format = Password, min_length = 12, max_length = 200)]
pub struct Password(String);

impl Password {
    /// The password, for hashing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Password {
    type Error = RuleBroken;
    fn try_from(text: String) -> Result<Self, RuleBroken> {
        (12..=200)
            .contains(&text.chars().count())
            .then_some(Self(text))
            .ok_or(RuleBroken("a password of 12 to 200 characters"))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u32", into = "u16")]
#[schema(value_type = u16, minimum = 1, maximum = 65535, example = 993)]
pub struct Port(u16);

impl Port {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u32> for Port {
    type Error = RuleBroken;
    fn try_from(port: u32) -> Result<Self, RuleBroken> {
        u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .map(Self)
            .ok_or(RuleBroken("a port from 1 to 65535"))
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.0
    }
}

/// Minutes that a result may come after its due time before it counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u32", into = "u16")]
#[schema(value_type = u16, minimum = 1, maximum = 1440, example = 30)]
pub struct GraceMinutes(u16);

impl GraceMinutes {
    /// The number of minutes.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u32> for GraceMinutes {
    type Error = RuleBroken;
    fn try_from(minutes: u32) -> Result<Self, RuleBroken> {
        u16::try_from(minutes)
            .ok()
            .filter(|minutes| (1..=1440).contains(minutes))
            .map(Self)
            .ok_or(RuleBroken("1 to 1440 minutes"))
    }
}

impl From<GraceMinutes> for u16 {
    fn from(minutes: GraceMinutes) -> Self {
        minutes.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_rules() {
        fn check<T: TryFrom<String>>(text: &str, fits: bool) {
            assert_eq!(T::try_from(text.to_owned()).is_ok(), fits, "{text:?}");
        }
        check::<Name>("Elektro Blau", true);
        check::<Name>("", false);
        check::<Name>(" Blau", false);
        check::<Name>("Blau\u{0}", false);
        check::<Name>(&"x".repeat(101), false);
        check::<EmailAddress>("owner@example.org", true);
        check::<EmailAddress>("owner@localhost", true);
        check::<EmailAddress>("owner@example.org\r\nBcc: x@y", false);
        check::<EmailAddress>("a@b@c", false);
        check::<EmailAddress>("Blau <a@b.c>", false);
        check::<EmailAddress>("@b.c", false);
        check::<HostName>("127.0.0.1", true);
        check::<HostName>("::1", true);
        check::<HostName>("imap.example.org", true);
        check::<HostName>("imap..org", false);
        check::<HostName>("imap/../x", false);
        check::<HostName>("", false);
        check::<StandbyPrefix>("", true);
        check::<StandbyPrefix>("abc/def", true);
        check::<StandbyPrefix>("/abc", false);
    }

    #[test]
    fn a_password_is_not_printed() {
        let password = Password::try_from("correct horse battery".to_owned()).unwrap();
        assert_eq!(format!("{password:?}"), "Password(…)");
    }
}
