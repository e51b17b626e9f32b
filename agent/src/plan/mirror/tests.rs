//! The planner against a small world: what it plans, as text, and where that leads.

mod simulation;
mod world;

use self::world::{Mail, World};
use super::*;
use crate::plan::view::Origin;

fn steps(world: &mut World, expected: &[&str]) {
    for (i, expected) in expected.iter().enumerate() {
        let lines: Vec<&str> = expected
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        let found = world.step();
        assert_eq!(found.trim_end(), lines.join("\n"), "step {i}");
    }
}

/// A world whose source holds these in its INBOX and is mirrored.
fn mirrored(texts: &[&str]) -> World {
    let mut world = World::new();
    for text in texts {
        world.source.deliver("INBOX", *text);
    }
    world.settle();
    world.sent.clear();
    world
}

#[test]
fn new_mail_is_copied() {
    let mut w = World::new();
    w.source
        .deliver("INBOX", Mail::new("one").flags("\\Seen x"));
    w.source.deliver("INBOX", "two");
    w.source.deliver("Projects/A", "three");
    w.source.make("Empty");
    steps(
        &mut w,
        &[
            "create Empty
             create INBOX
             create Projects/A
             copy INBOX [1, 2]
             copy Projects/A [1]",
            "nothing",
        ],
    );
    w.source.deliver("INBOX", "four");
    steps(&mut w, &["copy INBOX [3]", "nothing"]);
    assert_eq!(w.source.boxes["INBOX"].mails, w.target.boxes["INBOX"].mails);
}

#[test]
fn equal_content_on_the_target_is_adopted() {
    let mut w = World::new();
    for (text, date) in [("equal", 5), ("equal", 6), ("own", 7)] {
        w.source.deliver("INBOX", Mail::new(text).at(date));
    }
    // The same mail in another order, and one that only resembles: as long, other octets.
    for (text, date) in [("equal", 6), ("won", 7), ("equal", 5)] {
        w.target.deliver("INBOX", Mail::new(text).at(date));
    }
    steps(
        &mut w,
        &[
            "read target INBOX [1, 2, 3]",
            "read source INBOX [1, 2, 3]",
            "adopt INBOX:3 of INBOX:1
             adopt INBOX:1 of INBOX:2
             send INBOX:3 to INBOX",
            "nothing",
        ],
    );
    assert_eq!(w.sent, [("INBOX".to_owned(), "own".to_owned())]);
}

#[test]
fn the_copy_with_the_same_date_is_adopted_first() {
    let mut w = World::new();
    for date in [1, 1, 2] {
        w.source.deliver("INBOX", Mail::new("equal").at(date));
    }
    for date in [2, 1] {
        w.target.deliver("INBOX", Mail::new("equal").at(date));
    }
    steps(
        &mut w,
        &[
            "read target INBOX [1, 2]",
            "read source INBOX [1, 2, 3]",
            "adopt INBOX:2 of INBOX:1
             adopt INBOX:1 of INBOX:3
             send INBOX:2 to INBOX",
            "nothing",
        ],
    );
}

#[test]
fn adopted_mail_gets_the_sources_flags() {
    let mut w = World::new();
    w.source.deliver("INBOX", Mail::new("a").flags("\\Seen"));
    w.target.deliver("INBOX", Mail::new("a").flags("\\Flagged"));
    w.step();
    w.step();
    steps(
        &mut w,
        &[
            "adopt INBOX:1 of INBOX:1
             flags INBOX [1] +\\Seen
             flags INBOX [1] -\\Flagged",
            "target flags INBOX:1 \"\\\\Seen\"",
            "nothing",
        ],
    );
}

#[test]
fn what_vanishes_becomes_a_tombstone_and_can_come_back() {
    let mut w = mirrored(&["a", "b"]);
    let mail = w.source.delete("INBOX", 1);
    steps(&mut w, &["tombstone INBOX:1", "nothing"]);
    assert_eq!(w.target.boxes["INBOX"].mails.len(), 2);
    w.source.deliver("INBOX", mail.flags("\\Seen"));
    steps(
        &mut w,
        &[
            "read source INBOX [3]",
            "revive INBOX:3
             adopt INBOX:1 of INBOX:3
             flags INBOX [1] +\\Seen",
            "target flags INBOX:1 \"\\\\Seen\"",
            "nothing",
        ],
    );
    assert_eq!((w.sent.len(), w.tombstones.len()), (0, 0));
}

