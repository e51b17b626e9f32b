//! Coverage against counts, cut points against corners, listed differences against figures.

use super::*;

fn covered(verified: u64, now: u64, oldest: bool) -> impl FnOnce(&mut Certificate) {
    move |p| {
        let c = &mut p.coverage[1];
        c.content_verified = verified;
        c.content_verified_now = now;
        c.oldest_proof = c.oldest_proof.filter(|_| oldest);
    }
}

#[test]
fn no_more_is_verified_than_there_is() {
    check(covered(15, 0, true), &[]);
    check(covered(15, 15, true), &[]);
    check(covered(14, 14, false), &[]);
    check(covered(0, 0, false), &[]);
    check(covered(16, 1, true), &["/coverage/1/content_verified"]);
    check(
        covered(14, 15, false),
        &["/coverage/1/content_verified_now"],
    );
    // A corner that was not read whole has no figures to hold it against.
    check(
        |p| {
            covered(16, 1, false)(p);
            p.coverage[1].whole = false;
        },
        &[],
    );
}

#[test]
fn the_oldest_proof_is_of_all_messages() {
    let oldest = ["/coverage/1/oldest_proof"];
    check(covered(15, 1, false), &oldest);
    check(covered(14, 1, true), &oldest);
    check(covered(0, 0, true), &oldest);
    check(
        |p| {
            without_mail(p);
            p.coverage[1].oldest_proof = Some(p.tx_at);
        },
        &oldest,
    );
}

#[test]
fn depth_content_has_read_something() {
    let content = |change: fn(&mut Certificate)| {
        move |p: &mut Certificate| {
            p.depth = Depth::Content;
            change(p);
        }
    };
    check(content(|_| {}), &[]);
    check(
        content(|p| p.coverage[2].content_verified_now = 0),
        &["/coverage/2/content_verified_now"],
    );
    check(
        content(|p| {
            p.coverage[2].content_verified_now = 0;
            p.coverage[2].whole = false;
        }),
        &[],
    );
}

#[test]
fn an_account_with_mail_had_a_folder_at_the_cut() {
    check(|p| p.cut.clear(), &["/cut", "/cut"]);
    check(
        |p| p.cut.retain(|cut| cut.corner == Corner::Primary),
        &["/cut"],
    );
    // Whatever came after the cut is late.
    check(
        |p| {
            p.cut.clear();
            set(p, Corner::Standby, 10, '7');
            p.differences = vec![count(Class::Late, Corner::Standby, "inbox", 1)];
        },
        &[],
    );
    check(
        |p| {
            p.cut.clear();
            p.coverage[0].whole = false;
        },
        &[],
    );
}

#[test]
fn no_more_differs_than_there_is() {
    let listed = |messages, class, corner, name: &'static str, listed| {
        move |p: &mut Certificate| {
            set(p, Corner::Standby, messages, '7');
            set(p, Corner::Store, messages, '7');
            p.differences = vec![
                count(class, corner, name, listed),
                count(Class::Late, Corner::Standby, "inbox", 1),
                count(Class::Late, Corner::Store, "inbox", 1),
            ];
        }
    };
    let flags = |n| listed(10, Class::FlagsDiffer, Corner::Standby, "inbox", n);
    check(flags(9), &[]);
    check(flags(11), &["/differences/0/count"]);
    check(flags(16), &["/differences/0/count", "/differences"]);
    let missing = |n| listed(9, Class::MissingInStore, Corner::Store, "inbox", n);
    check(missing(10), &[]);
    check(missing(11), &["/differences/0/count"]);
    let surplus = |n| listed(11, Class::MissingAtPrimary, Corner::Standby, "inbox", n);
    check(surplus(11), &[]);
    check(surplus(12), &["/differences/0/count"]);
    // With all that is listed of the folder.
    let late = |n| {
        let listed = listed(10, Class::Late, Corner::Standby, "f:0123456789abcdef", n);
        move |p: &mut Certificate| {
            listed(p);
            p.folders[1].standby = Some(figures(5, '8'));
        }
    };
    check(late(10), &[]);
    check(late(11), &["/differences/0/count"]);
    // In a folder that holds nothing.
    let nowhere = listed(10, Class::Altered, Corner::Standby, "trash", 1);
    check(nowhere, &["/differences/0/count"]);
    // Misplaced from anywhere on the primary.
    let misplaced = |n| listed(10, Class::Misplaced, Corner::Standby, "inbox", n);
    check(misplaced(10), &[]);
    check(misplaced(11), &["/differences/0/count"]);
    // At depth volume a folder is named, not messages.
    check(
        |p| {
            flags(11)(p);
            p.depth = Depth::Volume;
        },
        &[],
    );
}
