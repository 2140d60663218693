//! Every call by which a foundation is made, changed and removed, besides those of its stages.

use super::names::TAG_BASE;
use super::policy::Ground;
use super::policy_world::{Call, GIVEN, HAS, Thing, World, calls, everything};

pub(super) fn calls_of(world: &World) -> Vec<Call> {
    let mut all = world.changes_of_stack(&world.foundation, &world.foundation_tags());
    all.extend(calls(&["cloudformation:GetTemplate"], &[world.stack_arn(&world.foundation)]));
    [
        all,
        looks(world),
        network(world),
        changes_of_network(world),
        doors(world),
        certificates(world),
        cluster(world),
        roles(world),
    ]
    .concat()
}

fn looks(world: &World) -> Vec<Call> {
    let mut all = calls(
        &[
            "ec2:DescribeAddresses",
            "ec2:DescribeAvailabilityZones",
            "ec2:DescribeInternetGateways",
            "ec2:DescribeNatGateways",
            "ec2:DescribeNetworkAcls",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "elasticloadbalancing:DescribeListenerAttributes",
            "elasticloadbalancing:DescribeListenerCertificates",
            "elasticloadbalancing:DescribeLoadBalancerAttributes",
        ],
        &[everything()],
    );
    all.extend(calls(&["ec2:DescribeVpcAttribute"], &[world.thing("ec2", "vpc/vpc-1")]));
    all
}

/// A part of the network that is there.
fn part(world: &World, resource: &str) -> Thing {
    world.thing("ec2", resource).tagged(HAS, &world.foundation_tags())
}

fn network(world: &World) -> Vec<Call> {
    let tags = world.foundation_tags();
    let new = |resource: &str| world.thing("ec2", resource).tagged(GIVEN, &tags);
    let vpc = || part(world, "vpc/vpc-1");
    let address = || part(world, "elastic-ip/eipalloc-1");
    let subnet = || part(world, "subnet/subnet-1");
    let made: [(&'static str, &'static str, Vec<Thing>); 7] = [
        ("ec2:AllocateAddress", "elastic-ip/eipalloc-1", vec![]),
        ("ec2:CreateInternetGateway", "internet-gateway/igw-1", vec![]),
        ("ec2:CreateNatGateway", "natgateway/nat-1", vec![subnet(), address()]),
        ("ec2:CreateRouteTable", "route-table/rtb-1", vec![vpc()]),
        ("ec2:CreateSecurityGroup", "security-group/sg-1", vec![vpc()]),
        ("ec2:CreateSubnet", "subnet/subnet-1", vec![vpc()]),
        ("ec2:CreateVpc", "vpc/vpc-1", vec![]),
    ];
    let mut all = Vec::new();
    for (action, resource, around) in made {
        let name = action.trim_start_matches("ec2:");
        all.extend(calls(&[action], &[vec![new(resource)], around].concat()));
        all.extend(calls(&["ec2:CreateTags"], &[new(resource).key("ec2:CreateAction", name)]));
        // A tag that is new, and one that goes.
        let changed = part(world, resource).tagged(GIVEN, &[(TAG_BASE, "a.test".into())]);
        all.extend(calls(&["ec2:CreateTags"], &[changed]));
        all.extend(calls(&["ec2:DeleteTags"], &[part(world, resource)]));
    }
    all
}

fn changes_of_network(world: &World) -> Vec<Call> {
    let table = || part(world, "route-table/rtb-1");
    let gateway = || part(world, "internet-gateway/igw-1");
    let group = || part(world, "security-group/sg-1");
    let subnet = || part(world, "subnet/subnet-1");
    let vpc = || part(world, "vpc/vpc-1");
    [
        calls(&["ec2:AssociateRouteTable", "ec2:DisassociateRouteTable"], &[table(), subnet()]),
        calls(&["ec2:AttachInternetGateway", "ec2:DetachInternetGateway"], &[gateway(), vpc()]),
        calls(
            &[
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:DeleteSecurityGroup",
                "ec2:RevokeSecurityGroupEgress",
                "ec2:RevokeSecurityGroupIngress",
            ],
            &[group()],
        ),
        calls(&["ec2:CreateRoute", "ec2:DeleteRoute", "ec2:DeleteRouteTable", "ec2:ReplaceRoute"], &[table()]),
        calls(&["ec2:DeleteInternetGateway"], &[gateway()]),
        calls(&["ec2:DeleteNatGateway"], &[part(world, "natgateway/nat-1")]),
        calls(&["ec2:ReleaseAddress"], &[part(world, "elastic-ip/eipalloc-1")]),
        calls(&["ec2:DeleteSubnet", "ec2:ModifySubnetAttribute"], &[subnet()]),
        calls(&["ec2:DeleteVpc", "ec2:ModifyVpcAttribute"], &[vpc()]),
    ]
    .concat()
}

