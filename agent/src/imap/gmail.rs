//! Gmail keeps each message once and shows it in a folder for each of its labels (X-GM-EXT-1,
//! <https://developers.google.com/workspace/gmail/imap/imap-extensions>). Mirrored, it is a copy in each of them.
//!
//! `All Mail` shows everything again. It is the archive: what lies in it and in no other folder is what has no
//! label, and that is all that is listed of it.

use async_imap::imap_proto::NameAttribute;

use super::folders::Folder;

/// Labels that put a message into no folder of its own: what they mark is shown in views.
const MARKS: [&str; 3] = ["\\Important", "\\Starred", "\\Muted"];

/// Takes a folder for what it is to Gmail. Whether it is `All Mail`.
pub(super) fn reinterpret(folder: &mut Folder, attributes: &[NameAttribute<'_>]) -> bool {
    let important = |attribute: &NameAttribute<'_>| match attribute {
        NameAttribute::Extension(word) => word.eq_ignore_ascii_case("\\Important"),
        _ => false,
    };
    if attributes.iter().any(important) {
        folder.role = Some("\\Important");
    }
    let all_mail = folder.role == Some("\\All");
    if all_mail {
        folder.role = Some("\\Archive");
    }
    all_mail
}

/// Whether a message with these labels lies in a folder besides `All Mail`.
pub(super) fn lies_elsewhere<'a>(labels: impl IntoIterator<Item = &'a str>) -> bool {
    let marks = |label: &str| {
        // Gmail's own are told as flags or as quoted strings, whose escapes the parser leaves in.
        let label = label.replace("\\\\", "\\");
        MARKS.iter().any(|mark| mark.eq_ignore_ascii_case(&label))
    };
    labels.into_iter().any(|label| !marks(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_label_lies_in_the_archive_alone() {
        let check = |labels: &[&str], expected| {
            assert_eq!(
                lies_elsewhere(labels.iter().copied()),
                expected,
                "{labels:?}"
            );
        };
        check(&[], false);
        check(&["\\\\Important", "\\\\starred", "\\Muted"], false);
        check(&["\\\\Inbox"], true);
        check(&["\\\\Important", "Important"], true);
        check(&["Projekte/K&APY-ln"], true);
    }
}
