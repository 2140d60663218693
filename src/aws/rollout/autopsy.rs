//! Why a task stopped, from what ECS says of it.
//!
//! The words are those of ECS's developer guide, "Amazon ECS stopped tasks error messages" and
//! "`CannotPullContainer` task errors". What they do not cover is quoted rather than guessed at.

use super::task::TaskSeen;
use crate::model::{Failure, FailureKind, ServiceName, ServiceSpec};

/// A fault of AWS's own that comes back this often is not passing.
const HICCUPS: usize = 3;

/// Why a task stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aws) enum Cause {
    /// The program ended by itself.
    Exited {
        code: i32,
    },
    /// It used more memory than it may.
    OutOfMemory {
        code: Option<i32>,
    },
    /// The image is for another processor.
    Architecture {
        said: String,
    },
    ImageMissing {
        said: String,
    },
    ImageDenied {
        said: String,
    },
    /// The registry, or another service that a start needs, cannot be reached.
    Unreachable {
        said: String,
    },
    SecretMissing {
        said: String,
    },
    SecretDenied {
        said: String,
    },
    /// ECS or the load balancer gave it up.
    Unhealthy {
        said: String,
    },
    Capacity {
        said: String,
    },
    Quota {
        said: String,
    },
    /// It never started, for a reason that has no name here.
    NeverStarted {
        said: String,
    },
}

/// What one stopped task tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing: it was stopped from outside, as by scaling, a newer deployment, Spot or maintenance.
    Transient,
    /// A fault of AWS's own, which ECS tries to get over by another task.
    Hiccup(Cause),
    Fault(Cause),
}

/// The first task that says what is wrong, if one does. `tasks` are of one deployment, oldest first.
pub(super) fn first_fault(tasks: &[TaskSeen]) -> Option<(&TaskSeen, Cause)> {
    let mut hiccups = Vec::new();
    for task in tasks {
        match examine(task) {
            Finding::Transient => {}
            Finding::Hiccup(cause) => hiccups.push((task, cause)),
            Finding::Fault(cause) => return Some((task, cause)),
        }
    }
    (hiccups.len() >= HICCUPS).then(|| hiccups.swap_remove(0))
}

/// What a stopped task tells.
pub(super) fn examine(task: &TaskSeen) -> Finding {
    let said = words(task);
    let lower = said.to_lowercase();
    let has = |word: &str| lower.contains(word);
    match task.stop_code.as_str() {
        // `UserInitiated` is any StopTask, also by a person; none is the program's doing.
        "SpotInterruption" | "TerminationNotice" | "InfrastructureHealth" | "UserInitiated" => Finding::Transient,
        // Trap 29: most of these are copies that a scaling or a newer deployment took away.
        "ServiceSchedulerInitiated" if has("health check") => Finding::Fault(Cause::Unhealthy { said }),
        _ if task.stop_code == "ServiceSchedulerInitiated"
            || has("spot task was interrupted")
            || has("scaling activity initiated by")
            || has("maintenance") =>
        {
            Finding::Transient
        }
        _ => match task.exit_code {
            _ if has("outofmemory") => Finding::Fault(Cause::OutOfMemory { code: task.exit_code }),
            // Killed, and not by anything that says so.
            Some(137) => Finding::Fault(Cause::OutOfMemory { code: Some(137) }),
            _ if has("exec format error") || has("descriptor matching platform") || has("no match for platform") => {
                Finding::Fault(Cause::Architecture { said })
            }
            _ if has("no matching manifest for") || has("no descriptor for platform") => {
                Finding::Fault(Cause::Architecture { said })
            }
            Some(code) if !has("cannotstartcontainer") => Finding::Fault(Cause::Exited { code }),
            // Trap 30: without an exit code it never ran.
            _ => never_started(said, &lower),
        },
    }
}

