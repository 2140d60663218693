//! Attacks by whoever got hold of a session, the server's keys or a program's role: each is an action
//! that AWS has, on a thing that might be there.

use super::*;
use crate::aws::policy_world::{GIVEN, HAS, Thing};

/// What it is, the action, and the thing.
pub(super) type Attack = (&'static str, &'static str, Thing);

pub(super) fn iam(resource: &str) -> Thing {
    Thing { arn: format!("arn:aws:iam::123456789012:{resource}"), keys: Vec::new() }
}

fn global(arn: &str) -> Thing {
    Thing { arn: arn.to_owned(), keys: Vec::new() }
}

fn pass(role: &str, to: &str) -> Thing {
    iam(role).key("iam:PassedToService", to)
}

/// With the tags of what belongs to the stage.
fn of(world: &World, thing: Thing) -> Thing {
    thing.tagged(HAS, &world.stage_tags())
}

/// A role that the README has somebody make, or that was there before.
pub(super) const DEPLOYER: &str = "role/greenroom-previews";
pub(super) const ADMIN: &str = "role/Admin";
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// By which a session makes itself more than it is.
pub(super) fn escalations(me: &World) -> Vec<Attack> {
    let tags = me.foundation_tags();
    let role = |name: &str| iam(&format!("role/greenroom/{}/{name}", me.foundation));
    let own = || global(&me.roles[0]).tagged(HAS, &tags);
    let bound = |thing: Thing| thing.key("iam:PermissionsBoundary", BOUNDARY_ARN);
    let other_stage = [("greenroom:stage", "other".to_owned())];
    vec![
        ("a user", "iam:CreateUser", iam("user/evil")),
        ("a user's key", "iam:CreateAccessKey", iam("user/admin")),
        ("a user's password", "iam:UpdateLoginProfile", iam("user/admin")),
        ("a user's policy", "iam:PutUserPolicy", iam("user/admin")),
        ("a user's managed policy", "iam:AttachUserPolicy", iam("user/admin").key("iam:PolicyARN", ADMINISTRATOR)),
        ("a group's member", "iam:AddUserToGroup", iam("group/admins")),
        ("a role without a boundary", "iam:CreateRole", role("evil").tagged(GIVEN, &tags)),
        (
            "a role within a boundary that bounds nothing",
            "iam:CreateRole",
            role("evil").tagged(GIVEN, &tags).key("iam:PermissionsBoundary", ADMINISTRATOR),
        ),
        ("a role that is nobody's", "iam:CreateRole", bound(role("evil"))),
        ("a role beside ours", "iam:CreateRole", bound(iam("role/greenroom-evil")).tagged(GIVEN, &tags)),
        ("a role at another path", "iam:CreateRole", bound(iam("role/greenroom/other/evil")).tagged(GIVEN, &tags)),
        ("a managed policy on our role", "iam:AttachRolePolicy", bound(own()).key("iam:PolicyARN", ADMINISTRATOR)),
        ("a managed policy on the deployer", "iam:AttachRolePolicy", iam(DEPLOYER).key("iam:PolicyARN", ADMINISTRATOR)),
        ("a policy on the deployer", "iam:PutRolePolicy", iam(DEPLOYER)),
        ("a policy on the deployer that looks like ours", "iam:PutRolePolicy", bound(iam(DEPLOYER)).tagged(HAS, &tags)),
        ("a policy on an administrator", "iam:PutRolePolicy", iam(ADMIN)),
        ("a policy on a role that is not bound", "iam:PutRolePolicy", own()),
        ("a policy on a bound role that is not ours", "iam:PutRolePolicy", bound(global(&me.roles[0]))),
        ("a boundary taken away", "iam:DeleteRolePermissionsBoundary", bound(own())),
        (
            "a boundary that bounds nothing",
            "iam:PutRolePermissionsBoundary",
            own().key("iam:PermissionsBoundary", ADMINISTRATOR),
        ),
        ("the deployer's trust", "iam:UpdateAssumeRolePolicy", iam(DEPLOYER)),
        ("the deployer's trust, tagged", "iam:UpdateAssumeRolePolicy", bound(iam(DEPLOYER)).tagged(HAS, &tags)),
        ("an administrator's trust", "iam:UpdateAssumeRolePolicy", iam(ADMIN)),
        ("the deployer gone", "iam:DeleteRole", iam(DEPLOYER).tagged(HAS, &tags)),
        ("the deployer tagged as ours", "iam:TagRole", iam(DEPLOYER).tagged(GIVEN, &tags)),
        ("our role tagged as another stage's", "iam:TagRole", own().tagged(GIVEN, &other_stage)),
        ("our role's tag gone", "iam:UntagRole", own().key("aws:TagKeys", "greenroom:stage")),
        ("a new version of the boundary", "iam:CreatePolicyVersion", global(BOUNDARY_ARN)),
        ("an old version of the boundary", "iam:SetDefaultPolicyVersion", global(BOUNDARY_ARN)),
        ("the boundary gone", "iam:DeletePolicy", global(BOUNDARY_ARN)),
        ("a managed policy", "iam:CreatePolicy", iam("policy/evil")),
        ("a provider of identities", "iam:CreateOpenIDConnectProvider", iam("oidc-provider/evil.example")),
        ("an administrator to a task", "iam:PassRole", pass(ADMIN, "ecs-tasks.amazonaws.com")),
        ("the deployer to a task", "iam:PassRole", pass(DEPLOYER, "ecs-tasks.amazonaws.com")),
        (
            "our role to a function",
            "iam:PassRole",
            global(&me.roles[0]).key("iam:PassedToService", "lambda.amazonaws.com"),
        ),
        (
            "our role to CloudFormation",
            "iam:PassRole",
            global(&me.roles[0]).key("iam:PassedToService", "cloudformation.amazonaws.com"),
        ),
        ("an administrator taken on", "sts:AssumeRole", iam(ADMIN).key("sts:ExternalId", "acme/shop")),
        ("a machine", "ec2:RunInstances", me.thing("ec2", "instance/*")),
        ("a function", "lambda:CreateFunction", me.thing("lambda", "function:evil")),
        ("a service's role of another kind", "iam:CreateServiceLinkedRole", {
            iam("role/aws-service-role/x.amazonaws.com/X").key("iam:AWSServiceName", "organizations.amazonaws.com")
        }),
    ]
}

