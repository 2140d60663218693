//! Every call that is made of AWS for stages, with what AWS judges it by: the things that it
//! touches, and of each the keys that a policy may ask for.
//!
//! `greenroom doctor` asks about these calls, of the foundation that is there; the tests hold the
//! printed policies against them. Source: the Service Authorization Reference, for resources and
//! keys; the tests hold this table against it too.

use super::names::TAG_BASE;
use super::policy::Ground;
use super::policy_world::{Call, GIVEN, HAS, Keys, Thing, World, calls, everything};

impl World {
    /// The calls by which a stage is deployed, watched and removed.
    pub(super) fn of_stage(&self) -> Vec<Call> {
        [
            self.stacks(),
            self.looks(),
            self.services(),
            self.tasks(),
            self.routes(),
            self.scaling(),
            self.stores(),
            self.records(),
        ]
        .concat()
    }

    fn stacks(&self) -> Vec<Call> {
        let mut all = self.changes_of_stack(&self.stack, &self.stage_tags());
        // While another makes the foundation.
        all.extend(calls(&["cloudformation:DescribeStackEvents"], &[self.stack_arn(&self.foundation)]));
        let bucket = format!("arn:aws:s3:::{}-templates-{}-{}", self.owner, self.account, self.region);
        all.extend(calls(
            &["s3:CreateBucket", "s3:PutBucketPublicAccessBlock", "s3:PutLifecycleConfiguration"],
            &[Thing { arn: bucket, keys: Vec::new() }],
        ));
        all
    }

    /// What knows no resources.
    fn looks(&self) -> Vec<Call> {
        let mut all = calls(
            &[
                "acm:ListCertificates",
                "application-autoscaling:DescribeScalableTargets",
                "application-autoscaling:DescribeScalingPolicies",
                "application-autoscaling:DescribeScheduledActions",
                "cloudformation:DescribeAccountLimits",
                "cloudformation:DescribeStacks",
                "cloudwatch:GetMetricData",
                "ec2:DescribeVpcs",
                "ecr:GetAuthorizationToken",
                "ecs:DeregisterTaskDefinition",
                "ecs:DescribeTaskDefinition",
                "ecs:ListServices",
                "ecs:ListTaskDefinitionFamilies",
                "ecs:ListTaskDefinitions",
                "ecs:ListTasks",
                "elasticloadbalancing:DescribeAccountLimits",
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeLoadBalancers",
                "elasticloadbalancing:DescribeRules",
                "elasticloadbalancing:DescribeTags",
                "elasticloadbalancing:DescribeTargetGroupAttributes",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
                "logs:DescribeLogGroups",
                "route53:ListHostedZones",
                "route53:ListHostedZonesByName",
                "servicequotas:ListServiceQuotas",
                "tag:GetResources",
            ],
            &[everything()],
        );
        let certificate = self.thing("acm", "certificate/01234567-89ab-cdef-0123-456789abcdef");
        all.extend(calls(&["acm:DescribeCertificate"], &[certificate]));
        all.extend(self.of_doctor());
        all
    }

    /// Asking what an identity may.
    fn of_doctor(&self) -> Vec<Call> {
        let iam = |resource: &str| Thing { arn: format!("arn:aws:iam::{}:{resource}", self.account), keys: Vec::new() };
        let mut all = calls(&["iam:GetRole", "iam:SimulatePrincipalPolicy"], &[iam("role/deployer")]);
        all.extend(calls(&["iam:SimulatePrincipalPolicy"], &[iam("user/server")]));
        all
    }

    pub(super) fn service(&self) -> Thing {
        self.thing("ecs", &format!("service/{}/{}-WebService-1", self.cluster, self.stack))
    }

    fn services(&self) -> Vec<Call> {
        let service = self.service();
        let deployment =
            self.thing("ecs", &format!("service-deployment/{}/{}-WebService-1/1", self.cluster, self.stack));
        let mut all =
            calls(&["ecs:CreateService", "ecs:TagResource"], &[service.clone().tagged(GIVEN, &self.stage_tags())]);
        all.extend(calls(
            &[
                "ecs:DeleteService",
                "ecs:DescribeServices",
                "ecs:ListServiceDeployments",
                "ecs:ListTagsForResource",
                "ecs:UntagResource",
                "ecs:UpdateService",
            ],
            std::slice::from_ref(&service),
        ));
        all.extend(calls(&["ecs:DescribeServiceDeployments", "ecs:StopServiceDeployment"], &[service, deployment]));
        // A sweep meets what others left behind.
        let other = format!("service/{0}-old-shop-1-foundation-Cluster-1/{0}-old-shop-1-WebService-1", self.owner);
        all.extend(calls(&["ecs:DescribeServices"], &[self.thing("ecs", &other)]));
        all
    }

