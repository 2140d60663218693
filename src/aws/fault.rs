//! What an error of AWS means to the engine.
//!
//! Guarantees: what passes by itself is tried again and says what it waits for; a refusal names the
//! action, the resource and the statement that would grant it; a quota is named with who can raise
//! it; anything else is our own fault, with AWS's code and the number of the request.
//!
//! Source: "Common Error Types" in the references of the APIs, and the codes that the SDKs of AWS
//! try again ("Retry behavior" in the reference of SDKs and tools).

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::pace::OverBudget;
use super::quota;
use super::refusal::Refusal;
use crate::port::PortError;

/// What the SDKs of AWS take for throttling.
const THROTTLES: [&str; 14] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
    "TransactionInProgressException",
];
/// Another change of the same thing goes on, or AWS stumbled and says so with a status below 500.
const PASSING: [&str; 10] = [
    "ConcurrentModification",
    "EntityTemporarilyUnmodifiable",
    "InternalError",
    "InternalFailure",
    "OperationAbortedException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServerException",
    "ServiceUnavailable",
    "UpdateInProgressException",
];
/// Credentials that were good once.
const EXPIRED: [&str; 4] = ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"];
/// Credentials that never were good.
const UNKNOWN: [&str; 7] = [
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotSignedUp",
    "UnrecognizedClientException",
];
const REFUSED: [&str; 6] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "Forbidden",
    "NotAuthorized",
    "UnauthorizedOperation",
];

/// What AWS answered, as far as an answer came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Answer {
    status: u16,
    code: String,
    message: String,
    request: String,
    after_millis: Option<i64>,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    Passing(String),
    Denied(String),
    Quota { summary: String, advice: String },
    Ours,
}

/// Sorts an error. `operation` is as IAM writes it: `ecs:UpdateService`.
pub(super) fn fault<E>(operation: &str, error: SdkError<E, HttpResponse>) -> PortError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::TimeoutError(_) => {
            PortError::retry(format!("AWS did not answer {operation} in time; it may have taken effect all the same"))
        }
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => unsent(operation, error),
        _ => {
            let answer = Answer::of(&error);
            match meaning(operation, &answer) {
                Meaning::Passing(reason) => PortError::Retry { reason, after_millis: answer.after_millis },
                Meaning::Denied(reason) => PortError::Denied { reason },
                Meaning::Quota { summary, advice } => {
                    PortError::failed(crate::model::FailureKind::Environment, summary, advice)
                }
                Meaning::Ours => PortError::bug(answer.to_sentence(operation), error),
            }
        }
    }
}

/// Whether AWS answered with this error code.
pub(super) fn is<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, code: &str) -> bool {
    error.code() == Some(code)
}

impl Answer {
    fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        let response = error.raw_response();
        let header = |name: &str| response.and_then(|response| response.headers().get(name));
        let request = error.meta().extra("aws_request_id").or_else(|| header("x-amzn-requestid"));
        Self {
            status: response.map_or(0, |response| response.status().as_u16()),
            code: error.code().unwrap_or_default().to_owned(),
            message: error.message().unwrap_or_default().to_owned(),
            request: request.unwrap_or_default().to_owned(),
            after_millis: header("retry-after").and_then(|text| text.parse().ok()).map(|seconds: i64| seconds * 1000),
        }
    }

    fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code.as_str())
    }

    fn to_sentence(&self, operation: &str) -> String {
        let Self { status, code, message, request, .. } = self;
        let what = if code.is_empty() { format!("status {status}") } else { code.clone() };
        format!("AWS answered {operation} with {what}: {message} (request {request})")
    }
}

fn meaning(operation: &str, answer: &Answer) -> Meaning {
    let (code, message) = (&answer.code, &answer.message);
    if answer.is_one_of(&THROTTLES) || answer.status == 429 || message.starts_with("Rate exceeded") {
        return Meaning::Passing(format!("AWS throttles {operation}"));
    }
    if answer.is_one_of(&EXPIRED) {
        return Meaning::Passing(format!("the credentials for AWS expired at {operation}; new ones are fetched"));
    }
    if is_skewed(answer) {
        return Meaning::Passing(format!("AWS refuses the time of {operation}: this machine's clock is wrong"));
    }
    if answer.is_one_of(&UNKNOWN) || code.contains("Signature") {
        let reason =
            format!("AWS does not know the credentials of {operation} ({code}): set valid ones for the server");
        return Meaning::Denied(reason);
    }
    if answer.is_one_of(&REFUSED)
        || (answer.status == 403 && code.is_empty())
        || message.contains("is not authorized to perform")
    {
        return Meaning::Denied(Refusal::read(operation, message).to_string());
    }
    if let Some(quota) = quota::exceeded(operation, code, message) {
        return Meaning::Quota { summary: quota.summary, advice: quota.advice };
    }
    if answer.status >= 500 || answer.is_one_of(&PASSING) {
        let what = if code.is_empty() { answer.status.to_string() } else { code.clone() };
        return Meaning::Passing(format!("AWS answered {operation} with {what}"));
    }
    Meaning::Ours
}

fn is_skewed(answer: &Answer) -> bool {
    let of_signature = answer.code.contains("Signature")
        && (answer.message.contains("Signature expired") || answer.message.contains("Signature not yet current"));
    answer.code == "RequestTimeTooSkewed" || of_signature
}

/// No answer came: no credentials, no budget, no connection.
fn unsent<E>(operation: &str, error: SdkError<E, HttpResponse>) -> PortError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if let Some(over) = causes(&error).find_map(|cause| cause.downcast_ref::<OverBudget>()) {
        let reason = format!("{operation} waits for its turn: {over}");
        return PortError::Retry { reason, after_millis: Some(over.again_millis()) };
    }
    let assumed = causes(&error).find_map(|cause| cause.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>());
    if let Some(assumed) = assumed.filter(|assumed| assumed.raw_response().is_some()) {
        let answer = Answer::of(assumed);
        return match meaning("sts:AssumeRole", &answer) {
            Meaning::Passing(reason) => PortError::Retry { reason, after_millis: answer.after_millis },
            Meaning::Denied(reason) => PortError::Denied { reason },
            Meaning::Quota { .. } | Meaning::Ours => PortError::Denied { reason: answer.to_sentence("sts:AssumeRole") },
        };
    }
    let why = last_cause(&error);
    let credentials = causes(&error).find_map(|cause| cause.downcast_ref::<CredentialsError>());
    if let Some(credentials) = credentials {
        return no_credentials(credentials, &why);
    }
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return PortError::bug(format!("{operation} cannot be asked: {why}"), error);
    }
    PortError::retry(format!("AWS cannot be reached for {operation}: {why}"))
}

fn no_credentials(error: &CredentialsError, why: &str) -> PortError {
    let denied = |reason: String| PortError::Denied { reason };
    match error {
        CredentialsError::CredentialsNotLoaded(_) => denied(
            "no credentials for AWS were found: give the server AWS_PROFILE, AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or run it with a role"
                .into(),
        ),
        CredentialsError::InvalidConfiguration(_) => {
            denied(format!("the credentials for AWS are not set up rightly: {why}"))
        }
        _ => PortError::retry(format!("the credentials for AWS cannot be fetched: {why}")),
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let now = next?;
        next = now.source();
        Some(now)
    })
}

fn last_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
