//! Folders by meaning: special use, separators and modified UTF-7 become a [`LogicalFolder`], and back.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::LogicalFolder;

/// A folder as an account names it.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name in plain text, decoded from modified UTF-7.
    pub text: String,
    /// The hierarchy separator.
    pub separator: Option<char>,
    /// The special use that the server states.
    pub role: Option<&'static str>,
}

/// Names that mean a special use where the server states none, in English and German. Exchange's are those of
/// Microsoft, 'mailFolder resource type', <https://learn.microsoft.com/en-us/graph/api/resources/mailfolder>, and of
/// Outlook. A name that could be a person's own folder is not here: junk, trash and drafts are left out.
const USUAL: [(&str, &[&str]); 5] = [
    (
        "\\Sent",
        &[
            "sent",
            "sent items",
            "sent messages",
            "gesendet",
            "gesendete objekte",
            "gesendete elemente",
            "gesendete nachrichten",
        ],
    ),
    ("\\Drafts", &["drafts", "entwürfe"]),
    (
        "\\Trash",
        &[
            "trash",
            "deleted items",
            "deleted messages",
            "papierkorb",
            "gelöschte objekte",
            "gelöschte elemente",
            "gelöschte nachrichten",
        ],
    ),
    (
        "\\Junk",
        &[
            "junk",
            "junk e-mail",
            "junk email",
            "junk-e-mail",
            "spam",
            "spamverdacht",
            "unerwünscht",
        ],
    ),
    ("\\Archive", &["archive", "archiv"]),
];

/// Special uses that are views on other folders' mail (RFC 6154, RFC 8457): mirroring them would double it.
pub const VIEWS: [&str; 3] = ["\\All", "\\Flagged", "\\Important"];

/// The logical name of each folder, in the order given. A folder outside `prefix` has none.
///
/// The first folder of a special use bears the role; a second one goes by its path. Folders below one with
/// a role begin with the role.
#[must_use]
pub fn logical_names(folders: &[Named], prefix: &str) -> Vec<Option<LogicalFolder>> {
    let paths: Vec<Option<Vec<&str>>> = folders.iter().map(|f| below(f, prefix)).collect();
    let mut roles: BTreeMap<Vec<&str>, &'static str> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (folder, path) in folders.iter().zip(&paths) {
        if let (Some(role), Some(path)) = (folder.role, path)
            && taken.insert(role)
        {
            roles.insert(path.clone(), role);
        }
    }
    for path in paths.iter().flatten() {
        // Some servers keep every folder below INBOX.
        let last = match path.as_slice() {
            [last] => last,
            [first, last] if first.eq_ignore_ascii_case("INBOX") => last,
            _ => continue,
        };
        let lower = last.to_lowercase();
        if let Some((role, _)) = USUAL.iter().find(|(_, names)| names.contains(&&*lower))
            && !taken.contains(role)
        {
            taken.insert(role);
            roles.insert(path.clone(), role);
        }
    }
    paths
        .iter()
        .map(|path| path.as_ref().map(|path| logical(path, &roles)))
        .collect()
}

fn below<'a>(folder: &'a Named, prefix: &str) -> Option<Vec<&'a str>> {
    let mut path: Vec<&str> = match folder.separator {
        Some(separator) => folder.text.split(separator).collect(),
        None => vec![&folder.text],
    };
    for wanted in levels(prefix, folder.separator) {
        if path.first() != Some(&wanted.as_str()) {
            return None;
        }
        path.remove(0);
    }
    (!path.is_empty()).then_some(path)
}

fn logical(path: &[&str], roles: &BTreeMap<Vec<&str>, &'static str>) -> LogicalFolder {
    for length in (1..=path.len()).rev() {
        let (head, tail) = path.split_at(length);
        if let Some(role) = roles.get(head) {
            return LogicalFolder::from_components(Some(role), tail.iter().copied());
        }
    }
    match path.split_first() {
        Some((first, rest)) if first.eq_ignore_ascii_case("INBOX") => {
            LogicalFolder::from_components(Some("INBOX"), rest.iter().copied())
        }
        _ => LogicalFolder::from_components(None, path.iter().copied()),
    }
}

/// What a new folder is called on the target: plain text, with the role to make it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewName {
    /// The name in plain text.
    pub text: String,
    /// The special use to ask for.
    pub role: Option<String>,
}

