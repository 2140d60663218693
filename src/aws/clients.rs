//! One set of AWS clients for each place: account, region, role.
//!
//! Guarantees: a stage whose configuration names a role is reached by that role alone, taken on for
//! its own repository; one without a role is reached only if it lies in the server's own account;
//! nothing is tried again here, which is the engine's work; no call lasts longer than 15 s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::AwsSettings;
use super::calls::{Calls, Naming};
use super::credentials::{RoleSession, identity_cache, principal};
use super::fault::fault;
use super::names::Names;
use super::outbound::{Outbound, Paced};
use super::pace::{Pace, Purse};
use crate::model::AwsTarget;
use crate::port::{PortError, PortResult, Site};

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// With the wait for a place in the budget.
const CALL_TIME: Duration = Duration::from_secs(15);
/// More places than this are forgotten and made again.
const MOST_PLACES: usize = 500;

/// The clients of one place.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) acm: aws_sdk_acm::Client,
    pub(super) cloudformation: aws_sdk_cloudformation::Client,
    pub(super) ecr: aws_sdk_ecr::Client,
    pub(super) ecs: aws_sdk_ecs::Client,
    pub(super) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) logs: aws_sdk_cloudwatchlogs::Client,
    pub(super) quotas: aws_sdk_servicequotas::Client,
    pub(super) route53: aws_sdk_route53::Client,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) tagging: aws_sdk_resourcegroupstagging::Client,
    pub(super) region: String,
    /// Twelve digits.
    pub(super) account: String,
    /// The ARN that AWS knows us by here.
    pub(super) identity: String,
}

/// Makes clients when they are first wanted and keeps them.
pub(super) struct Sessions {
    names: Names,
    own: SdkConfig,
    wire: Wire,
    /// What is wrong with the settings, said when the first client is wanted.
    flaw: Option<String>,
    made: quick_cache::sync::Cache<PlaceKey, Arc<Clients>>,
}

/// What tells sets of clients apart. A role's are for one stage alone: its session carries the
/// stage's name, and the repository's right to the role.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PlaceKey {
    place: Option<(String, String)>,
    session: Option<RoleSession>,
}

/// What all clients share.
#[derive(Debug, Clone)]
struct Wire {
    http: SharedHttpClient,
    pace: Arc<Pace>,
    calls: Arc<Calls>,
}

impl Sessions {
    /// Reads the standard chain of credentials, unless some are given; asks AWS nothing yet.
    pub(super) async fn new(settings: &AwsSettings, given: Option<SharedCredentialsProvider>) -> Self {
        let (outbound, flaw) = Outbound::new(settings.proxy.as_ref(), settings.endpoint.as_deref());
        let http = SharedHttpClient::new(outbound);
        let times = TimeoutConfig::builder().connect_timeout(CONNECT_TIME).operation_attempt_timeout(CALL_TIME);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            .identity_cache(identity_cache().build())
            .retry_config(RetryConfig::disabled())
            .timeout_config(times.operation_timeout(CALL_TIME).build());
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(given) = given {
            loader = loader.credentials_provider(given);
        }
        let wire = Wire { http, pace: Arc::default(), calls: Arc::default() };
        Self {
            names: Names::new(&settings.name),
            own: loader.load().await,
            wire,
            flaw,
            made: quick_cache::sync::Cache::new(MOST_PLACES),
        }
    }

    /// The clients for a stage's place.
    pub(super) async fn at(&self, site: Site<'_>) -> PortResult<Arc<Clients>> {
        let target = site.place.aws.as_ref();
        let role = target.and_then(|aws| aws.role.clone());
        let session = role.map(|role| RoleSession::new(&self.names, role, site));
        self.of(target, session).await
    }

    /// The clients of the server's own identity, in a region or its own one.
    pub(super) async fn own(&self, region: Option<&str>) -> PortResult<Arc<Clients>> {
        Ok(Arc::new(self.make(&self.in_region(region)?).await?))
    }

    /// How often each operation was called, by IAM's name.
    pub(super) fn calls(&self) -> BTreeMap<String, u64> {
        self.wire.calls.snapshot()
    }

    /// Those who want the same place at once wait for the first of them.
    async fn of(&self, target: Option<&AwsTarget>, session: Option<RoleSession>) -> PortResult<Arc<Clients>> {
        let place = target.map(|aws| (aws.region.clone(), aws.account.clone()));
        let key = PlaceKey { place, session };
        let reaching = Box::pin(self.reach(target, key.session.as_ref()));
        self.made.get_or_insert_async(&key, reaching).await
    }

    async fn reach(&self, target: Option<&AwsTarget>, session: Option<&RoleSession>) -> PortResult<Arc<Clients>> {
        let own = self.in_region(target.map(|aws| aws.region.as_str()))?;
        let made = match session {
            None => self.make(&own).await?,
            Some(session) => match self.make(&session.configure(&own).await).await {
                Err(PortError::Denied { reason }) => return Err(self.not_trusted(&own, &reason, session).await),
                made => made?,
            },
        };
        check_account(target, &made.account, session)?;
        Ok(Arc::new(made))
    }