#[test]
fn what_comes_back_after_its_copy_went_is_sent() {
    let mut w = mirrored(&["a"]);
    let mail = w.source.delete("INBOX", 1);
    w.settle();
    w.target.delete("INBOX", 1);
    steps(&mut w, &["nothing"]);
    w.source.deliver("INBOX", mail);
    steps(
        &mut w,
        &[
            "read source INBOX [2]",
            "revive INBOX:2
             send INBOX:2 to INBOX",
            "forget INBOX:1",
            "nothing",
        ],
    );
}

#[test]
fn what_vanishes_on_the_target_is_put_back_once() {
    let mut w = mirrored(&["a", "b"]);
    w.target.delete("INBOX", 1);
    steps(
        &mut w,
        &[
            "forget INBOX:1 of INBOX:1
             send INBOX:1 to INBOX missing_at_standby",
            "nothing",
        ],
    );
    w.target.delete("INBOX", 3);
    steps(
        &mut w,
        &["does not stay INBOX:1", "forget INBOX:3", "nothing"],
    );
    assert_eq!(w.sent.len(), 1);
    // A new UIDVALIDITY does not make it be sent again, and its flags are still followed.
    w.source.renumber("INBOX");
    w.settle();
    w.source.mark("INBOX", 7, "\\Seen");
    w.settle();
    assert_eq!(w.sent.len(), 1);
    let row = w.source.rows.values().find(|r| r.quarantined).unwrap();
    assert_eq!(row.flags.to_string(), "\\Seen");
}

#[test]
fn a_folder_deleted_on_the_target_is_made_again() {
    let mut w = mirrored(&["a"]);
    w.target.boxes.remove("INBOX");
    steps(
        &mut w,
        &[
            "create INBOX
             forget INBOX:1 of INBOX:1
             send INBOX:1 to INBOX missing_at_standby",
            "nothing",
        ],
    );
}

#[test]
fn a_folder_deleted_on_the_source_leaves_the_target_alone() {
    let mut w = mirrored(&["a"]);
    w.source.deliver("Old", "b");
    w.settle();
    w.source.boxes.remove("Old");
    steps(&mut w, &["tombstone Old:1", "nothing"]);
    assert_eq!(w.target.boxes["Old"].mails.len(), 1);
}

#[test]
fn new_uids_on_the_source_send_nothing() {
    let mut w = mirrored(&["aa", "bb", "c"]);
    w.source.renumber("INBOX");
    w.source.delete("INBOX", 8);
    w.source.deliver("INBOX", "ccc");
    steps(
        &mut w,
        &[
            "read source INBOX [7, 9]",
            "source again INBOX:1~ is INBOX:7
             source again INBOX:3~ is INBOX:9
             tombstone INBOX:2~
             copy INBOX [10]",
            "nothing",
        ],
    );
}

#[test]
fn equal_copies_keep_their_dates_under_new_uids() {
    let mut w = World::new();
    for date in [1, 2, 3] {
        w.source.deliver("INBOX", Mail::new("equal").at(date));
    }
    w.settle();
    w.source.renumber("INBOX");
    w.settle();
    assert_eq!(w.sent.len(), 3);
    for (at, row) in &w.source.rows {
        assert_eq!(row.date, w.target.rows[&row.copy.unwrap()].date, "{at:?}");
    }
}

#[test]
fn new_uids_on_the_target_send_nothing() {
    let mut w = mirrored(&["a", "b"]);
    let mail = w.source.delete("INBOX", 1);
    w.settle();
    w.target.renumber("INBOX");
    steps(
        &mut w,
        &[
            "read target INBOX [7, 8]",
            "target again INBOX:2~ is INBOX:8 of INBOX:2
             tombstone again INBOX:1~ is INBOX:7",
            "nothing",
        ],
    );
    w.source.deliver("INBOX", mail);
    w.settle();
    assert_eq!(w.sent, []);
}

#[test]
fn new_uids_on_both_sides_send_nothing() {
    let mut w = mirrored(&["a", "b"]);
    w.source.renumber("INBOX");
    w.target.renumber("INBOX");
    steps(
        &mut w,
        &[
            "read target INBOX [7, 8]",
            "read source INBOX [7, 8]",
            "target again INBOX:1~ is INBOX:7 of INBOX:1~
             target again INBOX:2~ is INBOX:8 of INBOX:2~",
            "source again INBOX:1~ is INBOX:7
             source again INBOX:2~ is INBOX:8",
            "nothing",
        ],
    );
    assert_eq!(w.sent, []);
}

