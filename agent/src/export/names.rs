//! Names of folders and messages that every file system takes, FAT and NTFS included.
//!
//! Two folders never share a name: what cannot stand for itself is `%XX`, octet by octet; a path that
//! differs from another only in case gets a number.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::plan::identity::{InternalDate, LogicalFolder};

/// The longest name of one folder, in octets; file systems take 255.
const LONGEST: usize = 200;

/// The path below the export of each folder.
pub(super) fn paths<'a>(
    folders: impl IntoIterator<Item = &'a LogicalFolder>,
) -> BTreeMap<&'a LogicalFolder, PathBuf> {
    let sorted: BTreeSet<&LogicalFolder> = folders.into_iter().collect();
    let mut taken = HashSet::new();
    let mut paths = BTreeMap::new();
    for folder in sorted {
        let path = path(folder);
        let mut free = path.clone();
        let mut number = 2;
        while !taken.insert(free.to_string_lossy().to_lowercase()) {
            let mut name = path.clone().into_os_string();
            name.push(format!("~{number}"));
            free = PathBuf::from(name);
            number += 1;
        }
        paths.insert(folder, free);
    }
    paths
}

fn path(folder: &LogicalFolder) -> PathBuf {
    let (role, components) = folder.components();
    let mut path = PathBuf::new();
    if let Some(role) = role {
        path.push(component(role.strip_prefix('\\').unwrap_or(role)));
    }
    for (depth, name) in components.iter().enumerate() {
        let mut escaped = component(name);
        // A folder that is only called Sent is not the one that has the role.
        if role.is_none() && depth == 0 && is_role(&escaped) {
            escaped = escape_first(&escaped);
        }
        path.push(escaped);
    }
    path
}

fn is_role(name: &str) -> bool {
    [
        "INBOX",
        "All",
        "Archive",
        "Drafts",
        "Flagged",
        "Important",
        "Junk",
        "Sent",
        "Trash",
    ]
    .iter()
    .any(|role| role.eq_ignore_ascii_case(name))
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let numbered = stem
        .strip_suffix(|c: char| c.is_ascii_digit())
        .is_some_and(|stem| {
            ["COM", "LPT"]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(stem))
        });
    numbered
        || ["CON", "PRN", "AUX", "NUL"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(stem))
}

/// One component as a name of a folder.
fn component(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let last = name.chars().count().saturating_sub(1);
    for (at, c) in name.chars().enumerate() {
        let edge = (at == 0 && matches!(c, ' ' | '.')) || (at == last && matches!(c, ' ' | '.'));
        if edge || c.is_control() || r#"/\:*?"<>|%"#.contains(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    if out.is_empty() {
        // No escape of anything is a lone percent sign.
        return "%".to_owned();
    }
    if is_device(&out) {
        out = escape_first(&out);
    }
    if out.len() > LONGEST {
        let digest = blake3::hash(name.as_bytes()).to_hex();
        let mut end = LONGEST - 20;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push('~');
        out.extend(digest.chars().take(16));
    }
    out
}

fn escape(c: char, out: &mut String) {
    let mut octets = [0; 4];
    for octet in c.encode_utf8(&mut octets).bytes() {
        out.push_str(&format!("%{octet:02X}"));
    }
}

fn escape_first(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name.chars();
    if let Some(first) = rest.next() {
        escape(first, &mut out);
    }
    out.push_str(rest.as_str());
    out
}

/// The instant as names carry it: `20261124T181500Z`.
pub(super) fn date(date: InternalDate) -> String {
    date.to_utc().map_or_else(
        || format!("at{}", date.0),
        |date| date.format("%Y%m%dT%H%M%SZ").to_string(),
    )
}

/// A path as the manifest writes it, with `/` between components.
pub(super) fn portable(path: &Path) -> String {
    path.iter()
        .map(|component| component.to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_safe_everywhere() {
        let check = |name: &str, expected: &str| assert_eq!(component(name), expected, "{name:?}");
        check("Müller & Söhne", "Müller & Söhne");
        check("..", "%2E%2E");
        check(".", "%2E");
        check("", "%");
        check("%", "%25");
        check(" a.", "%20a%2E");
        check("a/b\\c:d\u{7}", "a%2Fb%5Cc%3Ad%07");
        check("con", "%63on");
        check("NUL.txt", "%4EUL.txt");
        check("com1", "%63om1");
        check("Compost", "Compost");
        let long = component(&"ä".repeat(300));
        assert!(long.len() <= LONGEST && long.contains('~'));
        assert_ne!(long, component(&"ä".repeat(301)));
    }

    #[test]
    fn two_folders_never_share_a_path() {
        let folders = [
            LogicalFolder::from_components(Some("INBOX"), []),
            LogicalFolder::from_components(Some("\\Sent"), []),
            LogicalFolder::from_components(None, ["Sent"]),
            LogicalFolder::from_components(None, ["sent"]),
            LogicalFolder::from_components(None, ["a", "b"]),
            LogicalFolder::from_components(None, ["a/b"]),
            LogicalFolder::from_components(None, ["A", "B"]),
        ];
        let paths = paths(&folders);
        let check = |at: usize, expected: &str| {
            assert_eq!(portable(&paths[&folders[at]]), expected);
        };
        check(0, "INBOX");
        check(1, "Sent");
        check(2, "%53ent");
        check(3, "%73ent");
        check(4, "a/b~2");
        check(5, "a%2Fb");
        check(6, "A/B");
    }
}
