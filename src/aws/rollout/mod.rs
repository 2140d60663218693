//! A service's way to a version on ECS, without CloudFormation.
//!
//! Guarantees: a version is registered once and started once, whatever happens between two calls;
//! it counts as live only when the one deployment that we started ended well, its targets are healthy
//! and the public address answered from its very image; a failure is named by the first task that
//! stopped on its own account, with its last log lines.
//!
//! | file | purpose |
//! |---|---|
//! | `memory` | what one process remembers of a rollout, to ask AWS less; never needed |
//! | `definition`, `registered` | the task definition: decided, and made once |
//! | `snapshot`, `judge` | what ECS says of a service, and what that means |
//! | `migrate`, `canary`, `start`, `check`, `retire` | the phases |
//! | `one_off` | a task that no service keeps: a migration's, a canary's |
//! | `autopsy`, `doctor` | why a task stopped: decided, and read |
//! | `wellbeing` | how what went live is doing |
//! | `task` | tasks as plain values |
//! | `probe` | the public address, asked through the public door |

mod autopsy;
mod canary;
mod check;
mod definition;
mod doctor;
mod judge;
mod memory;
mod migrate;
mod one_off;
mod probe;
mod registered;
mod retire;
mod snapshot;
mod start;
mod task;
mod wellbeing;

pub(super) use autopsy::{Life, Subject, told};
pub(super) use canary::{canary, canary_of};
pub(super) use check::check;
pub(super) use doctor::{read_log, targets_of};
pub(super) use memory::{Memory, Noted, Track};
pub(super) use migrate::migrate;
pub(super) use registered::label_of;
pub(super) use retire::retire;
pub(super) use snapshot::{Deployment, RolloutState, Seen, describe};
pub(super) use start::start;
pub(super) use task::{TaskSeen, ended};
pub(super) use wellbeing::{Why, calm, doing, is_lacking, is_silent, is_suspicious, serves};

use super::Shared;
use super::clients::Clients;
use super::stage_stack::{StageService, StageStack};
use crate::model::{Output, ServiceName, StageId};
use crate::port::{Progress, Rollout};

/// What every phase works with.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) shared: &'a Shared,
    pub(super) clients: &'a Clients,
    pub(super) rollout: &'a Rollout<'a>,
    pub(super) stack: &'a StageStack,
    pub(super) service: &'a StageService,
}

impl Work<'_> {
    fn name(&self) -> &ServiceName {
        &self.rollout.service.name
    }

    fn stage(&self) -> &StageId {
        &self.rollout.stage.stage
    }

    fn family(&self) -> String {
        self.shared.names.family(self.stage(), self.name())
    }
}

fn pending(again_millis: i64, note: impl Into<String>) -> Progress<Output> {
    Progress::Pending { again_millis, note: note.into() }
}