#[test]
fn new_uids_on_a_target_folder_without_source_are_matched() {
    let mut w = mirrored(&["a"]);
    w.source.deliver("Old", "b");
    w.settle();
    w.source.boxes.remove("Old");
    w.settle();
    w.source.known.remove("Old");
    w.target.renumber("Old");
    steps(
        &mut w,
        &[
            "read target Old [7]",
            "tombstone again Old:1~ is Old:7",
            "nothing",
        ],
    );
}

#[test]
fn a_move_is_followed() {
    let mut w = mirrored(&["a", "b"]);
    w.source.move_to("INBOX", 1, "Done");
    steps(
        &mut w,
        &[
            "read source Done [1]",
            "create Done
             moved INBOX:1 to Done:1
             move INBOX [1] to Done",
            "nothing",
        ],
    );
    assert_eq!(w.target.boxes["Done"].mails.len(), 1);
    assert_eq!(w.sent, []);
}

#[test]
fn a_move_that_the_target_cannot_follow_leaves_the_old_copy() {
    let mut w = mirrored(&["a", "b"]);
    w.moves = false;
    w.source.move_to("INBOX", 1, "Done");
    steps(
        &mut w,
        &[
            "read source Done [1]",
            "create Done
             moved INBOX:1 to Done:1
             left behind INBOX:1 of Done:1
             send Done:1 to Done",
            "nothing",
        ],
    );
    assert_eq!(w.sent.len(), 1);
}

#[test]
fn what_was_adopted_is_moved_and_what_nothing_points_at_is_not() {
    let mut w = World::new();
    w.source.deliver("INBOX", "a");
    w.target.deliver("INBOX", "a");
    w.target.deliver("INBOX", "a");
    w.settle();
    w.source.move_to("INBOX", 1, "Done");
    steps(
        &mut w,
        &[
            "read source Done [1]",
            "create Done
             moved INBOX:1 to Done:1
             move INBOX [1] to Done",
            "nothing",
        ],
    );
    assert_eq!(w.sent, []);
}

#[test]
fn a_rename_that_was_cut_off_after_the_target_did_it_is_found_again_and_the_next_is_followed() {
    let mut w = World::new();
    for text in ["a", "b"] {
        w.source.deliver("Old", text);
    }
    w.settle();
    w.sent.clear();
    w.source.rename("Old", "New");
    let rename = w.next();
    assert!(matches!(rename, Next::Rename(_)));
    w.carry_out(&rename, &mut world::Budget(1)).unwrap_err();
    assert!(w.target.boxes.contains_key("New"));
    w.settle();
    w.source.rename("New", "Newer");
    steps(&mut w, &["rename New to Newer, followed", "nothing"]);
    assert_eq!(w.sent, []);
    assert_eq!(w.target.boxes.keys().collect::<Vec<_>>(), ["Newer"]);
}

#[test]
fn a_rename_and_a_move_are_followed_after_the_ledger_was_lost() {
    let mut w = mirrored(&["a", "b"]);
    w.source.deliver("Old", "c");
    w.settle();
    w.sent.clear();
    w.lose_ledger();
    w.settle();
    w.source.rename("Old", "New");
    w.source.move_to("INBOX", 1, "New");
    w.settle();
    assert_eq!(w.sent, []);
    assert_eq!(w.target.boxes["New"].mails.len(), 2);
    assert_eq!(w.target.boxes["INBOX"].mails.len(), 1);
}

#[test]
fn what_comes_back_with_another_date_is_another_message() {
    let mut w = mirrored(&["a"]);
    let mail = w.source.delete("INBOX", 1);
    w.settle();
    w.source.deliver("INBOX", mail.at(9));
    steps(
        &mut w,
        &["read source INBOX [2]", "send INBOX:2 to INBOX", "nothing"],
    );
    assert_eq!(w.tombstones.len(), 1);
    assert_eq!(w.target.boxes["INBOX"].mails[&2].date, 9);
}

#[test]
fn a_new_uid_in_the_same_folder_keeps_its_copy() {
    for moves in [true, false] {
        let mut w = mirrored(&["a", "b"]);
        w.moves = moves;
        w.source.move_to("INBOX", 1, "INBOX");
        w.source.mark("INBOX", 3, "\\Seen");
        steps(
            &mut w,
            &[
                "read source INBOX [3]",
                "moved INBOX:1 to INBOX:3
                 flags INBOX [1] +\\Seen",
                "target flags INBOX:1 \"\\\\Seen\"",
                "nothing",
            ],
        );
        assert_eq!(w.sent, []);
    }
}

