//! How an agent is, from what its row says and the server's clock.

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_api_spec::vocabulary::AgentState;

/// What an agent's row says of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signs {
    /// Whether another took its site.
    pub replaced: bool,
    /// Whether an assertion's counter had not grown.
    pub clone_seen: bool,
    /// Its last sign of life.
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    /// When a cycle last came to its end, or else when it was enrolled.
    pub last_cycle_at: Option<DateTime<Utc>>,
    /// Its clock minus the server's.
    pub skew_ms: Option<i64>,
}

/// No sign of life for so long: late. Agents come every 30 to 60 seconds.
const LATE: TimeDelta = TimeDelta::minutes(2);
/// No sign of life for so long: offline.
const OFFLINE: TimeDelta = TimeDelta::minutes(10);
/// No finished cycle for so long: stuck.
const STUCK: TimeDelta = TimeDelta::hours(24);
/// A clock so far away: skewed.
const SKEWED_MS: u64 = 60_000;

/// The first state that applies.
#[must_use]
pub fn of(signs: Signs, now: DateTime<Utc>) -> AgentState {
    let silent = signs.last_heartbeat_at.map(|at| now - at);
    if signs.replaced {
        AgentState::Replaced
    } else if signs.clone_seen {
        AgentState::CloneSuspected
    } else if silent.is_none_or(|silent| silent >= OFFLINE) {
        AgentState::Offline
    } else if silent.is_some_and(|silent| silent >= LATE) {
        AgentState::Late
    } else if signs
        .skew_ms
        .is_some_and(|skew| skew.unsigned_abs() >= SKEWED_MS)
    {
        AgentState::Skewed
    } else if signs.last_cycle_at.is_none_or(|at| now - at >= STUCK) {
        AgentState::Stuck
    } else {
        AgentState::Online
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_state_that_applies() {
        let now: DateTime<Utc> = "2026-11-24T12:00:00Z".parse().unwrap();
        let fresh = Signs {
            last_heartbeat_at: Some(now - TimeDelta::seconds(45)),
            last_cycle_at: Some(now - TimeDelta::hours(2)),
            skew_ms: Some(-400),
            ..Signs::default()
        };
        let check = |signs, expected| assert_eq!(of(signs, now), expected, "{signs:?}");
        check(fresh, AgentState::Online);
        check(Signs::default(), AgentState::Offline);
        let ago = |minutes| Some(now - TimeDelta::minutes(minutes));
        check(
            Signs {
                last_heartbeat_at: ago(3),
                ..fresh
            },
            AgentState::Late,
        );
        check(
            Signs {
                last_heartbeat_at: ago(10),
                ..fresh
            },
            AgentState::Offline,
        );
        check(
            Signs {
                last_cycle_at: ago(24 * 60),
                ..fresh
            },
            AgentState::Stuck,
        );
        check(
            Signs {
                skew_ms: Some(-61_000),
                ..fresh
            },
            AgentState::Skewed,
        );
        check(
            Signs {
                skew_ms: Some(i64::MIN),
                ..fresh
            },
            AgentState::Skewed,
        );
        check(
            Signs {
                clone_seen: true,
                ..fresh
            },
            AgentState::CloneSuspected,
        );
        check(
            Signs {
                replaced: true,
                clone_seen: true,
                ..fresh
            },
            AgentState::Replaced,
        );
    }
}
