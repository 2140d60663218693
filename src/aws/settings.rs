//! What the composition root tells the AWS adapter.

use std::sync::Arc;

use secrecy::SecretString;

use crate::port::{Clock, Slots};

/// How many NAT gateways a foundation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatGateways {
    /// Programs get public addresses instead, behind security groups that let nothing in.
    None,
    One,
    /// One in each zone.
    Two,
}

/// What preview services run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewCapacity {
    Fargate,
    /// Up to 70 % cheaper; AWS may take a task away with two minutes' notice.
    FargateSpot,
}

/// A proxy towards the internet, for the health probe and for AWS.
#[derive(Debug, Clone)]
pub struct OutboundProxy {
    pub http: Option<SecretString>,
    pub https: Option<SecretString>,
    /// Hosts that are reached directly, separated by commas.
    pub no: String,
}

/// The adapter's settings.
#[derive(Clone)]
pub struct AwsSettings {
    /// Begins every name that is made; one for each Greenroom that shares an account.
    pub name: String,
    /// `AWS_ENDPOINT_URL`: another AWS, for tests.
    pub endpoint: Option<String>,
    /// The host and path of another registry than ECR's own address.
    pub registry: Option<String>,
    pub nat_gateways: NatGateways,
    pub preview_capacity: PreviewCapacity,
    /// The ARN of a policy that bounds every role that is made.
    pub permissions_boundary: Option<String>,
    pub proxy: Option<OutboundProxy>,
    pub clock: Arc<dyn Clock>,
    pub slots: Arc<dyn Slots>,
}