#[test]
fn a_move_while_the_target_gets_new_uids_is_followed() {
    let mut w = mirrored(&["a", "b"]);
    w.source.move_to("INBOX", 1, "Done");
    w.target.renumber("INBOX");
    w.settle();
    assert_eq!(w.sent, []);
    assert_eq!(w.target.boxes["Done"].mails.len(), 1);
    assert_eq!(w.target.boxes["INBOX"].mails.len(), 1);
}

#[test]
fn a_rename_is_followed_where_all_is_ours() {
    let mut w = World::new();
    w.source.deliver("Old", "a");
    w.source.deliver("Old", "b");
    w.settle();
    w.source.rename("Old", "New");
    steps(&mut w, &["rename Old to New, followed", "nothing"]);
    assert_eq!(w.target.boxes["New"].mails.len(), 2);
    assert!(!w.target.boxes.contains_key("Old"));
    assert_eq!(w.sent.len(), 2);
}

#[test]
fn a_rename_is_not_followed_where_others_have_mail() {
    let renamed = |moves, foreign: &str| {
        let mut w = World::new();
        w.source.deliver("Old", "a");
        w.source.deliver("Old/Sub", "b");
        w.settle();
        w.sent.clear();
        w.moves = moves;
        w.target.deliver(foreign, "foreign");
        w.source.rename("Old", "New");
        w.source.rename("Old/Sub", "New/Sub");
        w
    };
    let mut w = renamed(true, "Old");
    steps(
        &mut w,
        &[
            "rename Old to New, not followed",
            "rename Old/Sub to New/Sub, followed",
            "create New
             move Old [1] to New",
            "nothing",
        ],
    );
    assert_eq!(w.sent, []);
    let mut w = renamed(false, "Old");
    w.step();
    w.step();
    steps(
        &mut w,
        &[
            "create New
             left behind Old:1 of New:1
             send New:1 to New",
            "nothing",
        ],
    );
    assert_eq!(w.sent.len(), 1);
    // What lies below moves along with a folder: it counts too.
    let mut w = renamed(true, "Old/Sub");
    assert_eq!(w.step(), "rename Old to New, not followed\n");
}

#[test]
fn a_rename_is_followed_in_parts_where_what_lay_below_went_elsewhere() {
    type Change = fn(&mut World);
    let changes: [(Change, usize); 4] = [
        (|w| drop(w.source.boxes.remove("Old/Sub")), 1),
        (|w| w.source.rename("Old/Sub", "New/Other"), 0),
        (|w| w.source.rename("Old/Sub", "Elsewhere"), 0),
        (|w| w.source.rename("Old/Sub", "New/Sub"), 0),
    ];
    for (change, buried) in changes {
        let mut w = World::new();
        w.source.deliver("Old", "a");
        w.source.deliver("Old/Sub", "b");
        w.settle();
        w.sent.clear();
        w.source.rename("Old", "New");
        change(&mut w);
        w.settle();
        assert_eq!(w.sent, []);
        assert_eq!(w.tombstones.len(), buried);
        for (name, mailbox) in &w.source.boxes {
            assert_eq!(w.target.boxes[name].mails, mailbox.mails, "{name}");
        }
    }
}

#[test]
fn roles_are_not_renamed() {
    let mut w = World::new();
    w.source.deliver("\\Sent", "a");
    w.settle();
    w.source.rename("\\Sent", "Old sent");
    assert_eq!(w.step(), "rename \\Sent to Old sent, not followed\n");
    w.settle();
    assert!(w.target.boxes.contains_key("\\Sent"));
    assert_eq!(w.target.boxes["Old sent"].mails.len(), 1);
}

#[test]
fn a_folder_that_was_known_under_the_new_name_is_no_rename() {
    let mut w = World::new();
    w.source.deliver("Old", "a");
    w.source.deliver("New", "x");
    w.settle();
    w.source.boxes.remove("New");
    w.source.rename("Old", "New");
    w.settle();
    assert_eq!(w.target.boxes["New"].mails.len(), 2);
    assert_eq!(w.sent.len(), 2);
}