/// A folder's name without the name space that its account keeps all its folders in, INBOX aside; `None` for one
/// outside, which is not the account's own.
#[must_use]
pub fn without_namespace<'a>(text: &'a str, namespace: &str) -> Option<&'a str> {
    if text.eq_ignore_ascii_case("INBOX") {
        return Some(text);
    }
    text.strip_prefix(namespace).filter(|rest| !rest.is_empty())
}

/// The same the other way round.
#[must_use]
pub fn with_namespace(text: &str, namespace: &str) -> String {
    if text.eq_ignore_ascii_case("INBOX") {
        return text.to_owned();
    }
    format!("{namespace}{text}")
}

/// What the source calls the special folder that `folder` is or lies below, where `text` is what it calls `folder`.
#[must_use]
pub fn role_name<'a>(
    folder: &LogicalFolder,
    text: &'a str,
    separator: Option<char>,
) -> Option<&'a str> {
    let (_, below) = folder.components();
    match separator {
        Some(separator) => text.rsplit(separator).nth(below.len()),
        None => Some(text),
    }
}

/// The name for a logical folder that the target lacks.
///
/// `have` maps what the target has to its plain-text names; `source_role` is what the source calls the special
/// folder that it is or lies below ([`role_name`]). A component with a character that the target cannot hold has it as `=` and its octets in hex
/// (`=2F` for `/`); a literal `=` before two hex digits becomes `=3D`, so that no two names meet.
#[must_use]
pub fn new_name(
    folder: &LogicalFolder,
    separator: Option<char>,
    prefix: &str,
    have: &BTreeMap<LogicalFolder, String>,
    source_role: &str,
) -> NewName {
    let (role, components) = folder.components();
    let joint = separator.unwrap_or('/').to_string();
    let mut escaped: Vec<String> = components.iter().map(|c| escape(c, separator)).collect();
    let prefix: Vec<String> = levels(prefix, separator).collect();
    // Below a folder that is there it goes by that folder's name, whatever that came to be.
    let mut above = folder.as_str();
    let mut below = 1;
    while let Some((parent, _)) = above.rsplit_once('/') {
        if let Some(text) = have.get(&LogicalFolder::from_stored(parent)) {
            let own = escaped.split_off(escaped.len().saturating_sub(below));
            let all: Vec<String> = std::iter::once(text.clone()).chain(own).collect();
            return NewName {
                text: all.join(&joint),
                role: None,
            };
        }
        above = parent;
        below += 1;
    }
    let Some(role) = role else {
        let all: Vec<String> = prefix.into_iter().chain(escaped).collect();
        return NewName {
            text: all.join(&joint),
            role: None,
        };
    };
    let root_name = if role == "INBOX" {
        "INBOX".to_owned()
    } else {
        escape(source_role, separator)
    };
    let wanted = escaped
        .is_empty()
        .then(|| role.to_owned())
        .filter(|r| r != "INBOX");
    let all: Vec<String> = prefix
        .into_iter()
        .chain([root_name])
        .chain(escaped)
        .collect();
    NewName {
        text: all.join(&joint),
        role: wanted,
    }
}

/// The levels of a prefix as an account names them. Some servers take no `.` in a name although another character
/// divides names, and no folder of the primary has to be found again by a prefix: it is always escaped.
fn levels(prefix: &str, separator: Option<char>) -> impl Iterator<Item = String> {
    let levels = prefix.split('/').filter(|level| !level.is_empty());
    levels.map(move |level| escape(level, separator).replace('.', "=2E"))
}

