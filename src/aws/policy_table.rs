//! Which permissions a server and its stages need, on what: the tables behind their policies.
//!
//! Two kinds of needs: the calls that the code makes, and what `CloudFormation` does in our name for
//! each type of resource in the templates. `policy_calls.rs` has them one by one; the tests hold
//! these tables against it.
//!
//! Sources: the Service Authorization Reference for which actions know which resources and
//! conditions; the handlers' permissions in `CloudFormation`'s own resource schemas for the types.

use super::policy::{Group, Side, When};

pub(super) const fn group(
    sid: &'static str,
    when: &'static [When],
    resources: &'static [&'static str],
    actions: &'static [&'static str],
) -> Group {
    Group { sid, when, resources, actions }
}

/// For actions that know no resources.
pub(super) const EVERYTHING: &[&str] = &["*"];

pub(super) const SERVER: &[Group] = &[
    group("Roles", &[When::ForRepository], &["arn:aws:iam::*:role/{name}*"], &["sts:AssumeRole"]),
    group("TagsOfSessions", &[], &["arn:aws:iam::*:role/{name}*"], &["sts:TagSession"]),
    // What was left behind at the server's own place, whose it ever was.
    group(
        "Sweep",
        &[],
        EVERYTHING,
        &[
            "cloudformation:DescribeStacks",
            "ecs:DescribeTaskDefinition",
            "ecs:ListTaskDefinitionFamilies",
            "logs:DescribeLogGroups",
            "tag:GetResources",
        ],
    ),
    group("Doctor", &[], &["arn:aws:iam::*:role/*"], &["iam:GetRole", "iam:SimulatePrincipalPolicy"]),
    group("DoctorOfUsers", &[], &["arn:aws:iam::*:user/*"], &["iam:SimulatePrincipalPolicy"]),
    group("SweepServices", &[], &["arn:aws:ecs:*:*:service/{name}-*/*"], &["ecs:DescribeServices"]),
];

