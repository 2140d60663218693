//! Errors in the forms in which AWS really sends them, read by the clients that are used.

use std::sync::Mutex;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;

use super::*;
use crate::model::FailureKind;

/// Answers once.
#[derive(Debug)]
struct Canned(Mutex<Option<HttpResponse>>);

#[derive(Debug)]
struct CannedConnector(Mutex<Option<HttpResponse>>);

impl HttpClient for Canned {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(CannedConnector(Mutex::new(self.0.lock().unwrap().take())))
    }
}

impl HttpConnector for CannedConnector {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(self.0.lock().unwrap().take().expect("one request")))
    }
}

/// One service's client that is answered with this.
macro_rules! answered {
    ($sdk:ident, $status:expr, $body:expr) => {{
        let status = StatusCode::try_from($status).unwrap();
        let response = HttpResponse::new(status, SdkBody::from($body.to_owned()));
        let keys = aws_credential_types::Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let config = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::latest())
            .region($sdk::config::Region::new("eu-west-1"))
            .credentials_provider(keys)
            .retry_config($sdk::config::retry::RetryConfig::disabled())
            .http_client(Canned(Mutex::new(Some(response))))
            .build();
        $sdk::Client::from_conf(config)
    }};
}

/// JSON 1.1, as ECS, ECR, Logs, ACM and Service Quotas speak.
async fn ecs(status: u16, code: &str, message: &str) -> PortError {
    let body = serde_json::json!({ "__type": code, "message": message }).to_string();
    let client = answered!(aws_sdk_ecs, status, body);
    fault("ecs:UpdateService", client.update_service().service("web").send().await.expect_err("an error"))
}

/// Query, as CloudFormation, ELB, IAM and STS speak.
async fn cloudformation(status: u16, code: &str, message: &str) -> PortError {
    let body = format!(
        "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    );
    let client = answered!(aws_sdk_cloudformation, status, body);
    let answer = client.create_stack().stack_name("s").send().await;
    fault("cloudformation:CreateStack", answer.expect_err("an error"))
}

/// REST with XML, S3's own form.
async fn s3(status: u16, code: &str, message: &str) -> PortError {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>r-1</RequestId></Error>");
    let client = answered!(aws_sdk_s3, status, body);
    fault("s3:ListBucket", client.list_objects_v2().bucket("b").send().await.expect_err("an error"))
}

/// REST with XML, Route 53's form.
async fn route53(status: u16, code: &str, message: &str) -> PortError {
    let body = format!(
        "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>r-1</RequestId></ErrorResponse>"
    );
    let client = answered!(aws_sdk_route53, status, body);
    fault("route53:GetHostedZone", client.get_hosted_zone().id("Z1").send().await.expect_err("an error"))
}

/// JSON with the code in a header, as newer services may answer.
async fn quotas(status: u16, code: &str, message: &str) -> PortError {
    let body = serde_json::json!({ "__type": format!("com.amazonaws.x#{code}:http://x/"), "Message": message });
    let client = answered!(aws_sdk_servicequotas, status, body.to_string());
    let answer = client.list_service_quotas().service_code("ecs").send().await;
    fault("servicequotas:ListServiceQuotas", answer.expect_err("an error"))
}

fn kind(error: &PortError) -> &'static str {
    match error {
        PortError::Retry { .. } => "retry",
        PortError::Denied { .. } => "denied",
        PortError::Failed(failure) if failure.kind == FailureKind::Environment => "quota",
        PortError::Bug { .. } => "bug",
        PortError::Failed(_) | PortError::NotFound { .. } | PortError::Stale => "else",
    }
}

