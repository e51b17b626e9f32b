//! Which triangles may share a standby account: those of one site, under prefixes of which none lies in
//! another; the empty prefix holds everything, so it stands alone.

/// Whether two prefixes are disjoint.
#[must_use]
pub fn disjoint(one: &str, other: &str) -> bool {
    !holds(one, other) && !holds(other, one)
}

/// Whether what lies under `inner` lies under `outer` too. Compared without case, since hosters differ.
fn holds(outer: &str, inner: &str) -> bool {
    let (outer, inner) = (outer.to_lowercase(), inner.to_lowercase());
    outer.is_empty()
        || inner == outer
        || inner
            .strip_prefix(outer.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_disjoint_by_folder() {
        let check = |one, other, expected| {
            assert_eq!(disjoint(one, other), expected, "{one:?} {other:?}");
            assert_eq!(disjoint(other, one), expected, "{other:?} {one:?}");
        };
        check("", "", false);
        check("", "blau", false);
        check("blau", "blau", false);
        check("blau", "Blau", false);
        check("blau", "blau/info", false);
        check("blau", "blaubeere", true);
        check("blau/info", "blau/office", true);
    }
}