/// What belongs to another stage, of whichever repository.
pub(super) fn attacks_on_a_stage(me: &World, them: &World) -> Vec<Attack> {
    let service = them.service();
    let task = || them.thing("ecs", &format!("task/{}/0123456789abcdef0123456789abcdef", them.cluster));
    let definition = || them.thing("ecs", &format!("task-definition/{}-web:7", them.stack));
    let own_definition = me.thing("ecs", &format!("task-definition/{}-web:7", me.stack));
    let group = them.thing("logs", &format!("log-group:/greenroom/{}/{}/web", them.stage.repo, them.stage.name));
    let stream = Thing { arn: format!("{}:log-stream:web/web/1", group.arn), keys: Vec::new() };
    let listener = || global(&me.listener).tagged(HAS, &me.foundation_tags());
    let making = "elasticloadbalancing:CreateAction";
    let (mine, theirs) = (me.stage_tags(), them.stage_tags());
    let scaled = |thing: Thing| {
        thing
            .key("application-autoscaling:service-namespace", "ecs")
            .key("application-autoscaling:scalable-dimension", "ecs:service:DesiredCount")
    };
    let alarm = format!("alarm:TargetTracking-service/{}/{}-WebService-1-AlarmHigh-1", them.cluster, them.stack);
    let template = format!("arn:aws:s3:::greenroom-templates-123456789012-eu-west-1/{}/1.yaml", them.stack);
    vec![
        ("its stack gone", "cloudformation:DeleteStack", them.stack_arn(&them.stack)),
        ("its stack changed", "cloudformation:UpdateStack", of(them, them.stack_arn(&them.stack))),
        ("its stack made", "cloudformation:CreateStack", them.stack_arn(&them.stack).tagged(GIVEN, &mine)),
        ("its stack's changes", "cloudformation:CreateChangeSet", them.stack_arn(&them.stack)),
        ("its service changed", "ecs:UpdateService", of(them, service.clone())),
        ("its service gone", "ecs:DeleteService", of(them, service.clone())),
        ("its service tagged as mine", "ecs:TagResource", of(them, service).tagged(GIVEN, &mine)),
        ("its family", "ecs:RegisterTaskDefinition", definition().tagged(GIVEN, &mine)),
        ("its definitions gone", "ecs:DeleteTaskDefinitions", definition()),
        ("its program run", "ecs:RunTask", {
            definition().key("ecs:cluster", &me.arn("ecs", &format!("cluster/{}", me.cluster)))
        }),
        ("my program in another cluster", "ecs:RunTask", {
            own_definition.key("ecs:cluster", &me.arn("ecs", "cluster/payments"))
        }),
        ("its task stopped", "ecs:StopTask", of(them, task())),
        ("a task that is nobody's stopped", "ecs:StopTask", task()),
        ("its task tagged as mine", "ecs:TagResource", of(them, task()).tagged(GIVEN, &mine)),
        ("a shell in its task", "ecs:ExecuteCommand", of(them, task())),
        ("its targets", "elasticloadbalancing:RegisterTargets", of(them, them.target_group())),
        ("its targets gone", "elasticloadbalancing:DeregisterTargets", of(them, them.target_group())),
        ("its target group gone", "elasticloadbalancing:DeleteTargetGroup", of(them, them.target_group())),
        ("its rule changed", "elasticloadbalancing:ModifyRule", of(them, them.rule())),
        ("its rule gone", "elasticloadbalancing:DeleteRule", of(them, them.rule())),
        ("its rule's place", "elasticloadbalancing:SetRulePriorities", of(them, them.rule())),
        ("its rule tagged as mine", "elasticloadbalancing:AddTags", of(them, them.rule()).tagged(GIVEN, &mine)),
        (
            "a target group in its name",
            "elasticloadbalancing:CreateTargetGroup",
            them.target_group().tagged(GIVEN, &theirs),
        ),
        ("a rule in its name", "elasticloadbalancing:CreateRule", listener().tagged(GIVEN, &theirs)),
        ("a rule in nobody's name", "elasticloadbalancing:CreateRule", listener()),
        ("a rule made with its tags", "elasticloadbalancing:AddTags", {
            me.rule().key(making, "CreateRule").tagged(GIVEN, &theirs)
        }),
        ("its logs read", "logs:GetLogEvents", stream),
        ("its logs gone", "logs:DeleteLogGroup", group),
        ("its scaling", "application-autoscaling:RegisterScalableTarget", of(them, scaled(them.scalable_target()))),
        (
            "its scaling gone",
            "application-autoscaling:DeregisterScalableTarget",
            of(them, scaled(them.scalable_target())),
        ),
        ("its scaling tagged as mine", "application-autoscaling:TagResource", {
            of(them, them.scalable_target()).tagged(GIVEN, &mine)
        }),
        ("its alarm", "cloudwatch:PutMetricAlarm", them.thing("cloudwatch", &alarm)),
        ("its alarm gone", "cloudwatch:DeleteAlarms", them.thing("cloudwatch", &alarm)),
        ("its template", "s3:PutObject", global(&template)),
    ]
}

