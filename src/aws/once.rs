//! What is said once: the same refusal each hour is nobody's news.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What was said last, by what it was about.
#[derive(Debug, Default)]
pub(super) struct SaidOnce(Mutex<BTreeMap<String, String>>);

impl SaidOnce {
    /// Whether something else was said of it before, or nothing.
    pub(super) fn is_news(&self, about: &str, said: &str) -> bool {
        let mut before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        before.insert(about.to_owned(), said.to_owned()).as_deref() != Some(said)
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
}
