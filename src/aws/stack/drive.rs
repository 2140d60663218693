//! Creating and updating a stack.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_cloudformation::types::{Capability, DeploymentConfig, DeploymentConfigMode, StackStatus};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::super::Shared;
use super::super::clients::Clients;
use super::super::fault::{fault, is};
use super::super::marks::Marks;
use super::body::{self, Body};
use super::decide::{Attempt, Match, Move, to_hold};
use super::events::{self, Event, Reach};
use super::read::{Snapshot, describe};
use super::wish::{AfterFailure, Pace, Protection, Wish, parameters, tags, token};
use crate::model::FailureKind;
use crate::port::{PortError, PortResult, Progress};

/// Always all: without the right one CloudFormation refuses, and what the templates may hold is
/// bounded by the templates, which are ours.
pub(super) const CAPABILITIES: [Capability; 3] =
    [Capability::CapabilityIam, Capability::CapabilityNamedIam, Capability::CapabilityAutoExpand];

/// Which operations this process has begun, by stack and by whom it was done for.
///
/// A failed stack tells whether it failed just now, for this caller, or is left over from before:
/// the first is told, the second is cleared away.
#[derive(Debug, Default)]
pub(in crate::aws) struct Begun(Mutex<BTreeMap<(String, String), Attempt>>);

impl Begun {
    fn get(&self, stack: &str, holder: &str) -> Attempt {
        let key = (stack.to_owned(), holder.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied().unwrap_or_default()
    }

    fn set(&self, stack: &str, holder: &str, attempt: Attempt) {
        let key = (stack.to_owned(), holder.to_owned());
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match attempt {
            Attempt::None => begun.remove(&key),
            Attempt::Change | Attempt::Rollback => begun.insert(key, attempt),
        };
    }
}

/// What a look at a stack asks its caller for.
#[derive(Debug)]
pub(in crate::aws) enum Step {
    Done(Snapshot),
    Pending { again_millis: i64, note: String },
    Create,
    Update(Snapshot),
}

impl Step {
    fn soon(note: impl Into<String>) -> Self {
        Self::Pending { again_millis: FIRST_MILLIS, note: note.into() }
    }
}

const FIRST_MILLIS: i64 = 1_000;
const LAST_MILLIS: i64 = 10_000;

/// How long to leave CloudFormation alone, by how long it has been at it: a tenth of that, so that
/// many stacks made at once do not use up the account's rate of reads.
pub(super) fn again_millis(busy_millis: i64) -> i64 {
    (busy_millis / 10).clamp(FIRST_MILLIS, LAST_MILLIS)
}

/// Drives stacks of one place for one holder.
pub(in crate::aws) struct Driver<'a> {
    pub(in crate::aws) shared: &'a Shared,
    pub(in crate::aws) clients: &'a Clients,
    /// For whom: a stage, or the command line.
    pub(in crate::aws) holder: String,
}

impl<'a> Driver<'a> {
    /// For somebody at the command line.
    pub(in crate::aws) fn by_hand(shared: &'a Shared, clients: &'a Clients) -> Self {
        Self { shared, clients, holder: "the command line".to_owned() }
    }

    /// Looks at a stack and clears what is in the way. `is_same` compares it with what is wanted; one that
    /// is not known by its marks is refused, whatever state it is in.
    pub(in crate::aws) async fn look(
        &self,
        name: &str,
        marks: &Marks,
        is_same: impl Fn(&Snapshot) -> Match,
    ) -> PortResult<Step> {
        let seen = describe(self.clients, name).await?;
        seen.as_ref().map_or(Ok(()), |stack| marks.require(stack))?;
        let attempt = self.attempt(name);
        let same = seen.as_ref().map_or(Match::Different, is_same);
        let next = to_hold(seen.as_ref().map(|stack| &stack.status), same, attempt);
        let Some(stack) = seen else { return Ok(Step::Create) };
        match next {
            Move::Create => Ok(Step::Create),
            Move::Update => Ok(Step::Update(stack)),
            Move::Done => {
                self.mark(name, Attempt::None);
                Ok(Step::Done(stack))
            }
            Move::Wait => self.wait(&stack, same, attempt).await,
            Move::Clear => match super::remove::remove(self.shared, self.clients, name).await? {
                Progress::Done(()) => Ok(Step::Create),
                Progress::Pending { again_millis, note } => Ok(Step::Pending { again_millis, note }),
            },
            Move::ContinueRollback => self.continue_rollback(&stack).await,
            Move::Fail => self.fail(&stack).await,
            Move::Stuck => {
                self.mark(name, Attempt::None);
                Err(stuck(&stack, events::first_failure(&self.events(&stack, Reach::Operation).await?)))
            }
        }
    }