/// Thirty messages, of which the guard lets six go.
fn thirty() -> World {
    let texts: Vec<String> = (0..30).map(|i| format!("mail {i}")).collect();
    mirrored(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn held(w: &mut World) -> String {
    match w.next() {
        Next::Act(plan) => plan.held.expect("a halt").id,
        other => panic!("{}", w.show(&other)),
    }
}

#[test]
fn the_guard_holds_tombstones_while_new_mail_flows() {
    let mut w = thirty();
    for uid in 1..=25 {
        w.source.delete("INBOX", uid);
    }
    w.source.mark("INBOX", 26, "\\Seen");
    w.source.deliver("INBOX", "something new");
    let id = held(&mut w);
    steps(&mut w, &["copy INBOX [31]\nheld 25 of 30", "held 25 of 31"]);
    assert_eq!(held(&mut w), id);
    w.confirmed = Some("another".to_owned());
    assert_eq!(w.step(), "held 25 of 31\n");
    w.confirmed = Some(id.clone());
    let mut released = w.clone();
    assert_eq!(released.settle(), 2);
    assert_eq!(released.tombstones.len(), 25);
    assert_eq!(released.target.boxes["INBOX"].mails.len(), 31);
    // It releases that plan and no other.
    w.source.delete("INBOX", 27);
    assert!(w.step().contains("held 26 of 31"));
    assert_ne!(held(&mut w), id);
}

#[test]
fn the_guard_holds_put_backs_while_new_mail_flows() {
    let mut w = thirty();
    for uid in 1..=25 {
        w.target.delete("INBOX", uid);
    }
    w.source.deliver("INBOX", "something new");
    let id = held(&mut w);
    steps(&mut w, &["copy INBOX [31]\nheld 25 of 30", "held 25 of 31"]);
    assert_eq!(held(&mut w), id);
    w.confirmed = Some(id);
    w.settle();
    assert_eq!(w.sent.len(), 26);
    assert_eq!(w.target.boxes["INBOX"].mails.len(), 31);
}

#[test]
fn the_guard_holds_moves_that_come_with_a_loss() {
    for moves in [true, false] {
        let mut w = thirty();
        w.moves = moves;
        for uid in 1..=25 {
            w.source.delete("INBOX", uid);
        }
        w.source.move_to("INBOX", 26, "Done");
        w.step();
        let id = held(&mut w);
        steps(&mut w, &["create Done\nheld 25 of 31", "held 25 of 31"]);
        assert_eq!(held(&mut w), id, "it must stay the halt that was shown");
        assert_eq!(w.sent, []);
        w.confirmed = Some(id);
        w.settle();
        assert_eq!(w.target.boxes["Done"].mails.len(), 1);
        assert_eq!(w.sent.len(), usize::from(!moves));
    }
}

#[test]
fn the_source_wins_over_flags() {
    let mut w = mirrored(&["a", "b", "c"]);
    w.source.mark("INBOX", 1, "\\Seen work");
    w.source.mark("INBOX", 2, "\\Seen work");
    w.target.mark("INBOX", 3, "\\Flagged");
    steps(
        &mut w,
        &[
            "source flags INBOX:1 \"\\\\Seen work\"
             source flags INBOX:2 \"\\\\Seen work\"
             flags INBOX [1, 2] +\\Seen work
             flags INBOX [3] -\\Flagged repair",
            "target flags INBOX:1 \"\\\\Seen work\"
             target flags INBOX:2 \"\\\\Seen work\"",
            "nothing",
        ],
    );
    w.source.mark("INBOX", 1, "WORK");
    w.refused.insert("work".to_owned());
    steps(
        &mut w,
        &[
            "source flags INBOX:1 \"WORK\"
             flags INBOX [1] -\\Seen work
             flags INBOX [2] -work",
            "target flags INBOX:1 \"\"
             target flags INBOX:2 \"\\\\Seen\"",
            "nothing",
        ],
    );
}

#[test]
fn a_cut_off_change_is_no_repair_and_a_cut_off_repair_is_one() {
    for cut_after in [1, 2] {
        let mut w = mirrored(&["a", "b"]);
        w.source.mark("INBOX", 1, "\\Seen");
        w.target.mark("INBOX", 2, "\\Flagged");
        let next = w.next();
        assert!(w.carry_out(&next, &mut world::Budget(cut_after)).is_err());
        let set = [
            "flags INBOX [1] +\\Seen",
            "target flags INBOX:1 \"\\\\Seen\"",
        ];
        let rest = format!("{}\nflags INBOX [2] -\\Flagged repair", set[cut_after - 1]);
        steps(&mut w, &[&rest]);
        w.settle();
    }
}

#[test]
fn the_right_copy_is_put_beside_an_altered_one_once() {
    let mut w = mirrored(&["right"]);
    let alter = |w: &mut World, uid| {
        let mail = w
            .target
            .boxes
            .get_mut("INBOX")
            .unwrap()
            .mails
            .get_mut(&uid)
            .unwrap();
        mail.text = "wrong".to_owned();
        let content = mail.content();
        let at = w
            .target
            .rows
            .keys()
            .find(|at| at.uid == uid)
            .copied()
            .unwrap();
        w.target.rows.get_mut(&at).unwrap().content = content;
    };
    alter(&mut w, 1);
    let mut cut = w.clone();
    steps(&mut w, &["send INBOX:1 to INBOX altered", "nothing"]);
    alter(&mut w, 2);
    steps(&mut w, &["does not stay INBOX:1", "nothing"]);
    assert_eq!(w.sent.len(), 1);
    assert_eq!(w.target.boxes["INBOX"].mails.len(), 2);
    // Cut off after it was sent and before that was noted: it is found and not sent again.
    let next = cut.next();
    assert!(cut.carry_out(&next, &mut world::Budget(2)).is_err());
    steps(
        &mut cut,
        &[
            "read target INBOX [2]",
            "adopt INBOX:2 of INBOX:1",
            "nothing",
        ],
    );
    assert_eq!(cut.sent.len(), 1);
}

#[test]
fn a_cut_batch_is_found_again() {
    // Row noted; appended; linked: it is cut after each.
    for cut_after in 0..6 {
        let mut w = World::new();
        w.source.deliver("INBOX", "a");
        w.source.deliver("INBOX", "a");
        let next = w.next();
        let _ = w.carry_out(&next, &mut world::Budget(cut_after));
        w.settle();
        assert_eq!(w.sent.len(), 2, "{cut_after}");
        assert_eq!(w.target.boxes["INBOX"].mails.len(), 2, "{cut_after}");
    }
}

#[test]
fn what_cannot_be_read_is_left_where_it_is() {
    let mut w = mirrored(&["a"]);
    w.source.deliver("INBOX", "b");
    let mut view = w.view();
    let inbox = LogicalFolder::from_stored("INBOX");
    let side = view.pairs.get_mut(&inbox).unwrap().source.as_mut().unwrap();
    side.unreadable.insert(2);
    let next = plan(&view, Guard::default(), History::default(), None);
    assert_eq!(w.show(&next), "nothing\n");
}

#[test]
fn what_is_moved_on_the_target_is_misplaced_until_it_comes_back() {
    let mut w = mirrored(&["a", "b"]);
    w.target.move_to("INBOX", 1, "Else");
    let mut gone = w.clone();
    steps(
        &mut w,
        &[
            "read target Else [1]",
            "strayed INBOX:1 to Else:1 of INBOX:1",
            "nothing",
        ],
    );
    w.source.mark("INBOX", 1, "\\Seen");
    steps(
        &mut w,
        &[
            "source flags INBOX:1 \"\\\\Seen\"
             flags Else [1] +\\Seen",
            "target flags Else:1 \"\\\\Seen\"",
            "nothing",
        ],
    );
    w.target.move_to("Else", 1, "INBOX");
    steps(
        &mut w,
        &[
            "read target INBOX [3]",
            "adopt INBOX:3 of INBOX:1",
            "forget Else:1",
            "nothing",
        ],
    );
    assert_eq!(w.sent, []);
    // It goes on to another folder, and then for good: it is put back, once.
    gone.settle();
    gone.target.move_to("Else", 1, "Third");
    steps(
        &mut gone,
        &[
            "read target Third [1]",
            "strayed Else:1 to Third:1 of INBOX:1",
            "nothing",
        ],
    );
    gone.target.delete("Third", 1);
    steps(
        &mut gone,
        &[
            "forget Third:1 of INBOX:1
             send INBOX:1 to INBOX missing_at_standby",
            "nothing",
        ],
    );
    gone.target.move_to("INBOX", 3, "Else");
    gone.settle();
    gone.target.delete("Else", 2);
    steps(
        &mut gone,
        &["does not stay INBOX:1", "forget Else:2", "nothing"],
    );
    assert_eq!(gone.sent.len(), 1);
}

#[test]
fn a_stray_stands_for_one_copy_of_its_date() {
    let mut w = World::new();
    for date in [1, 1, 2] {
        w.source.deliver("INBOX", Mail::new("equal").at(date));
    }
    w.settle();
    w.sent.clear();
    w.target.move_to("INBOX", 2, "Else");
    for uid in [1, 3] {
        w.target.delete("INBOX", uid);
    }
    steps(
        &mut w,
        &[
            "read target Else [1]",
            "strayed INBOX:1 to Else:1 of INBOX:1
             forget INBOX:2 of INBOX:2
             forget INBOX:3 of INBOX:3
             send INBOX:2 to INBOX missing_at_standby
             send INBOX:3 to INBOX missing_at_standby",
            "nothing",
        ],
    );
}

#[test]
fn a_folder_renamed_on_the_target_sends_nothing_and_is_not_held() {
    let mut w = thirty();
    w.target.rename("INBOX", "Else");
    w.step();
    let strayed = w.step();
    assert!(!strayed.contains("held") && strayed.contains("create INBOX"));
    assert_eq!(strayed.matches("strayed").count(), 30);
    steps(&mut w, &["nothing"]);
    // New mail finds its folder.
    w.source.deliver("INBOX", "new");
    steps(&mut w, &["copy INBOX [31]", "nothing"]);
    w.target.boxes.remove("INBOX");
    w.target.rename("Else", "INBOX");
    w.settle();
    assert_eq!(w.sent, vec![("INBOX".to_owned(), "new".to_owned()); 2]);
    assert_eq!(w.target.boxes["INBOX"].mails.len(), 31);
}

#[test]
fn the_guard_does_not_count_what_strayed() {
    let mut w = thirty();
    for uid in 1..=30 {
        if uid <= 25 {
            w.target.move_to("INBOX", uid, "Else");
        } else {
            w.target.delete("INBOX", uid);
        }
    }
    w.step();
    assert!(!w.step().contains("held"));
    w.settle();
    assert_eq!(w.sent.len(), 5);
    for uid in 1..=25 {
        w.target.delete("Else", uid);
    }
    assert!(w.step().contains("held 25 of 30"));
}

#[test]
fn a_misplaced_copy_stays_where_its_message_is_moved_on_the_source() {
    // Elsewhere: nothing follows. To where the copy lies: it is in its place.
    let mut w = mirrored(&["a", "b"]);
    w.target.move_to("INBOX", 1, "Else");
    w.settle();
    let mut there = w.clone();
    w.source.move_to("INBOX", 1, "Done");
    steps(
        &mut w,
        &[
            "read source Done [1]",
            "create Done
             moved INBOX:1 to Done:1",
            "nothing",
        ],
    );
    w.target.move_to("Else", 1, "Done");
    w.settle();
    assert_eq!((w.sent.len(), w.tombstones.len()), (0, 0));
    there.source.move_to("INBOX", 1, "Else");
    steps(
        &mut there,
        &[
            "read source Else [1]",
            "moved INBOX:1 to Else:1",
            "placed Else:1",
            "nothing",
        ],
    );
    // Moved on both sides at once.
    let mut both = mirrored(&["a", "b"]);
    both.source.move_to("INBOX", 1, "Done");
    both.target.move_to("INBOX", 1, "Done");
    both.settle();
    assert_eq!((both.sent.len(), both.tombstones.len()), (0, 0));
    let mut apart = mirrored(&["a", "b"]);
    apart.source.move_to("INBOX", 1, "Done");
    apart.target.move_to("INBOX", 1, "Else");
    apart.settle();
    assert_eq!((apart.sent.len(), apart.tombstones.len()), (0, 0));
}

#[test]
fn new_uids_on_either_side_keep_a_misplaced_copy() {
    for (source, inbox, other) in [
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, true, true),
    ] {
        let mut w = mirrored(&["a", "b"]);
        w.target.move_to("INBOX", 1, "Else");
        w.settle();
        if source {
            w.source.renumber("INBOX");
        }
        if inbox {
            w.target.renumber("INBOX");
        }
        if other {
            w.target.renumber("Else");
        }
        w.settle();
        let (at, row) = w.source.rows.iter().next().unwrap();
        let copy = row.copy.unwrap();
        assert_eq!(w.target.name_of(copy.folder), Some("Else"), "{at:?}");
        assert_eq!(w.target.rows[&copy].origin, Origin::Strayed);
        w.target.delete("Else", copy.uid);
        w.settle();
        assert_eq!(w.sent.len(), 1);
    }
}

#[test]
fn a_message_that_comes_back_after_its_copy_strayed_is_not_sent() {
    let mut w = mirrored(&["a"]);
    let mail = w.source.delete("INBOX", 1);
    w.settle();
    w.target.move_to("INBOX", 1, "Else");
    w.settle();
    w.source.deliver("INBOX", mail);
    w.settle();
    assert_eq!(w.sent, []);
}

#[test]
fn a_stray_is_looked_for_in_folders_that_did_not_change() {
    let mut w = World::new();
    (w.partial, w.whole) = (true, false);
    w.source.deliver("INBOX", "a");
    w.settle();
    // Somebody copies it elsewhere; a run later the first is gone.
    w.target.deliver("Else", "a");
    w.settle();
    w.target.delete("INBOX", 1);
    steps(
        &mut w,
        &[
            "look",
            "read target Else [1]",
            "strayed INBOX:1 to Else:1 of INBOX:1",
            "nothing",
        ],
    );
    w.end_run();
    steps(&mut w, &["nothing"]);
    // Then that folder alone changes.
    w.target.delete("Else", 1);
    steps(
        &mut w,
        &[
            "look",
            "forget Else:1 of INBOX:1
             send INBOX:1 to INBOX missing_at_standby",
            "nothing",
        ],
    );
}

#[test]
fn a_stray_whose_octets_changed_is_none() {
    let mut w = mirrored(&["a"]);
    w.target.move_to("INBOX", 1, "Else");
    w.settle();
    let copy = w.source.rows.values().next().unwrap().copy.unwrap();
    w.target.rows.get_mut(&copy).unwrap().content = ContentId::of(b"other");
    w.settle();
    assert_eq!(w.sent, [("INBOX".to_owned(), "a".to_owned())]);
}

/// A ledger restored from an older copy, and renames since: one of them we had followed.
#[test]
fn renames_since_an_older_ledger_was_kept_are_followed() {
    for (last, moves) in [("Newer", true), ("Newer", false), ("New", true)] {
        let mut w = World::new();
        w.moves = moves;
        for (folder, text) in [("Old", "one"), ("Old", "two"), ("Old/Sub", "three")] {
            w.source.deliver(folder, text);
        }
        w.settle();
        let kept = w.keep_ledger();
        for (from, to) in [("Old", "New"), ("Old/Sub", "New/Sub")] {
            w.source.rename(from, to);
        }
        w.settle();
        w.source.deliver("New", "four");
        w.settle();
        if last != "New" {
            w.source.rename("New", last);
            w.source.rename("New/Sub", &format!("{last}/Sub"));
        }
        // The whole data folder is older: of the fourth nobody knows.
        w.restore_ledger(&kept, false);
        w.sent.clear();
        w.settle();
        assert_eq!(w.sent, [], "{last}");
        let mut named = w.source.boxes.keys();
        assert!(
            named.all(|name| w.target.boxes[name].mails.len() == w.source.boxes[name].mails.len())
        );
        assert_eq!(w.target.boxes.len(), 2, "{:?}", w.target.boxes.keys());
        assert!(
            w.target
                .rows
                .values()
                .all(|row| row.origin != Origin::Strayed)
        );
    }
}

/// An older ledger, equal messages in two folders, and since then two were deleted and others moved.
#[test]
fn of_equal_messages_each_copy_keeps_an_owner_after_an_older_ledger_came_back() {
    for (deleted, from, to) in [
        ("INBOX", "A", "INBOX"),
        ("INBOX", "INBOX", "A"),
        ("A", "INBOX", "A"),
    ] {
        let mut w = World::new();
        for folder in ["INBOX", "A"] {
            for text in ["one", "two", "six", "ten"] {
                for _ in 0..3 {
                    w.source.deliver(folder, text);
                }
            }
        }
        w.settle();
        let kept = w.keep_ledger();
        w.source.delete(deleted, 1);
        w.source.delete(deleted, 2);
        w.settle();
        for uid in 3..8 {
            w.source.move_to(from, uid, to);
        }
        w.settle();
        w.restore_ledger(&kept, false);
        w.sent.clear();
        w.settle();
        assert_eq!(w.sent, [], "{deleted} {from} {to}");
        let owned: BTreeSet<Place> = w
            .source
            .rows
            .values()
            .filter_map(|row| row.copy)
            .chain(w.tombstones.iter().filter_map(|t| t.copy))
            .collect();
        for (name, mailbox) in &w.target.boxes {
            for uid in mailbox.mails.keys() {
                let known = w.target.known[name];
                let at = Place {
                    folder: known.folder,
                    generation: known.generation,
                    uid: *uid,
                };
                assert!(
                    owned.contains(&at),
                    "{deleted} {from} {to}: nobody's {name}:{uid}"
                );
            }
        }
    }
}
