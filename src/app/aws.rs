//! Settings become the AWS adapter.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;

use super::action::StepIdentity;
use super::settings::{NatGatewayCount, PreviewCapacityName};
use super::{AwsArgs, ServerSettings, SystemClock, docker_env, proxy, variable};
use crate::aws::{
    AwsCloud, AwsSettings, Finding, NatGateways, ObjectsSettings, OidcRequest, OidcWay, OutboundProxy, PreviewCapacity,
    Question, S3Objects, credentials, is_ecr, metadata,
};
use crate::build::OciRegistry;
use crate::port::{Clock, PortError, PortResult, Registry, Slots};

/// The adapter over the standard chain of credentials.
pub(super) async fn cloud(
    settings: &ServerSettings,
    clock: Arc<dyn Clock>,
    slots: Arc<dyn Slots>,
) -> anyhow::Result<AwsCloud> {
    Ok(cloud_of(&settings.aws, settings.registry.clone(), clock, slots, None).await)
}

/// The same for whoever has no server's settings, with credentials in place of the standard chain's.
pub(super) async fn cloud_of(
    args: &AwsArgs,
    registry: Option<String>,
    clock: Arc<dyn Clock>,
    slots: Arc<dyn Slots>,
    given: Option<SharedCredentialsProvider>,
) -> AwsCloud {
    over(aws_settings(args, registry, clock, slots), given).await
}

/// The adapter for foundations, which lease nothing and pull nothing.
pub(super) async fn cloud_by_hand(args: &AwsArgs) -> AwsCloud {
    cloud_as(args, None).await
}

/// The same with credentials in place of the standard chain's.
pub(super) async fn cloud_as(args: &AwsArgs, given: Option<SharedCredentialsProvider>) -> AwsCloud {
    over(aws_settings(args, None, Arc::new(SystemClock), Arc::new(NoSlots)), given).await
}

async fn over(settings: AwsSettings, given: Option<SharedCredentialsProvider>) -> AwsCloud {
    match given {
        Some(given) => AwsCloud::with_credentials(settings, given).await,
        None => AwsCloud::new(settings).await,
    }
}

/// Credentials of a role by the token that GitHub gives a job.
pub(super) async fn role(
    request: &OidcRequest,
    role: &str,
    session: &str,
    region: &str,
) -> PortResult<SharedCredentialsProvider> {
    let way = OidcWay { endpoint: endpoint(), proxy: outbound_proxy() };
    credentials(request, Some(role), session, region, &way).await
}

/// Where the images go that ECS pulls.
pub(super) fn registry(settings: &ServerSettings, aws: &AwsCloud) -> Arc<dyn Registry> {
    registry_of(settings.registry.as_deref(), aws)
}

pub(super) fn registry_of(registry: Option<&str>, aws: &AwsCloud) -> Arc<dyn Registry> {
    match registry {
        Some(other) if !is_ecr(Some(other), endpoint().as_deref()) => Arc::new(OciRegistry::new(other, docker_env())),
        _ => Arc::new(aws.registry()),
    }
}

/// The bucket of a state, as somebody reaches it.
pub(super) async fn objects(bucket: &str, identity: &StepIdentity) -> S3Objects {
    let settings = ObjectsSettings {
        bucket: bucket.to_owned(),
        region: identity.region.clone(),
        endpoint: endpoint(),
        proxy: outbound_proxy(),
        credentials: identity.credentials.clone(),
    };
    S3Objects::new(settings).await
}

fn outbound_proxy() -> Option<OutboundProxy> {
    proxy().map(|proxy| OutboundProxy { http: proxy.http, https: proxy.https, no: proxy.no })
}

fn endpoint() -> Option<String> {
    variable("AWS_ENDPOINT_URL").filter(|url| !url.is_empty())
}

/// Looks at everything on AWS that deploys rest on, and at what this machine's metadata service tells
/// whoever asks; changes nothing.
pub async fn doctor(args: &AwsArgs, question: &Question, metadata_at: SocketAddr) -> Vec<Finding> {
    let settings = aws_settings(args, None, Arc::new(SystemClock), Arc::new(NoSlots));
    let aws = AwsCloud::new(settings).await;
    let mut found = Box::pin(aws.diagnose(question)).await;
    found.push(metadata(metadata_at).await);
    found
}

fn aws_settings(args: &AwsArgs, registry: Option<String>, clock: Arc<dyn Clock>, slots: Arc<dyn Slots>) -> AwsSettings {
    AwsSettings {
        name: args.aws_name.clone(),
        endpoint: endpoint(),
        registry,
        nat_gateways: match args.aws_nat_gateways {
            NatGatewayCount::Zero => NatGateways::None,
            NatGatewayCount::One => NatGateways::One,
            NatGatewayCount::Two => NatGateways::Two,
        },
        preview_capacity: match args.aws_preview_capacity {
            PreviewCapacityName::Fargate => PreviewCapacity::Fargate,
            PreviewCapacityName::FargateSpot => PreviewCapacity::FargateSpot,
        },
        permissions_boundary: args.aws_permissions_boundary.clone(),
        proxy: outbound_proxy(),
        clock,
        slots,
    }
}

/// Without a database nothing is leased.
struct NoSlots;

fn no_slots<T>() -> PortResult<T> {
    Err(PortError::Bug { context: "a number was asked for where nothing is made".into(), source: None })
}

#[async_trait]
impl Slots for NoSlots {
    async fn take_slot(&self, _: &str, _: &str, _: &BTreeSet<u32>, _: u32) -> PortResult<Option<u32>> {
        no_slots()
    }

    async fn free_slot(&self, _: &str, _: &str) -> PortResult<()> {
        no_slots()
    }

    async fn slots(&self, _: &str) -> PortResult<Vec<(u32, String)>> {
        no_slots()
    }
}