    /// Begins to create a stack. One that another made in the meantime is looked at next time.
    pub(in crate::aws) async fn create(&self, wish: &Wish) -> PortResult<Step> {
        let body = body::place(self.shared, self.clients, &wish.name, &wish.template).await?;
        let express = DeploymentConfig::builder().mode(DeploymentConfigMode::Express).disable_rollback(false).build();
        let request = self
            .clients
            .cloudformation
            .create_stack()
            .stack_name(&wish.name)
            .set_template_body(body.text())
            .set_template_url(body.url())
            .set_parameters(Some(parameters(wish)))
            .set_tags(Some(tags(wish)))
            .set_capabilities(Some(CAPABILITIES.to_vec()))
            .enable_termination_protection(wish.protection == Protection::On)
            .set_deployment_config(Some(express).filter(|_| wish.pace == Pace::Express))
            .client_request_token(token(wish, None));
        match request.send().await {
            Ok(_) => {}
            Err(error) if is(&error, "AlreadyExistsException") || is(&error, "TokenAlreadyExistsException") => {}
            Err(error) => return Err(refused(&wish.name, "cloudformation:CreateStack", error)),
        }
        self.mark(&wish.name, Attempt::Change);
        Ok(Step::soon("CloudFormation begins"))
    }

    /// Begins to update a stack; `Done` when nothing differs after all.
    pub(in crate::aws) async fn update(&self, wish: &Wish, stack: Snapshot) -> PortResult<Step> {
        let body = body::place(self.shared, self.clients, &wish.name, &wish.template).await?;
        let request = self
            .clients
            .cloudformation
            .update_stack()
            .stack_name(&wish.name)
            .set_template_body(body.text())
            .set_template_url(body.url())
            .set_parameters(Some(parameters(wish)))
            .set_tags(Some(tags(wish)))
            .set_capabilities(Some(CAPABILITIES.to_vec()))
            .disable_rollback(wish.after_failure == AfterFailure::Stay)
            .client_request_token(token(wish, Some(&stack)));
        match request.send().await {
            Ok(_) => {}
            Err(error) if is_unchanged(&error) => return Ok(Step::Done(stack)),
            Err(error) if is(&error, "TokenAlreadyExistsException") => {}
            // Somebody else began first; the next look sees it.
            Err(error) if is_busy(&error) => return Ok(Step::soon("CloudFormation is at another change")),
            Err(_) if stack.status == StackStatus::UpdateFailed => return self.take_back(&stack).await,
            Err(error) => return Err(refused(&wish.name, "cloudformation:UpdateStack", error)),
        }
        self.mark(&wish.name, Attempt::Change);
        Ok(Step::soon("CloudFormation begins"))
    }

    async fn wait(&self, stack: &Snapshot, same: Match, attempt: Attempt) -> PortResult<Step> {
        // Of a stack that several hold it is somebody else's change, whose end is not ours.
        let is_own = matches!(same, Match::Same | Match::Different);
        if is_own && attempt == Attempt::None && stack.status != StackStatus::DeleteInProgress {
            self.mark(&stack.name, Attempt::Change);
        }
        let note = events::note(&self.events(stack, Reach::Page).await?);
        let note = if note.is_empty() { format!("CloudFormation is at {}", stack.status) } else { note };
        let busy = self.shared.settings.clock.now().0 - stack.began;
        Ok(Step::Pending { again_millis: again_millis(busy), note })
    }

    async fn continue_rollback(&self, stack: &Snapshot) -> PortResult<Step> {
        let request = self.clients.cloudformation.continue_update_rollback().stack_name(&stack.name);
        match request.send().await {
            Ok(_) => {}
            Err(error) if is_busy(&error) => {}
            Err(error) => return Err(fault("cloudformation:ContinueUpdateRollback", error)),
        }
        self.mark(&stack.name, Attempt::Rollback);
        Ok(Step::soon("continuing a rollback that was stuck"))
    }

    /// The way out of `UPDATE_FAILED` where no update is accepted: back to what was there before.
    async fn take_back(&self, stack: &Snapshot) -> PortResult<Step> {
        match self.clients.cloudformation.rollback_stack().stack_name(&stack.name).send().await {
            Ok(_) => {}
            Err(error) if is_busy(&error) => {}
            Err(error) => return Err(refused(&stack.name, "cloudformation:RollbackStack", error)),
        }
        self.mark(&stack.name, Attempt::Rollback);
        Ok(Step::soon("taking back an update that failed"))
    }

