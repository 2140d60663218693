//! The public address answers, and what runs is the very image that was built.

use std::time::Duration;

use aws_sdk_ecs::types::DesiredStatus;

use super::memory::Track;
use super::probe::{self, Trouble};
use super::task::{self, Of, TaskSeen};
use super::{Work, pending};
use crate::model::{FailureKind, Output, ServiceSpec};
use crate::port::{PortError, PortResult, Progress};

/// How long the public address may answer wrongly after a switch.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN_MILLIS: i64 = 1_000;
/// A call is short, whatever the health check allows.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Asks the public address, if there is one, and compares digests.
pub(in crate::aws) async fn check(work: &Work<'_>, track: &mut Track) -> PortResult<Progress<Output>> {
    let service = work.rollout.service;
    let answered = match public_url(service)? {
        None => None,
        Some(url) => match ask(work, service, &url).await {
            Ok((status, millis)) => Some((url, status, millis)),
            Err(trouble) if track.asked.elapsed() < PATIENCE || trouble.is_ours() => {
                return Ok(pending(AGAIN_MILLIS, format!("waiting for {url}: {}", trouble.said)));
            }
            Err(trouble) => {
                let summary = format!("{url} does not answer as it should: {}", trouble.said);
                return Err(PortError::failed(FailureKind::Unreachable, summary, trouble.advice));
            }
        },
    };
    let running = task::find(work, Of::Service, DesiredStatus::Running).await?;
    match compare(&running, &work.rollout.artifact.digest) {
        Digests::Wanted { copies } => Ok(Progress::Done(match answered {
            Some((url, status, millis)) => Output::Answered { url, status, millis },
            None => Output::Running { copies, wanted: copies.max(service.scale.min) },
        })),
        Digests::None if track.asked.elapsed() < PATIENCE => Ok(pending(AGAIN_MILLIS, "waiting for a running copy")),
        Digests::Other { digest } if track.asked.elapsed() < PATIENCE => {
            Ok(pending(AGAIN_MILLIS, format!("a copy still runs {digest}")))
        }
        Digests::None => Err(wrong_image(work, "no copy runs")),
        Digests::Other { digest } => Err(wrong_image(work, &format!("a copy runs {digest}"))),
    }
}

fn wrong_image(work: &Work<'_>, saw: &str) -> PortError {
    let wanted = &work.rollout.artifact.digest;
    let summary = format!("`{}` does not run the image that was built: {saw} in place of {wanted}", work.name());
    PortError::failed(FailureKind::Unhealthy, summary, "Look at the events of the ECS service, then deploy again.")
}

/// The service's address; only ever that of its own host.
fn public_url(service: &ServiceSpec) -> PortResult<Option<String>> {
    let (Some(host), Some(url)) = (&service.host, &service.url) else { return Ok(None) };
    let parsed = url::Url::parse(url).map_err(|error| PortError::bug(format!("the address {url:?}"), error))?;
    if parsed.host_str() == Some(host.as_str()) {
        return Ok(Some(url.clone()));
    }
    Err(PortError::Bug { context: format!("{url} is not on the service's own host {host}"), source: None })
}

async fn ask(work: &Work<'_>, service: &ServiceSpec, url: &str) -> Result<(u16, u32), Trouble> {
    let address = format!("{}{}", url.trim_end_matches('/'), service.health.path);
    let proxy = work.shared.settings.proxy.as_ref();
    let answer = probe::get(&address, proxy, service.health.timeout.duration().min(MOST_TIME)).await?;
    if answer.status == service.health.status {
        return Ok((answer.status, u32::try_from(answer.took.as_millis()).unwrap_or(u32::MAX)));
    }
    Err(probe::wrong_status(&service.health.path, answer.status, service.health.status))
}

/// What the running copies are made from.
#[derive(Debug, PartialEq, Eq)]
enum Digests {
    Wanted { copies: u32 },
    Other { digest: String },
    None,
}

/// A copy is the wanted one if ECS pulled that digest. Where ECS does not tell, or tells the digest
/// of one platform out of an index, the reference it was pulled by is proof: it names the digest.
fn compare(tasks: &[TaskSeen], wanted: &str) -> Digests {
    let mut copies = 0;
    for task in tasks.iter().filter(|task| task.status == "RUNNING") {
        if task.image_digest.as_deref() != Some(wanted) && !task.image.ends_with(&format!("@{wanted}")) {
            let digest = task.image_digest.clone().unwrap_or_else(|| task.image.clone());
            return Digests::Other { digest };
        }
        copies += 1;
    }
    if copies == 0 { Digests::None } else { Digests::Wanted { copies } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(digest: Option<&str>, image: &str) -> TaskSeen {
        TaskSeen {
            status: "RUNNING".into(),
            image_digest: digest.map(str::to_owned),
            image: image.into(),
            ..TaskSeen::default()
        }
    }

    #[test]
    fn digests_are_compared_for_all_copies() {
        let stopped = TaskSeen { status: "STOPPED".into(), ..running(Some("sha256:old"), "") };
        let cases = [
            (vec![], Digests::None),
            (vec![stopped.clone()], Digests::None),
            (vec![running(Some("sha256:new"), "r"), stopped], Digests::Wanted { copies: 1 }),
            (vec![running(None, "r/web@sha256:new")], Digests::Wanted { copies: 1 }),
            (vec![running(Some("sha256:child"), "r/web@sha256:new")], Digests::Wanted { copies: 1 }),
            (
                vec![running(Some("sha256:new"), "r"), running(Some("sha256:old"), "r/web@sha256:old")],
                Digests::Other { digest: "sha256:old".into() },
            ),
            (vec![running(None, "r/web:latest")], Digests::Other { digest: "r/web:latest".into() }),
        ];
        for (tasks, expected) in cases {
            assert_eq!(compare(&tasks, "sha256:new"), expected, "{tasks:?}");
        }
    }
}
