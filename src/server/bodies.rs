//! The memory that the bodies of all requests share.

use std::sync::{Arc, Mutex, PoisonError};

/// A body up to this size is small: GitHub's deliveries are, nearly all of them.
const SMALL: usize = 256 * 1024;

/// How many bytes of bodies are in memory.
#[derive(Debug)]
pub(super) struct Bodies {
    most: usize,
    held: Mutex<usize>,
}

/// What one body takes of it, until dropped.
#[derive(Debug)]
pub(super) struct Share {
    bodies: Arc<Bodies>,
    bytes: usize,
}

/// There is no room for more at the moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Bodies {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::new(0) })
    }

    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { bodies: Arc::clone(self), bytes: 0 }
    }
}

impl Share {
    /// Takes room for more bytes, which have come: what is only announced takes none. The last eighth is
    /// for small bodies alone, so that a few large ones do not keep everybody else out.
    pub(super) fn grow(&mut self, by: usize) -> Result<(), Full> {
        let bytes = self.bytes.saturating_add(by);
        let most = if bytes > SMALL { self.bodies.most - self.bodies.most / 8 } else { self.bodies.most };
        let mut held = self.bodies.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.saturating_add(by) > most {
            return Err(Full);
        }
        *held += by;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.bodies.held.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_leave_room_for_small_ones_and_everything_is_given_back() {
        let bodies = Bodies::new(16 * SMALL);
        let mut large = bodies.share();
        assert_eq!(large.grow(14 * SMALL), Ok(()));
        assert_eq!(bodies.share().grow(SMALL + 1), Err(Full));
        let (mut one, mut two) = (bodies.share(), bodies.share());
        assert_eq!((one.grow(SMALL), two.grow(SMALL)), (Ok(()), Ok(())));
        assert_eq!(bodies.share().grow(1), Err(Full), "everything is in use");
        assert_eq!(one.grow(1), Err(Full));
        drop((large, one, two));
        assert_eq!(*bodies.held.lock().expect("nobody panicked"), 0);
    }
}
