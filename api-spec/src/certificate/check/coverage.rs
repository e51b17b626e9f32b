//! Coverage against counts, and cut points against corners.

use super::{Certificate, Found};
use crate::vocabulary::{Class, Corner, Depth};

impl Certificate {
    /// Of a corner that was not read whole only that no more was proved now than ever.
    pub(super) fn check_coverage(&self, found: &mut Found) {
        for (i, c) in self.coverage.iter().enumerate() {
            let messages = self.of(c.corner).messages;
            let mut say = |name: &str, rule: String| {
                found.say(format!("/coverage/{i}/{name}"), rule);
            };
            if c.content_verified_now > c.content_verified {
                let rule = format!("at most content_verified, which is {}", c.content_verified);
                say("content_verified_now", rule);
            }
            if !c.whole {
                continue;
            }
            if c.content_verified > messages {
                let rule = format!("at most {messages}, the messages of the corner");
                say("content_verified", rule);
                continue;
            }
            let proved = messages > 0 && c.content_verified == messages;
            if c.oldest_proof.is_some() != proved {
                let rule = "there if and only if there are messages and all of them were verified";
                say("oldest_proof", rule.to_owned());
            }
            if self.depth == Depth::Content && messages > 0 && c.content_verified_now == 0 {
                let rule =
                    "not 0 at depth content for a corner that has messages and was read whole";
                say("content_verified_now", rule.to_owned());
            }
        }
    }

    /// An account that held mail at the cut had a folder then; all that came after it is late.
    pub(super) fn check_cut(&self, found: &mut Found) {
        let late = self.differences.iter().any(|d| d.class == Class::Late);
        for corner in [Corner::Primary, Corner::Standby] {
            let cut = self.cut.iter().any(|cut| cut.corner == corner);
            if self.of(corner).messages > 0 && !cut && !late {
                found.say(
                    "/cut",
                    format!("the folders of the {corner}, which has messages"),
                );
            }
        }
    }
}
