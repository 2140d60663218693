//! Which permissions the making of foundations needs, and what their roles may do at most.
//!
//! A foundation's policy stands besides the one for its stages. Whoever has both can make roles and
//! hand them to programs: so each role is bound by the boundary, which nobody can loosen with either.

use super::policy::Ground;
use super::policy::{Group, Side, When};
use super::policy_table::{EVERYTHING, group};

/// New roles by their path, which a role that somebody made beside us never has, nor one of another
/// repository's previews; those of older foundations by their names.
const ROLES: &[&str] =
    &["arn:aws:iam::*:role/{roles}", "arn:aws:iam::*:role/{shared}", "arn:aws:iam::*:role/{foundation}-*"];

pub(super) const FOUNDATION: &[Group] = &[
    group(
        "Stacks",
        &[],
        &["arn:aws:cloudformation:*:*:stack/{foundation}/*"],
        &[
            "cloudformation:ContinueUpdateRollback",
            "cloudformation:CreateChangeSet",
            "cloudformation:CreateStack",
            "cloudformation:DeleteChangeSet",
            "cloudformation:DeleteStack",
            "cloudformation:DescribeChangeSet",
            "cloudformation:GetTemplate",
            "cloudformation:ListStackResources",
            "cloudformation:RollbackStack",
            "cloudformation:TagResource",
            "cloudformation:UntagResource",
            "cloudformation:UpdateStack",
        ],
    ),
    group("Templates", &[], &["arn:aws:s3:::{name}-templates-*/{foundation}/*"], &["s3:GetObject", "s3:PutObject"]),
    group(
        "MakeCertificates",
        &[When::Foundation(Side::Request), When::Certificates],
        EVERYTHING,
        &["acm:RequestCertificate"],
    ),
    // A certificate is tagged by the call that asks for it, before it carries a tag.
    group(
        "TagNewCertificates",
        &[When::Foundation(Side::Request), When::Unowned],
        CERTIFICATES,
        &["acm:AddTagsToCertificate"],
    ),
    group(
        "ChangeCertificates",
        &[When::Foundation(Side::Resource)],
        CERTIFICATES,
        &[
            "acm:AddTagsToCertificate",
            "acm:DeleteCertificate",
            "acm:ListTagsForCertificate",
            "acm:RemoveTagsFromCertificate",
        ],
    ),
    group(
        "Records",
        &[When::FoundationRecords],
        &["arn:aws:route53:::hostedzone/*"],
        &["route53:ChangeResourceRecordSets"],
    ),
    group(
        "Clusters",
        &[],
        &["arn:aws:ecs:*:*:cluster/{foundation}-*"],
        &[
            "ecs:CreateCluster",
            "ecs:DeleteCluster",
            "ecs:DescribeClusters",
            "ecs:ListTagsForResource",
            "ecs:PutClusterCapacityProviders",
            "ecs:TagResource",
            "ecs:UntagResource",
            "ecs:UpdateCluster",
            "ecs:UpdateClusterSettings",
        ],
    ),
    group(
        "MakeRoles",
        &[When::Bounded, When::Own, When::Owner(Side::Request), When::Foundation(Side::Request)],
        &["arn:aws:iam::*:role/{roles}", "arn:aws:iam::*:role/{shared}"],
        &["iam:CreateRole"],
    ),
    group("TagRoles", &[When::Retagging, When::Own], ROLES, &["iam:TagRole"]),
    group("UntagRoles", &[When::Untagging], ROLES, &["iam:UntagRole"]),
    group(
        "GrantToRoles",
        &[When::Bounded, When::Owner(Side::Resource), When::Foundation(Side::Resource)],
        ROLES,
        &["iam:PutRolePermissionsBoundary", "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy"],
    ),
    group(
        "ChangeRoles",
        &[When::Foundation(Side::Resource)],
        ROLES,
        &[
            "iam:DeleteRole",
            "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy",
            "iam:UpdateRole",
            "iam:UpdateRoleDescription",
        ],
    ),
    // Those of every repository: what they may is no secret, and the policy has to fit IAM.
    group(
        "LookAtRoles",
        &[],
        &["arn:aws:iam::*:role/{name}/{foundation}/*", "arn:aws:iam::*:role/{foundation}-*"],
        &["iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"],
    ),
    group(
        "RolesOfServices",
        &[When::Is("iam:AWSServiceName", &["ecs.amazonaws.com", "elasticloadbalancing.amazonaws.com"])],
        &["arn:aws:iam::*:role/aws-service-role/*"],
        &["iam:CreateServiceLinkedRole"],
    ),
];