pub(super) const STAGE: &[Group] = &[
    group(
        "Stacks",
        &[],
        &["arn:aws:cloudformation:*:*:stack/{stack}/*"],
        &[
            "cloudformation:ContinueUpdateRollback",
            "cloudformation:CreateChangeSet",
            "cloudformation:CreateStack",
            "cloudformation:DeleteChangeSet",
            "cloudformation:DeleteStack",
            "cloudformation:DescribeChangeSet",
            "cloudformation:ListStackResources",
            "cloudformation:RollbackStack",
            "cloudformation:TagResource",
            "cloudformation:UntagResource",
            "cloudformation:UpdateStack",
        ],
    ),
    // A stage waits for the foundation that another is making.
    group(
        "Events",
        &[],
        &["arn:aws:cloudformation:*:*:stack/{stack}/*", "arn:aws:cloudformation:*:*:stack/{foundation}/*"],
        &["cloudformation:DescribeStackEvents"],
    ),
    group(
        "Look",
        &[],
        EVERYTHING,
        &[
            "cloudformation:DescribeAccountLimits",
            "cloudformation:DescribeStacks",
            "ec2:DescribeVpcs",
            "ecr:GetAuthorizationToken",
            // Knows no resource either, though it changes one.
            "ecs:DeregisterTaskDefinition",
            "ecs:DescribeTaskDefinition",
            "ecs:ListServices",
            "ecs:ListTaskDefinitionFamilies",
            "ecs:ListTaskDefinitions",
            "ecs:ListTasks",
            "logs:DescribeLogGroups",
            "tag:GetResources",
        ],
    ),
    group(
        "Services",
        &[],
        &["arn:aws:ecs:*:*:service/{foundation}-*/{stack}-*"],
        &[
            "ecs:CreateService",
            "ecs:DeleteService",
            "ecs:ListServiceDeployments",
            "ecs:ListTagsForResource",
            "ecs:TagResource",
            "ecs:UntagResource",
            "ecs:UpdateService",
        ],
    ),
    group(
        "Deployments",
        &[],
        &[
            "arn:aws:ecs:*:*:service/{foundation}-*/{stack}-*",
            "arn:aws:ecs:*:*:service-deployment/{foundation}-*/{stack}-*/*",
        ],
        &["ecs:DescribeServiceDeployments", "ecs:StopServiceDeployment"],
    ),
    // A sweep looks at whatever carries our tags, whose it ever was.
    group("LookAtServices", &[], &["arn:aws:ecs:*:*:service/{name}-*/*"], &["ecs:DescribeServices"]),
    group(
        "Definitions",
        &[],
        &["arn:aws:ecs:*:*:task-definition/{stack}-*"],
        &["ecs:DeleteTaskDefinitions", "ecs:RegisterTaskDefinition", "ecs:TagResource"],
    ),
    group("RunTasks", &[When::Cluster], &["arn:aws:ecs:*:*:task-definition/{stack}-*"], &["ecs:RunTask"]),
    group(
        "TagTasks",
        &[When::Is("ecs:CreateAction", &["RunTask"]), When::Stage(Side::Request)],
        &["arn:aws:ecs:*:*:task/{foundation}-*/*"],
        &["ecs:TagResource"],
    ),
    group("StopTasks", &[When::Stage(Side::Resource)], &["arn:aws:ecs:*:*:task/{foundation}-*/*"], &["ecs:StopTask"]),
    // What ECS has forgotten carries no tags.
    group("LookAtTasks", &[], &["arn:aws:ecs:*:*:task/{foundation}-*/*"], &["ecs:DescribeTasks"]),
    group(
        "RolesForTasks",
        &[When::Is("iam:PassedToService", &["ecs-tasks.amazonaws.com"])],
        // The repository's own by their path; those of older foundations, which read no secret any more.
        &["arn:aws:iam::*:role/{roles}", "arn:aws:iam::*:role/{shared}", "arn:aws:iam::*:role/{foundation}-*"],
        &["iam:PassRole"],
    ),
    group(
        "Logs",
        &[],
        &["arn:aws:logs:*:*:log-group:/{name}/{repo}/{stage}/*"],
        &[
            "logs:CreateLogGroup",
            "logs:DeleteLogGroup",
            "logs:DeleteRetentionPolicy",
            "logs:DescribeLogStreams",
            "logs:GetLogEvents",
            "logs:ListTagsForResource",
            "logs:PutRetentionPolicy",
            "logs:TagResource",
            "logs:UntagResource",
        ],
    ),
    group(
        "Images",
        &[],
        &["arn:aws:ecr:*:*:repository/{images}/*"],
        &[
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchDeleteImage",
            "ecr:BatchGetImage",
            "ecr:CompleteLayerUpload",
            "ecr:CreateRepository",
            "ecr:DescribeImages",
            "ecr:GetDownloadUrlForLayer",
            "ecr:GetLifecyclePolicy",
            "ecr:InitiateLayerUpload",
            "ecr:PutImage",
            "ecr:PutLifecyclePolicy",
            "ecr:TagResource",
            "ecr:UploadLayerPart",
        ],
    ),
    // Without names, all of the account's are asked for: ECR cannot list by prefix.
    group("ListImages", &[], &["arn:aws:ecr:*:*:repository/*"], &["ecr:DescribeRepositories"]),
    group(
        "TemplatesBucket",
        &[],
        &["arn:aws:s3:::{name}-templates-*"],
        &["s3:CreateBucket", "s3:PutBucketPublicAccessBlock", "s3:PutLifecycleConfiguration"],
    ),
    group("Templates", &[], &["arn:aws:s3:::{name}-templates-*/{stack}/*"], &["s3:GetObject", "s3:PutObject"]),
    group("Doctor", &[], &["arn:aws:iam::*:role/*"], &["iam:GetRole", "iam:SimulatePrincipalPolicy"]),
    group("DoctorOfUsers", &[], &["arn:aws:iam::*:user/*"], &["iam:SimulatePrincipalPolicy"]),
];