/// What belongs to another repository alone.
pub(super) fn attacks_on_a_repository(them: &World) -> Vec<Attack> {
    let images = || them.thing("ecr", &format!("repository/{}/web", them.images));
    vec![
        ("its image", "ecr:PutImage", images()),
        ("its images read", "ecr:BatchGetImage", images()),
        ("its images gone", "ecr:BatchDeleteImage", images()),
        ("a repository in its name", "ecr:CreateRepository", images()),
    ]
}

/// The roles of another repository's programs, where they lie beside one's own.
pub(super) fn attacks_on_roles(me: &World, them: &World) -> Vec<Attack> {
    let own = || global(&me.roles[0]).tagged(HAS, &me.role_tags(&me.roles[0]));
    let bound = |thing: Thing| thing.key("iam:PermissionsBoundary", BOUNDARY_ARN);
    let role = || bound(global(&them.roles[0]).tagged(HAS, &them.role_tags(&them.roles[0])));
    let theirs = them.role_tags(&them.roles[0]);
    vec![
        ("its role to a task", "iam:PassRole", role().key("iam:PassedToService", "ecs-tasks.amazonaws.com")),
        ("its role's policy", "iam:PutRolePolicy", role()),
        ("its role's trust", "iam:UpdateAssumeRolePolicy", role()),
        ("its role gone", "iam:DeleteRole", role()),
        ("its role's tags", "iam:TagRole", role().tagged(GIVEN, &me.role_tags(&me.roles[0]))),
        ("a role in its name", "iam:CreateRole", bound(global(&them.roles[0])).tagged(GIVEN, &theirs)),
        ("a role of mine that reads its secrets", "iam:CreateRole", bound(global(&me.roles[0])).tagged(GIVEN, &theirs)),
        ("my role as its own", "iam:TagRole", own().tagged(GIVEN, &theirs)),
    ]
}

