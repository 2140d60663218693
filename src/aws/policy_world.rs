//! The calls of AWS as policies see them: where they are made, what they touch, and of each thing
//! the keys that a condition may ask for.

use super::credentials::RoleSession;
use super::names::{Names, TAG_OWNER, TAG_REPO, TAG_STAGE};
use super::policy::Ground;
use super::policy_calls_foundation;
use crate::model::{Place, StageId, StageKind};
use crate::port::Site;

/// Where calls are made, and what is there.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) region: String,
    /// Twelve digits.
    pub(super) account: String,
    pub(super) owner: String,
    /// The tags of the session that its role is taken on with, as conditions ask for them.
    pub(super) session: Keys,
    pub(super) stage: StageId,
    pub(super) kind: StageKind,
    /// The stage's stack, and its foundation's.
    pub(super) stack: String,
    pub(super) foundation: String,
    /// What begins the repositories of its images.
    pub(super) images: String,
    /// The name under which its hosts lie.
    pub(super) base: Option<String>,
    /// The ARN of the policy that bounds roles.
    pub(super) boundary: Option<String>,
    /// Route 53's id of the zone.
    pub(super) hosted_zone: String,
    pub(super) cluster: String,
    /// ARNs.
    pub(super) load_balancer: String,
    pub(super) listener: String,
    pub(super) roles: Vec<String>,
    /// Whether the foundation is there.
    pub(super) is_made: bool,
}

/// The values of a condition's key, in the context of a call.
pub(super) type Keys = Vec<(String, Vec<String>)>;

/// A thing that a call touches, with the keys that AWS knows of it then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thing {
    /// An ARN, or `*` where the action knows no resources.
    pub(super) arn: String,
    pub(super) keys: Keys,
}

/// A call. It is allowed when it is allowed on each of the things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) action: &'static str,
    pub(super) things: Vec<Thing>,
}

impl Thing {
    pub(super) fn key(mut self, key: &str, value: &str) -> Self {
        self.keys.push((key.to_owned(), vec![value.to_owned()]));
        self
    }

    pub(super) fn keys(mut self, key: &str, values: &[&str]) -> Self {
        self.keys.push((key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect()));
        self
    }

    /// Tags that it has, or that the call gives it, by `aws:ResourceTag` or `aws:RequestTag`.
    pub(super) fn tagged(mut self, side: &str, tags: &[(&str, String)]) -> Self {
        self.keys.extend(tags.iter().map(|(key, value)| (format!("{side}/{key}"), vec![value.clone()])));
        self
    }
}

pub(super) const HAS: &str = "aws:ResourceTag";
pub(super) const GIVEN: &str = "aws:RequestTag";