/// What leads to a stage, and what scales it.
pub(super) const ROUTES: &[Group] = &[
    group(
        "Look",
        &[],
        EVERYTHING,
        &[
            "acm:ListCertificates",
            "application-autoscaling:DescribeScalableTargets",
            "application-autoscaling:DescribeScalingPolicies",
            "application-autoscaling:DescribeScheduledActions",
            "cloudwatch:GetMetricData",
            "elasticloadbalancing:DescribeAccountLimits",
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTags",
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
            "route53:ListHostedZones",
            "route53:ListHostedZonesByName",
            "servicequotas:ListServiceQuotas",
        ],
    ),
    group(
        "MakeTargets",
        &[When::Stage(Side::Request)],
        &["arn:aws:elasticloadbalancing:*:*:targetgroup/*"],
        &["elasticloadbalancing:CreateTargetGroup"],
    ),
    group(
        "MakeRules",
        &[When::Stage(Side::Request), When::Foundation(Side::Resource)],
        &["arn:aws:elasticloadbalancing:*:*:listener/app/*"],
        &["elasticloadbalancing:CreateRule"],
    ),
    group(
        "TagNewRoutes",
        &[When::Making("elasticloadbalancing:CreateAction"), When::Stage(Side::Request)],
        &["arn:aws:elasticloadbalancing:*:*:targetgroup/*", "arn:aws:elasticloadbalancing:*:*:listener-rule/app/*"],
        &["elasticloadbalancing:AddTags"],
    ),
    group(
        "ChangeRoutes",
        &[When::Stage(Side::Resource)],
        &["arn:aws:elasticloadbalancing:*:*:targetgroup/*", "arn:aws:elasticloadbalancing:*:*:listener-rule/app/*"],
        &[
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:DeleteRule",
            "elasticloadbalancing:DeleteTargetGroup",
            "elasticloadbalancing:DeregisterTargets",
            "elasticloadbalancing:ModifyRule",
            "elasticloadbalancing:ModifyTargetGroup",
            "elasticloadbalancing:ModifyTargetGroupAttributes",
            "elasticloadbalancing:RegisterTargets",
            "elasticloadbalancing:RemoveTags",
            "elasticloadbalancing:SetRulePriorities",
        ],
    ),
    group(
        "MakeScaling",
        &[When::Stage(Side::Request), ECS_COPIES[0], ECS_COPIES[1]],
        SCALABLE_TARGETS,
        &["application-autoscaling:RegisterScalableTarget"],
    ),
    // A target is tagged by the call that registers it, before it carries a tag.
    group(
        "TagNewScaling",
        &[When::Stage(Side::Request), When::Unowned],
        SCALABLE_TARGETS,
        &["application-autoscaling:TagResource"],
    ),
    group(
        "ChangeScaling",
        &[When::Stage(Side::Resource), ECS_COPIES[0], ECS_COPIES[1]],
        SCALABLE_TARGETS,
        &[
            "application-autoscaling:DeleteScalingPolicy",
            "application-autoscaling:DeregisterScalableTarget",
            "application-autoscaling:PutScalingPolicy",
            "application-autoscaling:RegisterScalableTarget",
        ],
    ),
    group(
        "TagsOfScaling",
        &[When::Stage(Side::Resource)],
        SCALABLE_TARGETS,
        &[
            "application-autoscaling:ListTagsForResource",
            "application-autoscaling:TagResource",
            "application-autoscaling:UntagResource",
        ],
    ),
    // Application Auto Scaling names them by what they scale.
    group(
        "Alarms",
        &[],
        &["arn:aws:cloudwatch:*:*:alarm:TargetTracking-service/{foundation}-*/{stack}-*"],
        &["cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm"],
    ),
    group("LookAtAlarms", &[], &["arn:aws:cloudwatch:*:*:alarm:*"], &["cloudwatch:DescribeAlarms"]),
    group("Records", &[When::StageRecords], &["arn:aws:route53:::hostedzone/*"], &["route53:ChangeResourceRecordSets"]),
    group(
        "LookAtRecords",
        &[],
        &["arn:aws:route53:::hostedzone/*"],
        &["route53:GetHostedZone", "route53:ListResourceRecordSets"],
    ),
    group("Changes", &[], &["arn:aws:route53:::change/*"], &["route53:GetChange"]),
    group(
        "RoleOfScaling",
        &[When::Is("iam:AWSServiceName", &["ecs.application-autoscaling.amazonaws.com"])],
        &["arn:aws:iam::*:role/aws-service-role/*"],
        &["iam:CreateServiceLinkedRole"],
    ),
    group("Certificates", &[], &["arn:aws:acm:*:*:certificate/*"], &["acm:DescribeCertificate"]),
];

const SCALABLE_TARGETS: &[&str] = &["arn:aws:application-autoscaling:*:*:scalable-target/*"];

/// How many copies of an ECS service run, and nothing else that scales.
const ECS_COPIES: [When; 2] = [
    When::Is("application-autoscaling:service-namespace", &["ecs"]),
    When::Is("application-autoscaling:scalable-dimension", &["ecs:service:DesiredCount"]),
];