fn never_started(said: String, lower: &str) -> Finding {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let denied =
        has(&["accessdenied", "access denied", "not authorized", "forbidden", "no basic auth", "unauthorized"]);
    if has(&["cannotpull", "pull image manifest", "pull access denied"]) {
        return Finding::Fault(if has(&["timeout", "deadline exceeded", "no route to host", "dial tcp"]) {
            Cause::Unreachable { said }
        } else if has(&["not found", "manifest unknown", "does not exist"]) && !has(&["pull access denied"]) {
            Cause::ImageMissing { said }
        } else if denied || has(&["denied"]) {
            Cause::ImageDenied { said }
        } else {
            Cause::NeverStarted { said }
        });
    }
    if has(&["secret", "ssm parameter", "parameters:"]) && has(&["resourceinitializationerror", "unable to retrieve"]) {
        return Finding::Fault(if denied {
            Cause::SecretDenied { said }
        } else if has(&["connection issue", "timeout", "deadline exceeded", "dial tcp"]) {
            Cause::Unreachable { said }
        } else {
            Cause::SecretMissing { said }
        });
    }
    if has(&["limit on the number of vcpus", "servicequota", "limitexceeded"]) {
        return Finding::Fault(Cause::Quota { said });
    }
    if has(&["capacity"]) {
        return Finding::Hiccup(Cause::Capacity { said });
    }
    if has(&["timeout waiting for network interface", "network interface provision", "internalerror", "unexpected ec2"])
    {
        return Finding::Hiccup(Cause::NeverStarted { said });
    }
    Finding::Fault(Cause::NeverStarted { said })
}

/// What ECS says of the task and of our container, without saying anything twice.
fn words(task: &TaskSeen) -> String {
    let (task_said, container_said) = (task.stopped_reason.trim(), task.container_reason.trim());
    match (task_said, container_said) {
        (said, "") | ("", said) => said.to_owned(),
        (whole, part) if whole.contains(part) => whole.to_owned(),
        (whole, part) => format!("{whole}: {part}"),
    }
}

/// Whose end is told.
#[derive(Debug, Clone, Copy)]
pub(in crate::aws) struct Subject<'a> {
    pub(in crate::aws) name: &'a ServiceName,
    pub(in crate::aws) life: Life,
    /// Where it is asked whether it is well, if that is known.
    pub(in crate::aws) path: Option<&'a str>,
    /// MiB that it may use, if that is known.
    pub(in crate::aws) memory: Option<u32>,
}

/// How far it had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::aws) enum Life {
    /// It never served.
    Starting,
    Serving,
}

/// The failure of a start as its reader sees it. `log` are the last lines that the task printed, `health`
/// what the load balancer says of the copies.
pub(super) fn failure(cause: &Cause, spec: &ServiceSpec, log: Vec<String>, health: &str) -> Failure {
    let (path, memory) = (Some(spec.health.path.as_str()), Some(spec.size.memory));
    told(cause, &Subject { name: &spec.name, life: Life::Starting, path, memory }, log, health)
}

/// The failure as its reader sees it.
pub(in crate::aws) fn told(cause: &Cause, subject: &Subject<'_>, log: Vec<String>, health: &str) -> Failure {
    let looks_foreign = log.iter().any(|line| line.to_lowercase().contains("exec format error"));
    let foreign = Cause::Architecture { said: "exec format error".into() };
    let cause = if looks_foreign && matches!(cause, Cause::Exited { .. }) { &foreign } else { cause };
    let (kind, summary, advice) = explain(cause, subject, health);
    // What serves is told again at each change, and its lines may only be late.
    let is_silent = log.is_empty() && subject.life == Life::Starting;
    let advice = match cause {
        Cause::Exited { code } if *code != 0 && is_silent => {
            "None of its lines is there: have it say on its standard error why it ends, and push."
        }
        _ => advice,
    };
    let exit_code = match cause {
        Cause::Exited { code } => Some(*code),
        Cause::OutOfMemory { code } => *code,
        _ => None,
    };
    Failure { kind, summary, exit_code, log, advice: advice.to_owned() }
}