/// The same calls on the same things.
pub(super) fn calls(actions: &[&'static str], things: &[Thing]) -> Vec<Call> {
    actions.iter().map(|action| Call { action, things: things.to_vec() }).collect()
}

pub(super) fn everything() -> Thing {
    Thing { arn: "*".to_owned(), keys: Vec::new() }
}

impl World {
    /// The world as it will be when nothing of the foundation is there yet.
    pub(super) fn unmade(names: &Names, stage: &StageId, place: &Place, region: &str, account: &str) -> Self {
        let foundation = names.foundation_stack(stage, place);
        let door = "app/door/0123456789abcdef";
        let path = names.program_role_path(stage, place);
        let elb = format!("arn:aws:elasticloadbalancing:{region}:{account}");
        let role = |which: &str| format!("arn:aws:iam::{account}:role{path}{foundation}-{which}-1");
        let session = RoleSession::new(names, String::new(), Site { stage, place });
        let tags = session.tags().into_iter().map(|(key, value)| (format!("aws:PrincipalTag/{key}"), vec![value]));
        Self {
            session: tags.collect(),
            owner: names.owner().to_owned(),
            stage: stage.clone(),
            kind: place.kind,
            stack: names.stage_stack(stage),
            images: names.repositories(stage),
            base: place.base.clone(),
            boundary: None,
            hosted_zone: "Z0123456789ABCDEFGHIJ".to_owned(),
            cluster: format!("{foundation}-Cluster-1"),
            load_balancer: format!("{elb}:loadbalancer/{door}"),
            listener: format!("{elb}:listener/{door}/0123456789abcdef"),
            roles: vec![role("ExecutionRole"), role("TaskRole")],
            is_made: false,
            foundation,
            region: region.to_owned(),
            account: account.to_owned(),
        }
    }

    pub(super) fn ground(&self) -> Ground {
        match self.kind {
            StageKind::Ephemeral => Ground::Previews,
            StageKind::Permanent | StageKind::Production => Ground::Permanent,
        }
    }

    /// An ARN of this account and region.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    pub(super) fn thing(&self, service: &str, resource: &str) -> Thing {
        Thing { arn: self.arn(service, resource), keys: Vec::new() }
    }

    /// The tags of what belongs to the stage.
    pub(super) fn stage_tags(&self) -> Vec<(&'static str, String)> {
        vec![
            (TAG_OWNER, self.owner.clone()),
            (TAG_REPO, self.stage.repo.to_string()),
            (TAG_STAGE, self.stage.name.to_string()),
        ]
    }

    /// The tags of what belongs to its foundation.
    pub(super) fn foundation_tags(&self) -> Vec<(&'static str, String)> {
        match self.ground() {
            Ground::Previews => vec![(TAG_OWNER, self.owner.clone())],
            Ground::Permanent => self.stage_tags(),
        }
    }

    /// The tags of a role of its foundation: where that is shared, of the repository's own.
    pub(super) fn role_tags(&self, role: &str) -> Vec<(&'static str, String)> {
        let mut tags = self.foundation_tags();
        if self.ground() == Ground::Previews && role.contains("/repo/") {
            tags.push((TAG_REPO, self.stage.repo.to_string()));
        }
        tags
    }

    /// The calls by which its foundation is made, besides.
    pub(super) fn of_foundation(&self) -> Vec<Call> {
        policy_calls_foundation::calls_of(self)
    }

    pub(super) fn stack_arn(&self, name: &str) -> Thing {
        self.thing("cloudformation", &format!("stack/{name}/01234567-89ab-cdef-0123-456789abcdef"))
    }

    pub(super) fn changes_of_stack(&self, name: &str, tags: &[(&str, String)]) -> Vec<Call> {
        let stack = self.stack_arn(name);
        let mut all = calls(
            &[
                "cloudformation:CreateChangeSet",
                "cloudformation:CreateStack",
                "cloudformation:TagResource",
                "cloudformation:UpdateStack",
            ],
            &[stack.clone().tagged(GIVEN, tags)],
        );
        all.extend(calls(
            &[
                "cloudformation:ContinueUpdateRollback",
                "cloudformation:DeleteChangeSet",
                "cloudformation:DeleteStack",
                "cloudformation:DescribeChangeSet",
                "cloudformation:DescribeStackEvents",
                "cloudformation:ListStackResources",
                "cloudformation:RollbackStack",
                "cloudformation:UntagResource",
            ],
            &[stack],
        ));
        let template = format!("arn:aws:s3:::{}-templates-{}-{}/{name}/1.yaml", self.owner, self.account, self.region);
        all.extend(calls(&["s3:GetObject", "s3:PutObject"], &[Thing { arn: template, keys: Vec::new() }]));
        all
    }

    /// The role that a service of AWS makes for itself.
    pub(super) fn service_role(&self, service: &str) -> Vec<Call> {
        let arn = format!("arn:aws:iam::{}:role/aws-service-role/{service}/AWSServiceRole", self.account);
        calls(&["iam:CreateServiceLinkedRole"], &[Thing { arn, keys: Vec::new() }.key("iam:AWSServiceName", service)])
    }

    pub(super) fn zone(&self) -> Thing {
        Thing { arn: format!("arn:aws:route53:::hostedzone/{}", self.hosted_zone), keys: Vec::new() }
    }

    /// A change of records of one type.
    pub(super) fn records_of(&self, names: &[&str], kind: &str) -> Vec<Call> {
        let zone = self.zone().keys("route53:ChangeResourceRecordSetsNormalizedRecordNames", names);
        let zone = zone.key("route53:ChangeResourceRecordSetsRecordTypes", kind);
        calls(&["route53:ChangeResourceRecordSets"], &[zone.key("route53:ChangeResourceRecordSetsActions", "UPSERT")])
    }
}