    async fn fail(&self, stack: &Snapshot) -> PortResult<Step> {
        let events = self.events(stack, Reach::Operation).await?;
        self.mark(&stack.name, Attempt::None);
        let cause = events::first_failure(&events);
        if cause.is_some_and(is_passing) {
            return Ok(Step::soon("another stage took the same rule number; taking the next"));
        }
        Err(failed(stack, cause))
    }

    async fn events(&self, stack: &Snapshot, reach: Reach) -> PortResult<Vec<Event>> {
        events::read(self.clients, &stack.id, reach).await
    }

    fn attempt(&self, name: &str) -> Attempt {
        self.shared.begun.get(name, &self.holder)
    }

    fn mark(&self, name: &str, attempt: Attempt) {
        self.shared.begun.set(name, &self.holder, attempt);
    }
}

/// A number that another took between our look and CloudFormation's.
fn is_passing(event: &Event) -> bool {
    event.kind.ends_with("::ListenerRule")
        && (event.reason.contains("in use") || event.reason.contains("PriorityInUse"))
}

fn is_unchanged(error: &impl ProvideErrorMetadata) -> bool {
    error.message().is_some_and(|message| message.contains("No updates are to be performed"))
}

/// `Stack [..] is in UPDATE_IN_PROGRESS state and can not be updated`, and the like.
pub(super) fn is_busy(error: &impl ProvideErrorMetadata) -> bool {
    error.message().is_some_and(|message| message.contains("_IN_PROGRESS") || message.contains("OperationInProgress"))
}

/// What CloudFormation finds wrong with a request is told whole: a parameter, a property, a limit.
fn refused<E>(
    name: &str,
    operation: &str,
    error: aws_smithy_runtime_api::client::result::SdkError<E, Response>,
) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.message().filter(|_| is(&error, "ValidationError")) {
        Some(message) => PortError::failed(
            FailureKind::Environment,
            format!("CloudFormation refuses the stack {name}: {message}"),
            "Look at the stack in the console of CloudFormation, or report this if Greenroom alone made it.",
        ),
        None => fault(operation, error),
    }
}

type Response = aws_smithy_runtime_api::client::orchestrator::HttpResponse;

fn failed(stack: &Snapshot, cause: Option<&Event>) -> PortError {
    let summary = match cause {
        Some(event) => format!(
            "CloudFormation could not make {} of the stack {}: {}",
            events::thing(&event.kind, &event.logical),
            stack.name,
            event.reason
        ),
        None => format!("the stack {} came to {}: {}", stack.name, stack.status, stack.reason),
    };
    PortError::failed(
        FailureKind::Environment,
        summary,
        "Remove the cause and deploy again: what failed is cleared away first.",
    )
}

fn stuck(stack: &Snapshot, cause: Option<&Event>) -> PortError {
    let reason = cause.map_or_else(
        || stack.reason.clone(),
        |event| format!("{}: {}", events::thing(&event.kind, &event.logical), event.reason),
    );
    PortError::failed(
        FailureKind::Environment,
        format!("the stack {} is stuck in {}: {reason}", stack.name, stack.status),
        format!(
            "In the console of CloudFormation open {} and continue its rollback, skipping the resource that cannot be rolled back; then deploy again.",
            stack.name
        ),
    )
}

impl Body {
    fn text(&self) -> Option<String> {
        match self {
            Self::Inline(text) => Some(text.clone()),
            Self::Uploaded(_) => None,
        }
    }

    fn url(&self) -> Option<String> {
        match self {
            Self::Inline(_) => None,
            Self::Uploaded(url) => Some(url.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloudformation_is_asked_less_often_the_longer_it_takes() {
        let waits: Vec<i64> = [-5_000, 0, 9_000, 30_000, 600_000].into_iter().map(again_millis).collect();
        assert_eq!(waits, [1_000, 1_000, 1_000, 3_000, 10_000]);
    }

    #[test]
    fn begun_is_known_for_whom() {
        let begun = Begun::default();
        begun.set("stack", "one", Attempt::Change);
        assert_eq!((begun.get("stack", "one"), begun.get("stack", "two")), (Attempt::Change, Attempt::None));
        begun.set("stack", "one", Attempt::None);
        assert_eq!(begun.get("stack", "one"), Attempt::None);
    }
}
