//! The App's own proof of identity: a JSON Web Token, signed with its private key.
//!
//! Source: GitHub Docs, "Generating a JSON Web Token (JWT) for a GitHub App".

use std::sync::{Mutex, PoisonError};

use octocrab::jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::settings::SetupError;
use crate::model::{Seconds, Timestamp};
use crate::port::{PortError, PortResult};

/// GitHub refuses tokens that live longer than ten minutes from its own now.
const LIFE: Seconds = Seconds(9 * 60);
/// GitHub's advice against clocks that run apart: issued a minute ago.
const BACKDATE_MILLIS: i64 = 60_000;
/// A token is not used in its last minute.
const MARGIN_MILLIS: i64 = 60_000;

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

struct Signed {
    token: SecretString,
    expires_at: Timestamp,
}

/// Signs for the App, and keeps the newest token: a signature costs milliseconds.
pub(super) struct AppKey {
    app_id: u64,
    key: EncodingKey,
    algorithm: Algorithm,
    newest: Mutex<Option<Signed>>,
}

impl AppKey {
    pub(super) fn from_pem(app_id: u64, pem: &SecretString) -> Result<Self, SetupError> {
        // A key that came through one line of an environment file has its breaks written out.
        let pem = SecretString::from(pem.expose_secret().replace("\\n", "\n"));
        let key = EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).map_err(|_| SetupError::PrivateKey)?;
        Ok(Self::new(app_id, key, Algorithm::RS256))
    }

    pub(super) fn new(app_id: u64, key: EncodingKey, algorithm: Algorithm) -> Self {
        Self { app_id, key, algorithm, newest: Mutex::new(None) }
    }

    /// A token that is good for at least another minute.
    pub(super) fn token(&self, now: Timestamp) -> PortResult<SecretString> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signed) = newest.as_ref().filter(|signed| now.after_millis(MARGIN_MILLIS) < signed.expires_at) {
            return Ok(signed.token.clone());
        }
        let expires_at = now.after(LIFE);
        let claims = Claims {
            iat: now.after_millis(-BACKDATE_MILLIS).0 / 1000,
            exp: expires_at.0 / 1000,
            iss: self.app_id.to_string(),
        };
        let token = encode(&Header::new(self.algorithm), &claims, &self.key)
            .map(SecretString::from)
            .map_err(|error| PortError::bug("signing the App's token", error))?;
        *newest = Some(Signed { token: token.clone(), expires_at });
        Ok(token)
    }

    /// Signs anew next time, because GitHub refused the newest one.
    pub(super) fn forget(&self) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