/// What another ground is made of.
pub(super) fn attacks_on_a_foundation(me: &World, them: &World) -> Vec<Attack> {
    let theirs = them.foundation_tags();
    let part = |resource: &str| them.thing("ec2", resource).tagged(HAS, &theirs);
    let door = |arn: &str| global(arn).tagged(HAS, &theirs);
    let cluster = || them.thing("ecs", &format!("cluster/{}", them.cluster));
    let role = || global(&them.roles[0]).tagged(HAS, &theirs).key("iam:PermissionsBoundary", BOUNDARY_ARN);
    let certificate = || them.thing("acm", "certificate/1").tagged(HAS, &theirs);
    vec![
        ("its stack gone", "cloudformation:DeleteStack", them.stack_arn(&them.foundation)),
        ("its stack changed", "cloudformation:UpdateStack", them.stack_arn(&them.foundation)),
        ("its network gone", "ec2:DeleteVpc", part("vpc/vpc-1")),
        ("its doors opened", "ec2:AuthorizeSecurityGroupIngress", part("security-group/sg-1")),
        ("its routes", "ec2:CreateRoute", part("route-table/rtb-1")),
        ("its tags gone", "ec2:DeleteTags", part("vpc/vpc-1")),
        ("its network tagged as mine", "ec2:CreateTags", part("vpc/vpc-1").tagged(GIVEN, &me.foundation_tags())),
        ("a rule on its listener", "elasticloadbalancing:CreateRule", {
            door(&them.listener).tagged(GIVEN, &me.stage_tags())
        }),
        ("its listener", "elasticloadbalancing:ModifyListener", door(&them.listener)),
        ("its load balancer gone", "elasticloadbalancing:DeleteLoadBalancer", door(&them.load_balancer)),
        ("its load balancer's groups", "elasticloadbalancing:SetSecurityGroups", door(&them.load_balancer)),
        ("its certificate gone", "acm:DeleteCertificate", certificate()),
        ("its certificate tagged as mine", "acm:AddTagsToCertificate", {
            certificate().tagged(GIVEN, &me.foundation_tags())
        }),
        ("its cluster gone", "ecs:DeleteCluster", cluster()),
        ("its role's policy", "iam:PutRolePolicy", role()),
        ("its role's trust", "iam:UpdateAssumeRolePolicy", role()),
        ("its role gone", "iam:DeleteRole", role()),
        ("its role to a task", "iam:PassRole", {
            global(&them.roles[0]).key("iam:PassedToService", "ecs-tasks.amazonaws.com")
        }),
    ]
}