    fn tasks(&self) -> Vec<Call> {
        let tags = self.stage_tags();
        let definition = self.thing("ecs", &format!("task-definition/{}-web:7", self.stack));
        let task = self.thing("ecs", &format!("task/{}/0123456789abcdef0123456789abcdef", self.cluster));
        let cluster = self.arn("ecs", &format!("cluster/{}", self.cluster));
        let mut all =
            calls(&["ecs:RegisterTaskDefinition", "ecs:TagResource"], &[definition.clone().tagged(GIVEN, &tags)]);
        all.extend(calls(&["ecs:DeleteTaskDefinitions"], std::slice::from_ref(&definition)));
        all.extend(calls(&["ecs:RunTask"], &[definition.key("ecs:cluster", &cluster).tagged(GIVEN, &tags)]));
        let made = task.clone().key("ecs:CreateAction", "RunTask").tagged(GIVEN, &tags);
        all.extend(calls(&["ecs:TagResource"], &[made]));
        all.extend(calls(&["ecs:StopTask"], &[task.clone().tagged(HAS, &tags)]));
        all.extend(calls(&["ecs:DescribeTasks"], &[task]));
        for role in &self.roles {
            let role = Thing { arn: role.clone(), keys: Vec::new() };
            all.extend(calls(&["iam:PassRole"], &[role.key("iam:PassedToService", "ecs-tasks.amazonaws.com")]));
        }
        all
    }

    pub(super) fn target_group(&self) -> Thing {
        self.thing("elasticloadbalancing", "targetgroup/greenro-WebTa-1/0123456789abcdef")
    }

    pub(super) fn rule(&self) -> Thing {
        let arn = self.listener.replacen(":listener/", ":listener-rule/", 1);
        Thing { arn: format!("{arn}/0123456789abcdef"), keys: Vec::new() }
    }

    fn routes(&self) -> Vec<Call> {
        let tags = self.stage_tags();
        let making = "elasticloadbalancing:CreateAction";
        let listener = Thing { arn: self.listener.clone(), keys: Vec::new() };
        let (group, rule) = (self.target_group(), self.rule());
        let mut all = calls(&["elasticloadbalancing:CreateTargetGroup"], &[group.clone().tagged(GIVEN, &tags)]);
        let door = listener.tagged(HAS, &self.foundation_tags()).tagged(GIVEN, &tags);
        all.extend(calls(&["elasticloadbalancing:CreateRule"], &[door]));
        for (thing, call) in [(&group, "CreateTargetGroup"), (&rule, "CreateRule")] {
            let made = thing.clone().key(making, call).tagged(GIVEN, &tags);
            all.extend(calls(&["elasticloadbalancing:AddTags"], &[made]));
            let ours = thing.clone().tagged(HAS, &tags);
            all.extend(calls(&["elasticloadbalancing:RemoveTags"], std::slice::from_ref(&ours)));
            // The one tag that is new.
            all.extend(calls(&["elasticloadbalancing:AddTags"], &[ours.tagged(GIVEN, &[(TAG_BASE, "a.test".into())])]));
        }
        all.extend(calls(
            &[
                "elasticloadbalancing:DeleteTargetGroup",
                "elasticloadbalancing:DeregisterTargets",
                "elasticloadbalancing:ModifyTargetGroup",
                "elasticloadbalancing:ModifyTargetGroupAttributes",
                "elasticloadbalancing:RegisterTargets",
            ],
            &[group.tagged(HAS, &tags)],
        ));
        all.extend(calls(
            &[
                "elasticloadbalancing:DeleteRule",
                "elasticloadbalancing:ModifyRule",
                "elasticloadbalancing:SetRulePriorities",
            ],
            &[rule.tagged(HAS, &tags)],
        ));
        all
    }

    pub(super) fn scalable_target(&self) -> Thing {
        self.thing("application-autoscaling", "scalable-target/0ec5a1b2c3d4e5f60718293a4b5c6d7e8f90")
    }

    fn scaling(&self) -> Vec<Call> {
        let tags = self.stage_tags();
        let target = self.scalable_target();
        let copies = target
            .clone()
            .key("application-autoscaling:service-namespace", "ecs")
            .key("application-autoscaling:scalable-dimension", "ecs:service:DesiredCount");
        let mut all =
            calls(&["application-autoscaling:RegisterScalableTarget"], &[copies.clone().tagged(GIVEN, &tags)]);
        all.extend(calls(&["application-autoscaling:TagResource"], &[target.clone().tagged(GIVEN, &tags)]));
        all.extend(calls(
            &[
                "application-autoscaling:DeleteScalingPolicy",
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:PutScalingPolicy",
                "application-autoscaling:RegisterScalableTarget",
            ],
            &[copies.tagged(HAS, &tags)],
        ));
        let ours = target.tagged(HAS, &tags);
        all.extend(calls(
            &["application-autoscaling:ListTagsForResource", "application-autoscaling:UntagResource"],
            std::slice::from_ref(&ours),
        ));
        all.extend(calls(
            &["application-autoscaling:TagResource"],
            &[ours.tagged(GIVEN, &[(TAG_BASE, "a.test".into())])],
        ));
        let alarm = format!("alarm:TargetTracking-service/{}/{}-WebService-1-AlarmHigh-1", self.cluster, self.stack);
        all.extend(calls(
            &["cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm"],
            &[self.thing("cloudwatch", &alarm)],
        ));
        // By a prefix, so all are asked for.
        all.extend(calls(&["cloudwatch:DescribeAlarms"], &[self.thing("cloudwatch", "alarm:*")]));
        all.extend(self.service_role("ecs.application-autoscaling.amazonaws.com"));
        all
    }

