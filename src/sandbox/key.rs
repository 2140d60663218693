//! The app's key, and the check of what was signed with it.
//!
//! GitHub: "Generating a JSON Web Token (JWT) for a GitHub App": RS256, `iat` not in the future,
//! `exp` at most ten minutes ahead, `iss` the app's id or client id.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde::Deserialize;

use crate::model::Timestamp;

/// A fixed key of this fake alone. It opens nothing but a sandbox on loopback.
pub(super) const PRIVATE_KEY_PEM: &str = include_str!("sandbox-only.pem");

/// How far two clocks may be apart, in seconds.
const DRIFT: i64 = 60;
/// The longest life that GitHub accepts, in seconds.
const LONGEST: i64 = 600;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: Issuer,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Issuer {
    Number(u64),
    Text(String),
}

/// Checks App tokens.
#[derive(Debug)]
pub(super) struct AppKey {
    public: Vec<u8>,
    app_id: u64,
    client_id: String,
}

impl AppKey {
    /// `None` only if the key that is compiled in is broken.
    pub(super) fn new(app_id: u64, client_id: &str) -> Option<Self> {
        let der: String = PRIVATE_KEY_PEM.lines().filter(|line| !line.starts_with("-----")).collect();
        let pair = RsaKeyPair::from_der(&STANDARD.decode(der).ok()?).ok()?;
        Some(Self { public: pair.public_key().as_ref().to_vec(), app_id, client_id: client_id.to_owned() })
    }

    /// The message of the 401 when the token does not hold, worded as GitHub does.
    pub(super) fn check(&self, token: &str, now: Timestamp) -> Result<(), &'static str> {
        const UNREADABLE: &str = "A JSON web token could not be decoded";
        let (signed, signature) = token.rsplit_once('.').ok_or(UNREADABLE)?;
        let (header, claims) = signed.split_once('.').ok_or(UNREADABLE)?;
        let header: Header = decode(header).ok_or(UNREADABLE)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| UNREADABLE)?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public);
        if header.alg != "RS256" || key.verify(signed.as_bytes(), &signature).is_err() {
            return Err(UNREADABLE);
        }
        let claims: Claims = decode(claims).ok_or(UNREADABLE)?;
        let ours = match &claims.iss {
            Issuer::Number(id) => *id == self.app_id,
            Issuer::Text(text) => *text == self.client_id || *text == self.app_id.to_string(),
        };
        let seconds = now.0.div_euclid(1000);
        if !ours {
            Err("Integration not found")
        } else if claims.iat > seconds + DRIFT {
            Err("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
        } else if claims.exp < seconds {
            Err("'Expiration time' claim ('exp') must be a numeric value representing the future time at which the \
                 assertion expires")
        } else if claims.exp > seconds + LONGEST + DRIFT {
            Err("'Expiration time' claim ('exp') is too far in the future")
        } else {
            Ok(())
        }
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