fn doors(world: &World) -> Vec<Call> {
    let tags = world.foundation_tags();
    let making = "elasticloadbalancing:CreateAction";
    let balancer = Thing { arn: world.load_balancer.clone(), keys: Vec::new() };
    let listener = Thing { arn: world.listener.clone(), keys: Vec::new() };
    let mut all = calls(&["elasticloadbalancing:CreateLoadBalancer"], &[balancer.clone().tagged(GIVEN, &tags)]);
    let behind = balancer.clone().tagged(HAS, &tags).tagged(GIVEN, &tags);
    all.extend(calls(&["elasticloadbalancing:CreateListener"], &[behind]));
    for (thing, call) in [(&balancer, "CreateLoadBalancer"), (&listener, "CreateListener")] {
        let made = thing.clone().key(making, call).tagged(GIVEN, &tags);
        all.extend(calls(&["elasticloadbalancing:AddTags"], &[made]));
        let ours = thing.clone().tagged(HAS, &tags);
        all.extend(calls(&["elasticloadbalancing:RemoveTags"], std::slice::from_ref(&ours)));
        all.extend(calls(&["elasticloadbalancing:AddTags"], &[ours.tagged(GIVEN, &[(TAG_BASE, "a.test".into())])]));
    }
    all.extend(calls(
        &[
            "elasticloadbalancing:DeleteLoadBalancer",
            "elasticloadbalancing:ModifyLoadBalancerAttributes",
            "elasticloadbalancing:SetSecurityGroups",
            "elasticloadbalancing:SetSubnets",
        ],
        &[balancer.tagged(HAS, &tags)],
    ));
    all.extend(calls(
        &[
            "elasticloadbalancing:AddListenerCertificates",
            "elasticloadbalancing:DeleteListener",
            "elasticloadbalancing:ModifyListener",
            "elasticloadbalancing:ModifyListenerAttributes",
            "elasticloadbalancing:RemoveListenerCertificates",
        ],
        &[listener.tagged(HAS, &tags)],
    ));
    all.extend(world.service_role("elasticloadbalancing.amazonaws.com"));
    all
}

/// The certificate of the base, with the records that it is validated by, and those of the hosts.
fn certificates(world: &World) -> Vec<Call> {
    let Some(base) = &world.base else { return Vec::new() };
    let tags = world.foundation_tags();
    let certificate = || world.thing("acm", "certificate/01234567-89ab-cdef-0123-456789abcdef");
    let wildcard = format!("*.{base}");
    let asked = everything().tagged(GIVEN, &tags).keys("acm:DomainNames", &[base, &wildcard]);
    let ours = || certificate().tagged(HAS, &tags);
    let mut all = calls(&["acm:RequestCertificate"], &[asked]);
    all.extend(calls(&["acm:AddTagsToCertificate"], &[certificate().tagged(GIVEN, &tags)]));
    all.extend(calls(&["acm:AddTagsToCertificate"], &[ours().tagged(GIVEN, &[(TAG_BASE, "a.test".into())])]));
    all.extend(calls(
        &["acm:DeleteCertificate", "acm:ListTagsForCertificate", "acm:RemoveTagsFromCertificate"],
        &[ours()],
    ));
    all.extend(world.records_of(&[&format!("_0123456789abcdef.{base}")], "CNAME"));
    all.extend(world.records_of(&[&format!(r"\052.{base}")], "A"));
    if world.ground() == Ground::Permanent {
        all.extend(world.records_of(&[base], "A"));
    }
    all
}

fn cluster(world: &World) -> Vec<Call> {
    let cluster = world.thing("ecs", &format!("cluster/{}", world.cluster));
    let mut all =
        calls(&["ecs:CreateCluster", "ecs:TagResource"], &[cluster.clone().tagged(GIVEN, &world.foundation_tags())]);
    all.extend(calls(
        &[
            "ecs:DeleteCluster",
            "ecs:DescribeClusters",
            "ecs:ListTagsForResource",
            "ecs:PutClusterCapacityProviders",
            "ecs:UntagResource",
            "ecs:UpdateCluster",
            "ecs:UpdateClusterSettings",
        ],
        &[cluster],
    ));
    all.extend(world.service_role("ecs.amazonaws.com"));
    all
}

fn roles(world: &World) -> Vec<Call> {
    let bound = |thing: Thing| match &world.boundary {
        Some(boundary) => thing.key("iam:PermissionsBoundary", boundary),
        None => thing,
    };
    let mut all = Vec::new();
    for role in &world.roles {
        let tags = world.role_tags(role);
        let role = Thing { arn: role.clone(), keys: Vec::new() };
        let ours = role.clone().tagged(HAS, &tags);
        let is_by_path = role.arn.contains(&format!("role/{}/", world.owner));
        if is_by_path {
            all.extend(calls(&["iam:CreateRole"], &[bound(role.clone().tagged(GIVEN, &tags))]));
        }
        all.extend(calls(&["iam:TagRole"], &[role.clone().tagged(GIVEN, &tags)]));
        all.extend(calls(&["iam:TagRole"], &[ours.clone().tagged(GIVEN, &[(TAG_BASE, "a.test".into())])]));
        all.extend(calls(&["iam:UntagRole"], &[ours.clone().key("aws:TagKeys", TAG_BASE)]));
        all.extend(calls(
            &["iam:PutRolePermissionsBoundary", "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy"],
            &[bound(ours.clone())],
        ));
        all.extend(calls(
            &[
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:DetachRolePolicy",
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:UpdateRole",
                "iam:UpdateRoleDescription",
            ],
            &[ours],
        ));
    }
    all
}