    fn stores(&self) -> Vec<Call> {
        let name = &self.stage;
        let group = self.thing("logs", &format!("log-group:/{}/{}/{}/web", self.owner, name.repo, name.name));
        let stream = Thing { arn: format!("{}:log-stream:web/web/1", group.arn), keys: Vec::new() };
        let repository = self.thing("ecr", &format!("repository/{}/web", self.images));
        let tags = self.stage_tags();
        let mut all = calls(&["logs:CreateLogGroup", "logs:TagResource"], &[group.clone().tagged(GIVEN, &tags)]);
        all.extend(calls(
            &[
                "logs:DeleteLogGroup",
                "logs:DeleteRetentionPolicy",
                "logs:DescribeLogStreams",
                "logs:ListTagsForResource",
                "logs:PutRetentionPolicy",
                "logs:UntagResource",
            ],
            &[group],
        ));
        all.extend(calls(&["logs:GetLogEvents"], &[stream]));
        all.extend(calls(
            &[
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchDeleteImage",
                "ecr:BatchGetImage",
                "ecr:CompleteLayerUpload",
                "ecr:CreateRepository",
                "ecr:DescribeImages",
                "ecr:DescribeRepositories",
                "ecr:GetDownloadUrlForLayer",
                "ecr:GetLifecyclePolicy",
                "ecr:InitiateLayerUpload",
                "ecr:PutImage",
                "ecr:PutLifecyclePolicy",
                "ecr:TagResource",
                "ecr:UploadLayerPart",
            ],
            &[repository],
        ));
        // Without names.
        all.extend(calls(&["ecr:DescribeRepositories"], &[self.thing("ecr", "repository/*")]));
        all
    }

    fn records(&self) -> Vec<Call> {
        let mut all = calls(&["route53:GetHostedZone", "route53:ListResourceRecordSets"], &[self.zone()]);
        let change = Thing { arn: "arn:aws:route53:::change/C1".to_owned(), keys: Vec::new() };
        all.extend(calls(&["route53:GetChange"], &[change]));
        if let Some(base) = &self.base {
            let hosts = match self.ground() {
                Ground::Previews => [format!("{}.{base}", self.stage.name), format!("api-{}.{base}", self.stage.name)],
                Ground::Permanent => [base.clone(), format!("api.{base}")],
            };
            for host in &hosts {
                all.extend(self.records_of(&[host], "A"));
            }
        }
        all
    }
}

/// The server's own calls: it takes roles on, and sweeps its own place.
pub(super) fn of_server(world: &World, role: &str) -> Vec<Call> {
    let role = Thing { arn: role.to_owned(), keys: Vec::new() };
    let given: Keys =
        world.session.iter().map(|(key, value)| (key.replace("aws:PrincipalTag", GIVEN), value.clone())).collect();
    let tagged = Thing { keys: given, ..role };
    let assumed = tagged.clone().key("sts:ExternalId", world.stage.repo.as_str());
    let mut all = calls(&["sts:AssumeRole"], &[assumed]);
    all.extend(calls(&["sts:TagSession"], &[tagged]));
    all.extend(calls(
        &[
            "cloudformation:DescribeStacks",
            "ecs:DescribeTaskDefinition",
            "ecs:ListTaskDefinitionFamilies",
            "logs:DescribeLogGroups",
            "tag:GetResources",
        ],
        &[everything()],
    ));
    all.extend(calls(&["ecs:DescribeServices"], &[world.service()]));
    all.extend(world.of_doctor());
    all
}

/// What ECS does with a role of the foundation as it starts a program. `access` tags the secrets.
#[cfg(test)]
pub(super) fn of_programs(world: &World, access: &str) -> Vec<Call> {
    use super::names::TAG_ACCESS;

    let tag = [(TAG_ACCESS, access.to_owned())];
    let secret = world.thing("secretsmanager", "secret:shop/url-AbCdEf").tagged(HAS, &tag);
    let parameter = world.thing("ssm", "parameter/shop/url").tagged(HAS, &tag);
    let repository = world.thing("ecr", &format!("repository/{}/web", world.images));
    let stage = &world.stage;
    let stream = format!("log-group:/{}/{}/{}/web:log-stream:web/web/1", world.owner, stage.repo, stage.name);
    [
        calls(&["ecr:GetAuthorizationToken"], &[everything()]),
        calls(&["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], &[repository]),
        calls(&["logs:PutLogEvents"], &[world.thing("logs", &stream)]),
        calls(&["logs:CreateLogStream"], &[world.thing("logs", &stream)]),
        calls(&["secretsmanager:GetSecretValue"], &[secret]),
        calls(&["ssm:GetParameters"], &[parameter]),
    ]
    .concat()
}
