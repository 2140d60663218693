//! What there is on AWS, as the tests see it by questions of their own.

use aws_sdk_ecs::types::{DesiredStatus, Service};

use super::world::{CLUSTER, World};
use greenroom::model::VersionKey;
use greenroom::port::Cloud as _;

/// On each definition of a version.
const LABEL: &str = "greenroom.version";

impl World {
    /// The serving version, and those beside it.
    pub(crate) async fn versions(&self) -> (Option<VersionKey>, Vec<VersionKey>) {
        let observed = self.cloud.observe(self.site()).await.expect("it can be observed");
        let web = observed.services.values().next().expect("a service").clone();
        (web.serving, web.others)
    }

    pub(crate) async fn service(&self) -> Service {
        let described = self.ecs.describe_services().cluster(CLUSTER).services("pr-1-web").send().await;
        described.expect("a description").services()[0].clone()
    }

    /// The labels of the family's active definitions, oldest first.
    pub(crate) async fn active_definitions(&self) -> Vec<String> {
        let listed = self.ecs.list_task_definitions().family_prefix(self.family()).send().await.expect("a list");
        let mut labels = Vec::new();
        for arn in listed.task_definition_arns() {
            let described = self.ecs.describe_task_definition().task_definition(arn).send().await;
            let described = described.expect("a description");
            let made = described.task_definition().expect("a definition");
            let label = made.container_definitions()[0].docker_labels().and_then(|labels| labels.get(LABEL));
            labels.push(label.cloned().unwrap_or_else(|| "first".into()));
        }
        labels
    }

    /// The tasks that are meant to run.
    pub(crate) async fn running_tasks(&self) -> Vec<String> {
        let listed = self.ecs.list_tasks().cluster(CLUSTER).desired_status(DesiredStatus::Running).send().await;
        listed.expect("a list").task_arns().to_vec()
    }

    /// Why these tasks stopped, those that did.
    pub(crate) async fn stopped_reasons(&self, tasks: &[String]) -> Vec<String> {
        let described = self.ecs.describe_tasks().cluster(CLUSTER).set_tasks(Some(tasks.to_vec())).send().await;
        let described = described.expect("a description");
        described.tasks().iter().filter_map(|task| task.stopped_reason()).map(str::to_owned).collect()
    }

    /// How many one-off tasks ran.
    pub(crate) async fn one_offs(&self) -> usize {
        let mut found = 0;
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let listed = self.ecs.list_tasks().cluster(CLUSTER).desired_status(status).send().await.expect("a list");
            if listed.task_arns().is_empty() {
                continue;
            }
            let described = self.ecs.describe_tasks().cluster(CLUSTER).set_tasks(Some(listed.task_arns().to_vec()));
            let described = described.send().await.expect("a description");
            found += described.tasks().iter().filter(|task| task.group().is_none_or(str::is_empty)).count();
        }
        found
    }
}
