//! [`Objects`] in a bucket of S3.
//!
//! Guarantees: a look is tried again while what fails it passes; a put is sent once, and is told lost
//! only where S3 says that its condition did not hold. Nothing is ever written without a condition.
//!
//! Source: "How to prevent object overwrites with conditional writes" in the S3 User Guide, and
//! `PutObject` in its reference: 412 `PreconditionFailed` where the condition does not hold; 409
//! `ConditionalRequestConflict` where another request got between (look, then put again); 404 for
//! `If-Match` where there is no object. `GetObject`: 304 for `If-None-Match`; a key that is not there
//! is 404 only for whoever may list the bucket (`s3:ListBucket`), else 403.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;

use super::fault::{fault, is};
use super::outbound::Outbound;
use super::settings::OutboundProxy;
use crate::port::{ETag, Expect, Got, Objects, PortError, PortResult, Put};

const CONNECT_TIME: Duration = Duration::from_secs(3);
/// Until an answer begins.
const CALL_TIME: Duration = Duration::from_secs(10);
/// Until a content has come.
const BODY_TIME: Duration = Duration::from_secs(20);
/// How often a look is tried.
const LOOKS: u32 = 4;
/// Before the second look; doubled after each.
const PAUSE: Duration = Duration::from_millis(100);

/// What the composition root tells of the bucket.
#[derive(Debug, Clone)]
pub struct ObjectsSettings {
    pub bucket: String,
    /// Where the bucket lies; `None` takes the region of the environment.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL`: another AWS, for tests.
    pub endpoint: Option<String>,
    pub proxy: Option<OutboundProxy>,
    /// `None` takes the standard chain.
    pub credentials: Option<SharedCredentialsProvider>,
}

/// A bucket.
pub struct S3Objects {
    s3: aws_sdk_s3::Client,
    bucket: String,
    /// What is wrong with the settings, said at the first call.
    flaw: Option<String>,
}

impl S3Objects {
    /// Asks AWS nothing yet.
    pub async fn new(settings: ObjectsSettings) -> Self {
        let (outbound, mut flaw) = Outbound::new(settings.proxy.as_ref(), settings.endpoint.as_deref());
        let times = TimeoutConfig::builder().connect_timeout(CONNECT_TIME).operation_timeout(CALL_TIME);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(SharedHttpClient::new(outbound))
            .retry_config(RetryConfig::disabled())
            .timeout_config(times.build());
        let has_own_hosts = settings.endpoint.is_none();
        if let Some(endpoint) = settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(region) = settings.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(credentials) = settings.credentials {
            loader = loader.credentials_provider(credentials);
        }
        let config = loader.load().await;
        if config.region().is_none() && flaw.is_none() {
            flaw = Some("no AWS region is set: set AWS_REGION to the one in which the bucket of the state lies".into());
        }
        let client = aws_sdk_s3::config::Builder::from(&config).force_path_style(!has_own_hosts).build();
        Self { s3: aws_sdk_s3::Client::from_conf(client), bucket: settings.bucket, flaw }
    }

    fn sound(&self) -> PortResult<()> {
        self.flaw.as_ref().map_or(Ok(()), |flaw| Err(PortError::Denied { reason: flaw.clone() }))
    }

    async fn look(&self, key: &str, known: Option<&ETag>) -> PortResult<Got> {
        let get =
            self.s3.get_object().bucket(&self.bucket).key(key).set_if_none_match(known.map(|etag| etag.0.clone()));
        let found = match get.send().await {
            Ok(found) => found,
            Err(error) if status(&error) == Some(304) => return Ok(Got::Unchanged),
            Err(error) if is(&error, "NoSuchKey") => return Ok(Got::Absent),
            Err(error) => return Err(self.fault("s3:GetObject", error)),
        };
        let etag = found.e_tag().map(|etag| ETag(etag.to_owned()));
        let etag = etag.ok_or_else(|| PortError::retry("S3 answered s3:GetObject without an ETag"))?;
        let body = tokio::time::timeout(BODY_TIME, found.body.collect()).await;
        let body = body.map_err(|_| PortError::retry("S3 did not send the whole object in time"))?;
        let body = body.map_err(|error| PortError::retry(format!("S3 did not send the whole object: {error}")))?;
        Ok(Got::Found { etag, bytes: body.into_bytes() })
    }

    fn fault<E>(&self, operation: &str, error: SdkError<E, HttpResponse>) -> PortError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if is(&error, "NoSuchBucket") {
            return PortError::NotFound { what: format!("the bucket {}", self.bucket) };
        }
        // Source: "Redirecting requests" in the S3 User Guide.
        if is(&error, "PermanentRedirect") || is(&error, "AuthorizationHeaderMalformed") {
            let reason = format!("the bucket {} lies in another region: set AWS_REGION to that one", self.bucket);
            return PortError::Denied { reason };
        }
        fault(operation, error)
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

#[async_trait]
impl Objects for S3Objects {
    async fn get(&self, key: &str, known: Option<&ETag>) -> PortResult<Got> {
        self.sound()?;
        let mut pause = PAUSE;
        for _ in 1..LOOKS {
            match self.look(key, known).await {
                Err(PortError::Retry { reason, .. }) => tracing::debug!(%reason, "looking again"),
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.look(key, known).await
    }

    async fn put(&self, key: &str, bytes: Bytes, expect: &Expect) -> PortResult<Put> {
        self.sound()?;
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes));
        let put = match expect {
            Expect::Absent => put.if_none_match("*"),
            Expect::Is(etag) => put.if_match(&etag.0),
        };
        match put.send().await {
            Ok(written) => match written.e_tag() {
                Some(etag) => Ok(Put::Written(ETag(etag.to_owned()))),
                None => Err(PortError::retry("S3 answered s3:PutObject without an ETag")),
            },
            Err(error) if matches!(status(&error), Some(409 | 412)) || is(&error, "NoSuchKey") => Ok(Put::Lost),
            Err(error) => Err(self.fault("s3:PutObject", error)),
        }
    }
}
