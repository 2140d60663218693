//! What is said once: the same refusal each hour is nobody's news. What may not be read is gone on without.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::port::{PortError, PortResult};

/// What was said last, by what it was about.
#[derive(Debug, Default)]
pub(super) struct SaidOnce(Mutex<BTreeMap<String, String>>);

impl SaidOnce {
    /// Whether something else was said of it before, or nothing.
    pub(super) fn is_news(&self, about: &str, said: &str) -> bool {
        let mut before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        before.insert(about.to_owned(), said.to_owned()).as_deref() != Some(said)
    }

    /// What was read; nothing where that is not allowed, which is named. `what` says what it is, in words.
    pub(super) fn unless_refused<T: Default>(&self, what: &str, read: PortResult<T>) -> PortResult<T> {
        match read {
            Err(PortError::Denied { reason }) => {
                if self.is_news(what, &reason) {
                    tracing::warn!("{what} may not be read, and it goes on without: {reason}");
                }
                Ok(T::default())
            }
            read => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_no_news_twice() {
        let once = SaidOnce::default();
        let told = [("a", "no"), ("a", "no"), ("b", "no"), ("a", "never"), ("a", "no")];
        assert_eq!(told.map(|(about, said)| once.is_news(about, said)), [true, false, true, true, true]);
    }

    #[test]
    fn a_refusal_is_gone_on_without_and_nothing_else_is() {
        let once = SaidOnce::default();
        let denied = || Err(PortError::Denied { reason: "no".into() });
        assert_eq!(once.unless_refused("logs", denied()).ok(), Some(Vec::<u8>::new()));
        assert!(!once.is_news("logs", "no"), "it was named");
        assert_eq!(once.unless_refused("logs", Ok(vec![1])).ok(), Some(vec![1]));
        let away: PortResult<Vec<u8>> = Err(PortError::retry("away"));
        assert!(matches!(once.unless_refused("logs", away), Err(PortError::Retry { .. })));
    }
}