    fn in_region(&self, region: Option<&str>) -> PortResult<SdkConfig> {
        if let Some(flaw) = &self.flaw {
            return Err(PortError::Denied { reason: flaw.clone() });
        }
        let mut builder = self.own.to_builder();
        if let Some(region) = region {
            builder = builder.region(Region::new(region.to_owned()));
        }
        let config = builder.build();
        if config.region().is_none() {
            let reason = "no AWS region is set: set AWS_REGION, or `aws: { region: ... }` in the configuration";
            return Err(PortError::Denied { reason: reason.into() });
        }
        Ok(config)
    }

    /// The refusal of a role, with the trust policy that would let us take it on.
    async fn not_trusted(&self, own: &SdkConfig, reason: &str, session: &RoleSession) -> PortError {
        let sts = aws_sdk_sts::Client::new(own);
        let caller = sts.get_caller_identity().send().await.ok().and_then(|identity| principal(identity.arn()?));
        let trust = session.trust_policy(caller.as_deref().unwrap_or("<the server's role>"));
        let role = &session.role;
        PortError::Denied { reason: format!("{reason}. The trust policy that `{role}` needs: `{trust}`") }
    }

    async fn make(&self, config: &SdkConfig) -> PortResult<Clients> {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let sts = self.wire.sts(config, "", &region);
        let identity = sts.get_caller_identity().send().await;
        let identity = identity.map_err(|error| fault("sts:GetCallerIdentity", error))?;
        let account = identity.account().unwrap_or_default().to_owned();
        Ok(self.wire.clients(config, &account, region, identity.arn().unwrap_or_default()))
    }
}

#[cfg(test)]
impl Sessions {
    /// Those of a test, which says where requests go.
    pub(super) fn through(names: Names, own: SdkConfig, http: SharedHttpClient) -> Self {
        let wire = Wire { http, pace: Arc::default(), calls: Arc::default() };
        Self { names, own, wire, flaw: None, made: quick_cache::sync::Cache::new(MOST_PLACES) }
    }
}

/// A client of one service that is paced and counted under IAM's name of the service.
macro_rules! client {
    ($wire:ident, $config:ident, $account:expr, $region:expr, $sdk:ident, $service:literal) => {{
        let purse = Purse { account: $account.to_owned(), region: $region.to_owned(), service: $service };
        let paced =
            Paced { inner: $wire.http.clone(), purse, pace: Arc::clone(&$wire.pace), calls: Arc::clone(&$wire.calls) };
        $sdk::config::Builder::from($config).http_client(paced).interceptor(Naming { service: $service })
    }};
}

impl Wire {
    fn sts(&self, config: &SdkConfig, account: &str, region: &str) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::from_conf(client!(self, config, account, region, aws_sdk_sts, "sts").build())
    }

    fn clients(&self, config: &SdkConfig, account: &str, region: String, identity: &str) -> Clients {
        macro_rules! of {
            ($sdk:ident, $service:literal) => {
                $sdk::Client::from_conf(client!(self, config, account, region, $sdk, $service).build())
            };
        }
        // A bucket's name becomes a host's only where the hosts are AWS's own.
        let has_own_hosts = config.endpoint_url().is_none();
        let s3 = client!(self, config, account, region, aws_sdk_s3, "s3").force_path_style(!has_own_hosts);
        Clients {
            acm: of!(aws_sdk_acm, "acm"),
            cloudformation: of!(aws_sdk_cloudformation, "cloudformation"),
            ecr: of!(aws_sdk_ecr, "ecr"),
            ecs: of!(aws_sdk_ecs, "ecs"),
            elb: of!(aws_sdk_elasticloadbalancingv2, "elasticloadbalancing"),
            iam: of!(aws_sdk_iam, "iam"),
            logs: of!(aws_sdk_cloudwatchlogs, "logs"),
            quotas: of!(aws_sdk_servicequotas, "servicequotas"),
            route53: of!(aws_sdk_route53, "route53"),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            tagging: of!(aws_sdk_resourcegroupstagging, "tag"),
            account: account.to_owned(),
            identity: identity.to_owned(),
            region,
        }
    }
}

/// Refuses a place in another account than the one that the credentials reach.
fn check_account(target: Option<&AwsTarget>, reached: &str, session: Option<&RoleSession>) -> PortResult<()> {
    let Some(wanted) = target.map(|aws| aws.account.as_str()).filter(|wanted| *wanted != reached) else {
        return Ok(());
    };
    let reason = match session {
        Some(session) => format!(
            "the role `{}` lies in account {reached}, but `aws.account` is {wanted}: set the one or the other right",
            session.role
        ),
        None => format!(
            "the server's own credentials reach account {reached}, but `aws.account` is {wanted}: \
             name a role of account {wanted} as `aws.role`, or give the server credentials of that account"
        ),
    };
    Err(PortError::Denied { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_account_is_refused_with_the_way_out() {
        let target = |account: &str| AwsTarget { region: "eu-west-1".into(), account: account.into(), role: None };
        assert!(check_account(None, "111111111111", None).is_ok());
        assert!(check_account(Some(&target("111111111111")), "111111111111", None).is_ok());
        let refused = check_account(Some(&target("222222222222")), "111111111111", None);
        let refused = refused.expect_err("another account").to_string();
        assert!(refused.contains("`aws.role`") && refused.contains("222222222222"), "{refused}");
    }
}
