//! What was said already: a fault that stays is said once, and not by every look that meets it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What one process said last of each thing. A restart says it once more.
#[derive(Default)]
pub(super) struct SaidOnce(Mutex<HashMap<String, String>>);

impl SaidOnce {
    /// Whether these words are news about something. They are none from then on, until others are said or
    /// it is over.
    pub(super) fn is_news(&self, about: &str, words: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(about.to_owned(), words.to_owned()).is_none_or(|before| before != words)
    }

    /// Nothing is wrong with it any more; answers whether something was.
    pub(super) fn is_over(&self, about: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(about).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_stays_is_said_once() {
        let said = SaidOnce::default();
        let told = ["denied", "denied", "away", "denied"].map(|words| said.is_news("the sweep", words));
        assert_eq!(told, [true, false, true, true]);
        assert!(said.is_news("another", "denied"));
        assert!(said.is_over("the sweep") && !said.is_over("the sweep"));
        assert!(said.is_news("the sweep", "denied"));
    }
}