/// Its network, and the load balancers in it.
pub(super) const NETWORK: &[Group] = &[
    group(
        "Look",
        &[],
        EVERYTHING,
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
    ),
    // EC2 judges a call on each thing by itself: on the new one by the tags that it is given, ...
    group(
        "MakeNetwork",
        &[When::Foundation(Side::Request)],
        &[
            "arn:aws:ec2:*:*:internet-gateway/*",
            "arn:aws:ec2:*:*:natgateway/*",
            "arn:aws:ec2:*:*:route-table/*",
            "arn:aws:ec2:*:*:security-group/*",
        ],
        &["ec2:CreateInternetGateway", "ec2:CreateNatGateway", "ec2:CreateRouteTable", "ec2:CreateSecurityGroup"],
    ),
    // Apart from what would be made in them.
    group(
        "MakeSubnets",
        &[When::Foundation(Side::Request)],
        &["arn:aws:ec2:*:*:elastic-ip/*", "arn:aws:ec2:*:*:subnet/*"],
        &["ec2:AllocateAddress", "ec2:CreateSubnet"],
    ),
    group("MakeVpc", &[When::Foundation(Side::Request)], &["arn:aws:ec2:*:*:vpc/*"], &["ec2:CreateVpc"]),
    // ... on those around it by the tags that they have.
    group(
        "InVpc",
        &[When::Foundation(Side::Resource)],
        &["arn:aws:ec2:*:*:vpc/*"],
        &["ec2:CreateRouteTable", "ec2:CreateSecurityGroup", "ec2:CreateSubnet"],
    ),
    group(
        "InSubnet",
        &[When::Foundation(Side::Resource)],
        &["arn:aws:ec2:*:*:elastic-ip/*", "arn:aws:ec2:*:*:subnet/*"],
        &["ec2:CreateNatGateway"],
    ),
    group(
        "TagNewNetwork",
        &[When::Making("ec2:CreateAction"), When::Foundation(Side::Request)],
        PARTS,
        &["ec2:CreateTags"],
    ),
    group("ChangeTags", &[When::Foundation(Side::Resource)], PARTS, &["ec2:CreateTags", "ec2:DeleteTags"]),
    group(
        "ChangeNetwork",
        &[When::Foundation(Side::Resource)],
        ANY_PART,
        &[
            "ec2:AssociateRouteTable",
            "ec2:AttachInternetGateway",
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateRoute",
            "ec2:DeleteInternetGateway",
            "ec2:DeleteNatGateway",
            "ec2:DeleteRoute",
            "ec2:DeleteRouteTable",
            "ec2:DeleteSecurityGroup",
            "ec2:DeleteSubnet",
            "ec2:DeleteVpc",
            "ec2:DetachInternetGateway",
            "ec2:DisassociateRouteTable",
            "ec2:ModifySubnetAttribute",
            "ec2:ModifyVpcAttribute",
            "ec2:ReleaseAddress",
            "ec2:ReplaceRoute",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
        ],
    ),
    group("LookAtVpc", &[], &["arn:aws:ec2:*:*:vpc/*"], &["ec2:DescribeVpcAttribute"]),
    group(
        "MakeDoors",
        &[When::Foundation(Side::Request)],
        &["arn:aws:elasticloadbalancing:*:*:loadbalancer/app/*"],
        &["elasticloadbalancing:CreateLoadBalancer"],
    ),
    group(
        "MakeListeners",
        &[When::Foundation(Side::Request), When::Foundation(Side::Resource)],
        &["arn:aws:elasticloadbalancing:*:*:loadbalancer/app/*"],
        &["elasticloadbalancing:CreateListener"],
    ),
    group(
        "TagNewDoors",
        &[When::Making("elasticloadbalancing:CreateAction"), When::Foundation(Side::Request)],
        DOORS,
        &["elasticloadbalancing:AddTags"],
    ),
    group(
        "ChangeDoors",
        &[When::Foundation(Side::Resource)],
        DOORS,
        &[
            "elasticloadbalancing:AddListenerCertificates",
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:DeleteListener",
            "elasticloadbalancing:DeleteLoadBalancer",
            "elasticloadbalancing:ModifyListener",
            "elasticloadbalancing:ModifyListenerAttributes",
            "elasticloadbalancing:ModifyLoadBalancerAttributes",
            "elasticloadbalancing:RemoveListenerCertificates",
            "elasticloadbalancing:RemoveTags",
            "elasticloadbalancing:SetSecurityGroups",
            "elasticloadbalancing:SetSubnets",
        ],
    ),
];

const PARTS: &[&str] = &[
    "arn:aws:ec2:*:*:elastic-ip/*",
    "arn:aws:ec2:*:*:internet-gateway/*",
    "arn:aws:ec2:*:*:natgateway/*",
    "arn:aws:ec2:*:*:route-table/*",
    "arn:aws:ec2:*:*:security-group/*",
    "arn:aws:ec2:*:*:subnet/*",
    "arn:aws:ec2:*:*:vpc/*",
];

/// Each action knows few of them, and all must carry the tag.
const ANY_PART: &[&str] = &["arn:aws:ec2:*:*:*/*"];

const DOORS: &[&str] =
    &["arn:aws:elasticloadbalancing:*:*:listener/app/*", "arn:aws:elasticloadbalancing:*:*:loadbalancer/app/*"];

const CERTIFICATES: &[&str] = &["arn:aws:acm:*:*:certificate/*"];

/// What programs need to be started with: images, logs, and the secrets of their own foundation,
/// which the role's own tags name. A policy that somebody attaches to a role can give no more.
pub(super) const BOUNDARY: &[Group] = &[
    group("Login", &[], EVERYTHING, &["ecr:GetAuthorizationToken"]),
    group(
        "Images",
        &[],
        &["arn:aws:ecr:*:*:repository/{name}/*"],
        &["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    ),
    group("Logs", &[], &["arn:aws:logs:*:*:log-group:/{name}/*"], &["logs:CreateLogStream", "logs:PutLogEvents"]),
    group("SecretsOfPreviews", &[When::SecretsOf(Ground::Previews)], SECRETS, READ_SECRETS),
    group("SecretsOfPermanent", &[When::SecretsOf(Ground::Permanent)], SECRETS, READ_SECRETS),
];

const SECRETS: &[&str] = &["arn:aws:secretsmanager:*:*:secret:*", "arn:aws:ssm:*:*:parameter/*"];
const READ_SECRETS: &[&str] = &["secretsmanager:GetSecretValue", "ssm:GetParameters"];
