//! Waiting after a passing fault: doubling, capped, and spread so that a thousand stages which
//! failed together do not come back together.

use sha2::{Digest, Sha256};

const FIRST_MILLIS: i64 = 1_000;
const CAP_MILLIS: i64 = 60_000;

/// Milliseconds to wait before try number `attempt` (1 is the first repetition).
///
/// Doubles from one second to a minute. `key` stands in for chance: it moves the wait by up to a
/// quarter either way, the same for the same key and attempt. `asked_millis` is what the other
/// side asked for; it is never undercut, and the spread is added to it.
pub fn backoff_millis(key: &str, attempt: u32, asked_millis: Option<i64>) -> i64 {
    let doubled = FIRST_MILLIS.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(CAP_MILLIS);
    let hash = Sha256::digest(format!("{key}#{attempt}"));
    let chance = i64::from(u16::from_be_bytes([hash[0], hash[1]]));
    match asked_millis {
        Some(asked) => asked.max(doubled) + doubled / 4 * chance / i64::from(u16::MAX),
        None => doubled * 3 / 4 + doubled / 2 * chance / i64::from(u16::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_minute_and_never_undercuts_what_was_asked() {
        for (attempt, low, high) in [(1, 750, 1_250), (2, 1_500, 2_500), (5, 12_000, 20_000), (40, 45_000, 75_000)] {
            let millis = backoff_millis("stage:acme/shop/pr-1", attempt, None);
            assert!((low..=high).contains(&millis), "attempt {attempt}: {millis}");
        }
        assert!(backoff_millis("x", 1, Some(30_000)) >= 30_000);
    }

    #[test]
    fn stages_that_failed_together_come_back_apart() {
        let waits: std::collections::BTreeSet<i64> =
            (0..50).map(|n| backoff_millis(&format!("pr-{n}"), 4, None)).collect();
        assert!(waits.len() > 40, "{} different waits of 50", waits.len());
    }
}
