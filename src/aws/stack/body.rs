//! A template in the request or, when large, in a bucket.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLocationConstraint, CreateBucketConfiguration, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, PublicAccessBlockConfiguration,
};
use sha2::{Digest as _, Sha256};

use super::super::Shared;
use super::super::clients::Clients;
use super::super::fault::{fault, is};
use crate::port::{PortError, PortResult};

/// Source: CloudFormation quotas, "Template body size in a request".
pub(super) const MOST_INLINE: usize = 51_200;
/// A template is read when the operation begins; what is older serves nobody.
const KEPT_DAYS: i32 = 7;

/// How CloudFormation gets a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Inline(String),
    /// Its address in the bucket.
    Uploaded(String),
}

/// Puts a large template into the bucket of this Greenroom, account and region.
pub(super) async fn place(shared: &Shared, clients: &Clients, stack: &str, template: &str) -> PortResult<Body> {
    if template.len() <= MOST_INLINE {
        return Ok(Body::Inline(template.to_owned()));
    }
    let bucket = format!("{}-templates-{}-{}", shared.names.owner(), clients.account, clients.region);
    let s3 = path_style(clients);
    ensure_bucket(&s3, clients, &bucket).await?;
    let key = format!("{stack}/{}.yaml", hex::encode(&Sha256::digest(template)[..16]));
    let body = ByteStream::from(template.as_bytes().to_vec());
    let put = s3.put_object().bucket(&bucket).key(&key).body(body).send().await;
    put.map_err(|error| fault("s3:PutObject", error))?;
    let host = match &shared.settings.endpoint {
        Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        None => format!("https://{bucket}.s3.{}.{}", clients.region, suffix(&clients.region)),
    };
    Ok(Body::Uploaded(format!("{host}/{key}")))
}

/// Works wherever AWS is, also where a bucket's name cannot be a host's.
fn path_style(clients: &Clients) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(clients.s3.config().to_builder().force_path_style(true).build())
}

/// Source: AWS general reference, endpoints of the partitions.
fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

async fn ensure_bucket(s3: &aws_sdk_s3::Client, clients: &Clients, bucket: &str) -> PortResult<()> {
    // The oldest region is the one that must not be named. Source: CreateBucket.
    let place = Some(clients.region.as_str()).filter(|region| *region != "us-east-1").map(|region| {
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build()
    });
    let made = s3.create_bucket().bucket(bucket).set_create_bucket_configuration(place).send().await;
    match made {
        Ok(_) => {}
        Err(error) if is(&error, "BucketAlreadyOwnedByYou") => {}
        Err(error) => return Err(fault("s3:CreateBucket", error)),
    }
    // A half-made bucket of before is finished all the same.
    let closed = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .block_public_policy(true)
        .ignore_public_acls(true)
        .restrict_public_buckets(true)
        .build();
    let block = s3.put_public_access_block().bucket(bucket).public_access_block_configuration(closed).send().await;
    block.map_err(|error| fault("s3:PutPublicAccessBlock", error))?;
    let rule = LifecycleRule::builder()
        .id("old templates go")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .expiration(LifecycleExpiration::builder().days(KEPT_DAYS).build())
        .build()
        .and_then(|rule| BucketLifecycleConfiguration::builder().rules(rule).build())
        .map_err(|error| PortError::bug("the rule for old templates cannot be written", error))?;
    let put = s3.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(rule).send().await;
    put.map_err(|error| fault("s3:PutLifecycleConfiguration", error))?;
    Ok(())
}
