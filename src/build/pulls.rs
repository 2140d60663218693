//! One pull of an image's name at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

use super::jobs::locked;

/// Two that find nothing under a name and pull it for two processors would have it lead to the second
/// one's image, while the first one's build is still to begin.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulls(Arc<Mutex<HashMap<String, Weak<Turns<()>>>>>);

impl Pulls {
    /// Waits until nobody else looks for that name or pulls it.
    pub(super) async fn turn(&self, name: &str) -> OwnedMutexGuard<()> {
        let turns = {
            let mut known = locked(&self.0);
            known.retain(|_, turns| turns.strong_count() > 0);
            let under_way = known.get(name).and_then(Weak::upgrade);
            under_way.unwrap_or_else(|| {
                let turns = Arc::new(Turns::new(()));
                known.insert(name.to_owned(), Arc::downgrade(&turns));
                turns
            })
        };
        turns.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_name_is_pulled_by_one_and_forgotten_by_all() {
        let pulls = Pulls::default();
        let first = pulls.turn("node").await;
        assert!(pulls.turn("node").now_or_never().is_none(), "it waits");
        let other = pulls.turn("debian").now_or_never().expect("another name waits for nobody");
        drop(first);
        assert!(pulls.turn("node").now_or_never().is_some());
        drop(other);
        drop(pulls.turn("last").await);
        assert_eq!(locked(&pulls.0).len(), 1, "what nobody pulls is not kept");
    }
}