fn escape(component: &str, separator: Option<char>) -> String {
    let mut out = String::new();
    let mut rest = component.chars();
    while let Some(c) = rest.next() {
        let next: Vec<char> = rest.clone().take(2).collect();
        let looks_escaped = c == '=' && next.len() == 2 && next.iter().all(char::is_ascii_hexdigit);
        // `.` and `/` divide folders in many stores whatever the separator; `~` at the start, wildcards and
        // control characters are refused by most.
        let unsafe_here = Some(c) == separator
            || c.is_control()
            || matches!(c, '%' | '*' | '/' | '\\')
            || (c == '.' && separator == Some('.'))
            || (out.is_empty() && matches!(c, '~' | '#' | '&' | '.'));
        if looks_escaped || unsafe_here {
            for octet in c.encode_utf8(&mut [0; 4]).bytes() {
                out.push_str(&format!("={octet:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// What a folder of the target is to the triangle that was named by [`new_name`]: with the characters that its
/// name could not hold.
#[must_use]
pub fn unescaped(folder: &LogicalFolder) -> LogicalFolder {
    if !folder.as_str().contains('=') {
        return folder.clone();
    }
    let (role, components) = folder.components();
    let components: Vec<String> = components.iter().map(|c| unescape(c)).collect();
    LogicalFolder::from_components(role, components.iter().map(String::as_str))
}

fn unescape(component: &str) -> String {
    let mut out = Vec::with_capacity(component.len());
    let mut rest = component.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octet = after.get(..2).filter(|_| *first == b'=').and_then(|hex| {
            let hex = std::str::from_utf8(hex).ok()?;
            let upper = !hex.bytes().any(|b| b.is_ascii_lowercase());
            u8::from_str_radix(hex, 16).ok().filter(|_| upper)
        });
        out.push(octet.unwrap_or(*first));
        rest = after
            .get(if octet.is_some() { 2 } else { 0 }..)
            .unwrap_or_default();
    }
    String::from_utf8(out).unwrap_or_else(|_| component.to_owned())
}

/// Whether a folder is left out: by a role name or an exact path, each with its subtree. Views on other
/// folders' mail are always left out.
#[must_use]
pub fn excluded(folder: &LogicalFolder, rules: &[String]) -> bool {
    let within = |root: &str| {
        folder
            .as_str()
            .strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    VIEWS.iter().any(|role| within(role))
        || rules.iter().any(|rule| {
            let rule = rule.trim_matches('/');
            !rule.is_empty()
                && (within(rule) || within(&format!("\\{}", rule.trim_start_matches('\\'))))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, separator: char, role: Option<&'static str>) -> Named {
        Named {
            text: text.to_owned(),
            separator: Some(separator),
            role,
        }
    }

    #[test]
    fn names_meet_across_servers() {
        let english = [
            named("INBOX", '.', None),
            named("Sent", '.', Some("\\Sent")),
            named("Sent.2024", '.', None),
            named("Projekte.Köln", '.', None),
        ];
        let german = [
            named("INBOX", '/', None),
            named("Gesendet", '/', Some("\\Sent")),
            named("Gesendet/2024", '/', None),
            named("Projekte/Köln", '/', None),
        ];
        assert_eq!(logical_names(&english, ""), logical_names(&german, ""));
    }

    #[test]
    fn roles_by_name_where_none_is_stated() {
        let check = |folders: &[Named], expected: &[&str]| {
            let names = logical_names(folders, "");
            let names: Vec<&str> = names.iter().flatten().map(LogicalFolder::as_str).collect();
            assert_eq!(names, expected);
        };
        check(&[named("Gesendete Objekte", '/', None)], &["\\Sent"]);
        check(
            &[named("INBOX.Sent", '.', None), named("inbox", '.', None)],
            &["\\Sent", "INBOX"],
        );
        check(
            &[
                named("Sent", '/', Some("\\Sent")),
                named("Gesendet", '/', None),
            ],
            &["\\Sent", "Gesendet"],
        );
        check(&[named("A/Sent", '/', None)], &["A/Sent"]);
        let exchange = ["Sent Items", "Deleted Items", "Junk Email", "Drafts"];
        let outlook = [
            "Gesendete Elemente",
            "Gelöschte Elemente",
            "Junk-E-Mail",
            "Entwürfe",
        ];
        let german = [
            "INBOX.Gesendet",
            "INBOX.Papierkorb",
            "INBOX.Spam",
            "INBOX.Entwürfe",
        ];
        for (folders, separator) in [(exchange, '/'), (outlook, '/'), (german, '.')] {
            let folders = folders.map(|name| named(name, separator, None));
            check(&folders, &["\\Sent", "\\Trash", "\\Junk", "\\Drafts"]);
        }
    }

    #[test]
    fn prefixes_divide() {
        let folders = [
            named("info/INBOX", '/', None),
            named("infox/INBOX", '/', None),
            named("info", '/', None),
        ];
        let names = logical_names(&folders, "info");
        assert_eq!(
            names
                .iter()
                .map(|n| n.as_ref().map(LogicalFolder::as_str))
                .collect::<Vec<_>>(),
            [Some("INBOX"), None, None]
        );
    }

    #[test]
    fn a_prefix_is_found_as_it_was_made() {
        for (prefix, separator) in [(".x/a.b*%", '.'), (".x/a.b*%", '/'), ("~/#/&/=2E", '.')] {
            let folder = LogicalFolder::from_components(None, ["A"]);
            let made = new_name(&folder, Some(separator), prefix, &BTreeMap::new(), "").text;
            let found = logical_names(&[named(&made, separator, None)], prefix);
            assert_eq!(found, [Some(folder)], "{made}");
        }
    }

    #[test]
    fn a_new_name_is_understood_again() {
        for name in [
            "A.B", ".x", "a=2Eb", "100 %", "=", "=2", "ä/ö", "~", "x\u{7}y",
        ] {
            for separator in ['.', '/'] {
                let folder = LogicalFolder::from_components(None, [name]);
                let made = new_name(&folder, Some(separator), "", &BTreeMap::new(), "").text;
                for made in [made.clone(), made.replace('.', "=2E")] {
                    let found = logical_names(&[named(&made, separator, None)], "");
                    let found = found[0].as_ref().map(unescaped);
                    assert_eq!(found, Some(folder.clone()), "{made}");
                }
            }
        }
    }

    #[test]
    fn new_names_are_legal_and_injective() {
        let folder =
            |components: &[&str]| LogicalFolder::from_components(None, components.iter().copied());
        let none = BTreeMap::new();
        let check = |folder: &LogicalFolder, separator, prefix, expected: &str| {
            assert_eq!(
                new_name(folder, Some(separator), prefix, &none, "Sent").text,
                expected
            );
        };
        check(&folder(&["A", "B"]), '.', "", "A.B");
        check(&folder(&["A.B"]), '.', "", "A=2EB");
        check(&folder(&["A/B"]), '/', "", "A=2FB");
        check(&folder(&["A=2EB"]), '.', "", "A=3D2EB");
        check(&folder(&["A=B"]), '.', "x/y", "x.y.A=B");
        check(&folder(&["A"]), '.', ".x/a.b/c*", "=2Ex.a=2Eb.c=2A.A");
        check(&folder(&["A"]), '/', "a.b", "a=2Eb/A");
        check(
            &LogicalFolder::from_components(Some("\\Sent"), []),
            '/',
            "",
            "Sent",
        );
        let have = BTreeMap::from([(
            LogicalFolder::from_components(Some("\\Sent"), []),
            "Gesendet".to_owned(),
        )]);
        let below = LogicalFolder::from_components(Some("\\Sent"), ["2024"]);
        assert_eq!(
            new_name(&below, Some('/'), "", &have, "Sent").text,
            "Gesendet/2024"
        );
    }

    #[test]
    fn below_a_special_container_it_is_named_after_it() {
        let container = [
            named("Archiv", '.', Some("\\Archive")),
            named("Archiv.2024.Gesendet", '.', None),
        ];
        let names = logical_names(&container, "");
        let folder = names[1].clone().expect("a name");
        assert_eq!(folder.as_str(), "\\Archive/2024/Gesendet");
        assert_eq!(
            role_name(&folder, "Archiv.2024.Gesendet", Some('.')),
            Some("Archiv")
        );
        assert_eq!(
            role_name(&folder, "INBOX/Q1.Q1/2024/Gesendet", Some('/')),
            Some("Q1.Q1")
        );
        let made = new_name(&folder, Some('/'), "", &BTreeMap::new(), "Archiv");
        let text = "Archiv/2024/Gesendet".to_owned();
        assert_eq!(made, NewName { text, role: None });
    }

    #[test]
    fn exclusion_takes_the_subtree() {
        let rules = ["Junk".to_owned(), "Projekte/Alt".to_owned()];
        let check = |form: &str, expected| {
            assert_eq!(
                excluded(&LogicalFolder::from_stored(form), &rules),
                expected,
                "{form}"
            )
        };
        check("\\Junk", true);
        check("\\Junk/2024", true);
        check("Junk", true);
        check("Junkyard", false);
        check("Projekte", false);
        check("Projekte/Alt", true);
        check("Projekte/Alt/2009", true);
        check("Projekte/Altes", false);
        check("\\All", true);
    }
}