#[tokio::test]
async fn errors_are_sorted_in_every_form() {
    let denied = "User: arn:aws:iam::1:user/u is not authorized to perform: x:Y on resource: arn:aws:x";
    for (expected, error) in [
        ("retry", ecs(400, "ThrottlingException", "Rate exceeded").await),
        ("retry", ecs(500, "ServerException", "Service Unavailable. Please try again later.").await),
        ("retry", ecs(400, "UpdateInProgressException", "There is already a current update").await),
        ("retry", ecs(400, "ExpiredTokenException", "The security token included in the request is expired").await),
        ("retry", ecs(400, "InvalidSignatureException", "Signature expired: 2026 is now earlier than").await),
        ("denied", ecs(400, "InvalidSignatureException", "The request signature we calculated does not match").await),
        ("denied", ecs(400, "UnrecognizedClientException", "The security token included is invalid.").await),
        ("denied", ecs(400, "AccessDeniedException", denied).await),
        ("denied", ecs(400, "ClientException", denied).await),
        ("quota", ecs(400, "LimitExceededException", "The limit for your resource was exceeded").await),
        ("bug", ecs(400, "InvalidParameterException", "The container web does not exist").await),
        ("retry", cloudformation(400, "Throttling", "Rate exceeded").await),
        ("retry", cloudformation(503, "ServiceUnavailable", "").await),
        ("retry", cloudformation(403, "ExpiredToken", "The security token included in the request is expired").await),
        ("retry", cloudformation(403, "RequestExpired", "Request has expired").await),
        ("denied", cloudformation(403, "AccessDenied", denied).await),
        ("denied", cloudformation(403, "InvalidClientTokenId", "The security token is invalid").await),
        ("denied", cloudformation(403, "SignatureDoesNotMatch", "does not match").await),
        ("quota", cloudformation(400, "LimitExceededException", "Limit for stack has been exceeded").await),
        ("bug", cloudformation(400, "ValidationError", "Template format error").await),
        ("retry", s3(503, "SlowDown", "Please reduce your request rate.").await),
        ("retry", s3(403, "RequestTimeTooSkewed", "The difference is too large").await),
        ("denied", s3(403, "AccessDenied", "Access Denied").await),
        ("denied", s3(403, "InvalidAccessKeyId", "The key you provided does not exist").await),
        ("bug", s3(404, "NoSuchBucket", "The specified bucket does not exist").await),
        ("retry", route53(400, "Throttling", "Rate exceeded").await),
        ("retry", route53(400, "PriorRequestNotComplete", "still being processed").await),
        ("denied", route53(403, "AccessDenied", denied).await),
        ("bug", route53(404, "NoSuchHostedZone", "No hosted zone found").await),
        ("retry", quotas(400, "TooManyRequestsException", "slow down").await),
        ("denied", quotas(400, "AccessDeniedException", denied).await),
        ("bug", quotas(400, "NoSuchResourceException", "none").await),
    ] {
        assert_eq!(kind(&error), expected, "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_of_aws_is_sorted_by_its_status() {
    for (status, expected) in [(502, "retry"), (429, "retry"), (403, "denied"), (418, "bug")] {
        let client = answered!(aws_sdk_ecs, status, "<html>a proxy's page</html>");
        let error = client.list_clusters().send().await.expect_err("an error");
        let error = fault("ecs:ListClusters", error);
        assert_eq!(kind(&error), expected, "{status}: {error}");
    }
}

#[tokio::test]
async fn what_people_read_says_what_to_do() {
    let throttled = ecs(400, "ThrottlingException", "Rate exceeded").await;
    assert_eq!(throttled.to_string(), "AWS throttles ecs:UpdateService");
    let message = "User: arn:aws:iam::1:user/u is not authorized to perform: iam:PassRole on resource: \
                   arn:aws:iam::1:role/task because no identity-based policy allows the iam:PassRole action";
    let denied = ecs(400, "AccessDeniedException", message).await.to_string();
    let statement = r#"{"Action":"iam:PassRole","Effect":"Allow","Resource":"arn:aws:iam::1:role/task"}"#;
    assert!(denied.contains(statement), "{denied}");
    let unknown = ecs(400, "InvalidParameterException", "no such container").await.to_string();
    assert!(unknown.contains("ecs:UpdateService") && unknown.contains("InvalidParameterException"), "{unknown}");
}

/// A chain of credentials that ends in an error.
#[derive(Debug)]
struct Broken(fn() -> CredentialsError);
impl aws_credential_types::provider::ProvideCredentials for Broken {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        aws_credential_types::provider::future::ProvideCredentials::ready(Err((self.0)()))
    }
}

type Break = fn() -> CredentialsError;

#[tokio::test]
async fn no_answer_is_tried_again_and_no_credentials_are_not() {
    let config = |builder: aws_sdk_ecs::config::Builder| {
        builder
            .behavior_version(aws_sdk_ecs::config::BehaviorVersion::latest())
            .region(aws_sdk_ecs::config::Region::new("eu-west-1"))
            .retry_config(aws_sdk_ecs::config::retry::RetryConfig::disabled())
    };
    let cases: [(Break, &str); 4] = [
        (|| CredentialsError::not_loaded("nothing in the chain"), "denied"),
        (|| CredentialsError::invalid_configuration("the profile x is not there"), "denied"),
        (|| CredentialsError::provider_error("the metadata service answered 500"), "retry"),
        (|| CredentialsError::provider_timed_out(std::time::Duration::from_secs(5)), "retry"),
    ];
    for (broken, expected) in cases {
        let builder = config(aws_sdk_ecs::Config::builder()).credentials_provider(Broken(broken));
        let client = aws_sdk_ecs::Client::from_conf(builder.http_client(Canned(Mutex::default())).build());
        let error = fault("ecs:ListClusters", client.list_clusters().send().await.expect_err("an error"));
        assert_eq!(kind(&error), expected, "{error}");
    }
}