fn explain(cause: &Cause, subject: &Subject<'_>, health: &str) -> (FailureKind, String, &'static str) {
    let name = subject.name;
    match cause {
        Cause::Exited { code: 0 } => (
            FailureKind::Exited,
            format!("`{name}` ended by itself with exit code 0"),
            "A service has to go on running: start it in the foreground.",
        ),
        Cause::Exited { code } => (
            FailureKind::Exited,
            format!("`{name}` ended with exit code {code}"),
            "Its last lines say why; mend that and push.",
        ),
        Cause::OutOfMemory { code } => (
            FailureKind::Exited,
            format!("`{name}` was killed{}: it used more {}", with_code(*code), than(subject.memory)),
            "Raise `size.memory`, or have the program use less.",
        ),
        Cause::Architecture { said } => (
            FailureKind::Environment,
            format!("the image of `{name}` is for another processor than its tasks run on: {said}"),
            "Set `build.platform` to what the image is built for, linux/amd64 or linux/arm64.",
        ),
        Cause::ImageMissing { said } => (
            FailureKind::Environment,
            format!("the image of `{name}` is not in the registry: {said}"),
            "Deploy again: it is built and pushed anew. If it goes missing again, look at the repository's lifecycle rules.",
        ),
        Cause::ImageDenied { said } => (
            FailureKind::Environment,
            format!("AWS may not pull the image of `{name}`: {said}"),
            "Let the stage's execution role read the repository: ecr:BatchGetImage, ecr:GetDownloadUrlForLayer, ecr:BatchCheckLayerAvailability.",
        ),
        Cause::Unreachable { said } => (
            FailureKind::Environment,
            format!("a task of `{name}` cannot reach what it needs to start: {said}"),
            "Its subnets need a way out: a NAT gateway, public addresses, or endpoints for ECR, S3, Secrets Manager and CloudWatch Logs.",
        ),
        Cause::SecretMissing { said } => (
            FailureKind::Environment,
            format!("a secret of `{name}` is missing: {said}"),
            "Make the secret or parameter in the stage's region under the name that `secrets` gives, with the JSON key that it names.",
        ),
        Cause::SecretDenied { said } => (
            FailureKind::Environment,
            format!("`{name}` may not read one of its secrets: {said}"),
            "Tag the secret or parameter `greenroom:access` with the repository, `owner/name`; for a permanent stage with `owner/name/stage`.",
        ),
        Cause::Unhealthy { said } => (
            FailureKind::Unhealthy,
            format!("{}: {}", unhealthy(subject), if health.is_empty() { said.as_str() } else { health }),
            "Ask the program there by hand; give it longer with `health.grace`, or correct `health.path`, `health.status` and `port`.",
        ),
        Cause::Capacity { said } => (
            FailureKind::Environment,
            format!("AWS has no room for `{name}` now: {said}"),
            "Deploy again later, or let previews run on Fargate instead of Fargate Spot.",
        ),
        Cause::Quota { said } => (
            FailureKind::Environment,
            format!("a quota of the account keeps `{name}` from starting: {said}"),
            "Raise \"Fargate On-Demand vCPU resource count\" (or that of Spot) in Service Quotas, or end stages that are not needed.",
        ),
        Cause::NeverStarted { said } => (
            FailureKind::Environment,
            format!("a task of `{name}` did not start: {said}"),
            "The sentence is AWS's own; mend what it names and deploy again.",
        ),
    }
}

fn with_code(code: Option<i32>) -> String {
    code.map_or_else(String::new, |code| format!(" with exit code {code}"))
}

fn than(memory: Option<u32>) -> String {
    memory.map_or_else(|| "memory than it may".to_owned(), |memory| format!("than its {memory} MiB"))
}

fn unhealthy(subject: &Subject<'_>) -> String {
    let at = subject.path.map_or_else(String::new, |path| format!(" at {path}"));
    let how = match subject.life {
        Life::Starting => "never passed",
        Life::Serving => "does not pass any more",
    };
    format!("the health check of `{}`{at} {how}", subject.name)
}

#[cfg(test)]
mod tests;
