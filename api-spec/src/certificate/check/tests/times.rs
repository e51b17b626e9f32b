//! Times by the agent's clock.

use super::*;

#[test]
fn nothing_is_older_than_the_first_agent() {
    check(|p| p.tx_at = EARLIEST, &[]);
    let before = EARLIEST - TimeDelta::seconds(1);
    check(move |p| p.tx_at = before, &["/tx_at"]);
    check(
        move |p| p.coverage[2].oldest_proof = Some(before),
        &["/coverage/2/oldest_proof"],
    );
    let mended = move |at| {
        let one = repair(Class::MissingAtStandby, Corner::Standby);
        move |p: &mut Certificate| p.repairs = vec![RepairCount { at, ..one }]
    };
    check(mended(EARLIEST), &[]);
    check(mended(before), &["/repairs/0/at"]);
    check(mended(DateTime::UNIX_EPOCH), &["/repairs/0/at"]);
    assert_eq!(EARLIEST, at("2026-01-01T00:00:00Z"));
}

#[test]
fn what_is_mended_later_is_the_next_ones() {
    let mended = |after| {
        move |p: &mut Certificate| {
            let one = repair(Class::FlagsDiffer, Corner::Standby);
            let at = p.tx_at + TimeDelta::seconds(after);
            p.repairs = vec![RepairCount { at, ..one }];
        }
    };
    check(mended(0), &[]);
    check(mended(1), &["/repairs/0/at"]);
    // Bytes are read back after the cut.
    check(
        |p| p.coverage[0].oldest_proof = Some(p.tx_at + TimeDelta::seconds(9)),
        &[],
    );
}

#[test]
fn what_is_noted_by_the_second_is_said_so() {
    let part = TimeDelta::milliseconds(1);
    check(move |p| p.tx_at -= part, &[]);
    check(
        move |p| {
            let one = repair(Class::FlagsDiffer, Corner::Standby);
            let at = one.at + part;
            p.repairs = vec![RepairCount { at, ..one }];
            let proof = p.coverage[1].oldest_proof.as_mut().unwrap();
            *proof += part;
        },
        &["/repairs/0/at", "/coverage/1/oldest_proof"],
    );
}
