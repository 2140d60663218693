//! How a test says that the target refuses, or that something on it is not well.

use std::sync::Arc;

use tokio::sync::Barrier;

use super::SandboxCloud;
use crate::model::{Condition, ServiceName, StageId};

/// Looks that wait for each other.
pub(super) struct Meeting {
    expected: usize,
    door: Arc<Barrier>,
}

impl SandboxCloud {
    /// Nothing may be looked at, which is said in these words; everything may again where it is `None`.
    pub fn refuse_looks(&self, words: Option<&str>) {
        self.lock().refusal = words.map(str::to_owned);
    }

    /// A service that serves is doing like this from now on, and the target tells so.
    pub fn ail(&self, stage: &StageId, service: &ServiceName, condition: Condition) {
        let mut state = self.lock();
        state.ailing.insert((stage.clone(), service.clone()), condition);
        state.stirred.push_back(stage.clone());
        drop(state);
        self.told.notify_one();
    }

    /// None of the next looks at how a stage is doing, this many, is answered before all of them are asked.
    pub fn answer_together(&self, looks: usize) {
        self.lock().meeting = Some(Meeting { expected: looks, door: Arc::new(Barrier::new(looks)) });
    }

    /// Waits for the others, if there are any to wait for.
    pub(super) async fn meet(&self) {
        let door = self.next_door();
        if let Some(door) = door {
            door.wait().await;
        }
    }

    fn next_door(&self) -> Option<Arc<Barrier>> {
        let mut state = self.lock();
        let mut meeting = state.meeting.take()?;
        let door = meeting.door.clone();
        meeting.expected = meeting.expected.saturating_sub(1);
        if meeting.expected > 0 {
            state.meeting = Some(meeting);
        }
        Some(door)
    }
}