/// What was in the account before, and is nobody's of any Greenroom.
pub(super) fn attacks_on_the_account(me: &World) -> Vec<Attack> {
    let elb = |resource: &str| me.thing("elasticloadbalancing", resource);
    let network = |resource: &str| me.thing("ec2", resource);
    let scaled = me.scalable_target().key("application-autoscaling:service-namespace", "dynamodb");
    let scaled = scaled.key("application-autoscaling:scalable-dimension", "dynamodb:table:ReadCapacityUnits");
    let named = |names: &[&str], kind: &str| me.records_of(names, kind).remove(0).things.remove(0);
    let listener = "listener/app/payments/0123456789abcdef/0123456789abcdef";
    let balancer = "loadbalancer/app/payments/0123456789abcdef";
    vec![
        ("a secret", "secretsmanager:GetSecretValue", me.thing("secretsmanager", "secret:prod/db-AbCdEf")),
        ("a parameter", "ssm:GetParameters", me.thing("ssm", "parameter/prod/db")),
        ("a key", "kms:Decrypt", me.thing("kms", "key/1")),
        ("a bucket's object", "s3:GetObject", global("arn:aws:s3:::payments/ledger")),
        ("a bucket of a name like ours", "s3:GetObject", global("arn:aws:s3:::greenroom-backups/ledger")),
        ("a bucket's policy", "s3:PutBucketPolicy", global("arn:aws:s3:::greenroom-templates-123456789012-eu-west-1")),
        ("a stack", "cloudformation:DeleteStack", me.stack_arn("payments")),
        ("a stack's parameters changed", "cloudformation:UpdateStack", me.stack_arn("payments")),
        ("a service", "ecs:UpdateService", me.thing("ecs", "service/payments/api")),
        ("a task", "ecs:StopTask", me.thing("ecs", "task/payments/0123456789abcdef0123456789abcdef")),
        ("a repository of images", "ecr:PutImage", me.thing("ecr", "repository/payments")),
        ("our repository gone", "ecr:DeleteRepository", me.thing("ecr", &format!("repository/{}/web", me.images))),
        ("our repository opened", "ecr:SetRepositoryPolicy", me.thing("ecr", &format!("repository/{}/web", me.images))),
        ("logs", "logs:GetLogEvents", me.thing("logs", "log-group:/aws/lambda/payments:log-stream:1")),
        ("logs gone", "logs:DeleteLogGroup", me.thing("logs", "log-group:/aws/cloudtrail")),
        ("an alarm", "cloudwatch:DeleteAlarms", me.thing("cloudwatch", "alarm:billing")),
        ("an alarm silenced", "cloudwatch:PutMetricAlarm", me.thing("cloudwatch", "alarm:billing")),
        ("a table's scaling", "application-autoscaling:RegisterScalableTarget", {
            scaled.clone().tagged(GIVEN, &me.stage_tags())
        }),
        ("a table's scaling gone", "application-autoscaling:DeregisterScalableTarget", scaled),
        ("a rule on a load balancer", "elasticloadbalancing:CreateRule", elb(listener).tagged(GIVEN, &me.stage_tags())),
        ("a rule gone", "elasticloadbalancing:DeleteRule", {
            elb("listener-rule/app/payments/0123456789abcdef/0123456789abcdef/0123456789abcdef")
        }),
        ("a listener", "elasticloadbalancing:ModifyListener", elb(listener)),
        ("a listener beside ours", "elasticloadbalancing:CreateListener", {
            elb(balancer).tagged(GIVEN, &me.foundation_tags())
        }),
        ("a load balancer gone", "elasticloadbalancing:DeleteLoadBalancer", elb(balancer)),
        ("a load balancer tagged as mine", "elasticloadbalancing:AddTags", {
            elb(balancer).tagged(GIVEN, &me.foundation_tags())
        }),
        ("a target group", "elasticloadbalancing:RegisterTargets", elb("targetgroup/payments/0123456789abcdef")),
        ("a network gone", "ec2:DeleteVpc", network("vpc/vpc-9")),
        ("a network tagged as mine", "ec2:CreateTags", network("vpc/vpc-9").tagged(GIVEN, &me.foundation_tags())),
        ("a network in nobody's name", "ec2:CreateVpc", network("vpc/vpc-9")),
        ("a security group opened", "ec2:AuthorizeSecurityGroupIngress", network("security-group/sg-9")),
        ("a machine gone", "ec2:TerminateInstances", network("instance/i-9")),
        ("a certificate gone", "acm:DeleteCertificate", me.thing("acm", "certificate/9")),
        ("a certificate of another domain", "acm:RequestCertificate", {
            global("*").tagged(GIVEN, &me.foundation_tags()).keys("acm:DomainNames", &["payments.test"])
        }),
        ("another zone's record", "route53:ChangeResourceRecordSets", named(&["payments.test"], "A")),
        ("another zone's wildcard", "route53:ChangeResourceRecordSets", named(&[r"\052.payments.test"], "A")),
        ("a name that ends like ours", "route53:ChangeResourceRecordSets", named(&["evilexample.com"], "A")),
        ("the zone's mail", "route53:ChangeResourceRecordSets", named(&["example.com"], "MX")),
        ("the zone's servers", "route53:ChangeResourceRecordSets", named(&["example.com"], "NS")),
        ("a proof of the zone", "route53:ChangeResourceRecordSets", named(&["_acme-challenge.example.com"], "TXT")),
        ("ours and another at once", "route53:ChangeResourceRecordSets", {
            named(&[r"\052.example.com", "payments.test"], "A")
        }),
        ("the zone gone", "route53:DeleteHostedZone", me.zone()),
    ]
}

/// Names in our own zone that are not a preview's.
pub(super) fn attacks_on_names(me: &World) -> Vec<Attack> {
    let named = |name: &str, kind: &str| me.records_of(&[name], kind).remove(0).things.remove(0);
    vec![
        ("production's name", "route53:ChangeResourceRecordSets", named("example.com", "A")),
        ("production's host", "route53:ChangeResourceRecordSets", named("api.example.com", "A")),
        ("another preview's name", "route53:ChangeResourceRecordSets", named("pr-43.example.com", "A")),
        ("another preview's host", "route53:ChangeResourceRecordSets", named("api-pr-421.example.com", "A")),
        ("another's host that leads away", "route53:ChangeResourceRecordSets", named("www.example.com", "CNAME")),
    ]
}
