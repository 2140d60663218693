//! Who a step is on AWS: the role that it takes on by the job's own identity, or whoever the standard chain of
//! credentials finds.

#[cfg(feature = "aws")]
use aws_credential_types::provider::SharedCredentialsProvider;
#[cfg(feature = "aws")]
use secrecy::SecretString;

#[cfg(feature = "aws")]
use super::super::{AwsArgs, aws, variable};
#[cfg(feature = "aws")]
use crate::aws::OidcRequest;
#[cfg(feature = "aws")]
use crate::port::{PortError, PortResult};

/// The default is the standard chain, in the region of the environment.
#[derive(Debug, Clone, Default)]
pub struct StepIdentity {
    /// `None` takes the standard chain.
    #[cfg(feature = "aws")]
    pub(in crate::app) credentials: Option<SharedCredentialsProvider>,
    /// Where the bucket of the state lies.
    #[cfg(feature = "aws")]
    pub(in crate::app) region: Option<String>,
}

#[cfg(feature = "aws")]
impl StepIdentity {
    /// Takes the role on; without one AWS is asked nothing.
    ///
    /// `Denied` says what to change, in the workflow or on AWS.
    pub async fn take(role: Option<&str>, session: &str, region: Option<&str>) -> PortResult<Self> {
        let region = region.map(str::to_owned).or_else(own_region);
        let Some(role) = role else { return Ok(Self { credentials: None, region }) };
        let said = |name: &str| variable(name).filter(|text| !text.is_empty());
        let request = request(said("ACTIONS_ID_TOKEN_REQUEST_URL"), said("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))?;
        let Some(region) = region else { return Err(PortError::Denied { reason: NO_REGION.to_owned() }) };
        let credentials = aws::role(&request, role, session, &region).await?;
        Ok(Self { credentials: Some(credentials), region: Some(region) })
    }

    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The account that this is in, as AWS says.
    pub async fn account(&self, args: &AwsArgs) -> PortResult<String> {
        aws::cloud_as(args, self.credentials.clone()).await.account(self.region()).await
    }
}

#[cfg(feature = "aws")]
const NO_REGION: &str = "a role is taken on in a region: give the input `aws-region`, or `aws: { region: ... }` in \
                         the configuration";

/// GitHub gives both to a job that may ask for a token. Source: GitHub Docs, "OpenID Connect reference".
#[cfg(feature = "aws")]
fn request(url: Option<String>, token: Option<String>) -> PortResult<OidcRequest> {
    let (Some(url), Some(token)) = (url, token) else {
        let reason = "the input `role` needs the job's own identity, and the job has none: give the job `permissions: \
                      { id-token: write }`, and run it for no fork";
        return Err(PortError::Denied { reason: reason.to_owned() });
    };
    Ok(OidcRequest { url, token: SecretString::from(token) })
}

#[cfg(feature = "aws")]
fn own_region() -> Option<String> {
    let said = |name: &str| variable(name).filter(|region| !region.is_empty());
    said("AWS_REGION").or_else(|| said("AWS_DEFAULT_REGION"))
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_an_identity_is_told_of_the_permission() {
        let word = || Some("https://token.example.com/?x=1".to_owned());
        for (url, token) in [(None, None), (word(), None), (None, word())] {
            let refused = request(url, token).expect_err("a half is nothing").to_string();
            assert!(refused.contains("id-token: write"), "{refused}");
        }
        assert!(request(word(), word()).is_ok());
    }
}
