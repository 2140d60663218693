//! Who sent these bytes: HMAC-SHA256 over the raw body under a shared secret.
//!
//! Source: GitHub Docs, "Validating webhook deliveries" (`X-Hub-Signature-256: sha256=<hex>`).

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::private_key::unquoted;

const SCHEME: &str = "sha256=";

/// The webhook secrets that are live: the current one, and the previous one while it is rotated out.
#[derive(Debug, Clone)]
pub struct Secrets {
    live: Vec<SecretString>,
}

/// Fewer characters than this are found by trying: every delivery that somebody captured tells whether
/// a guess is right.
const SHORTEST: usize = 16;

/// A webhook secret that others can sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    #[error("the webhook secret is empty")]
    Empty,
    #[error(
        "the webhook secret has {0} characters, of which it needs {SHORTEST}: make one with `openssl rand -hex 32`, and \
         set it in the GitHub App's webhook settings too"
    )]
    Short(usize),
}

/// Why a body is not believed. All of them are answered alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the signature header is missing")]
    Missing,
    #[error("the signature header is not sha256= and 64 hexadecimal digits")]
    Malformed,
    #[error("the signature does not match the body")]
    Mismatch,
}

impl Secrets {
    /// Refuses a secret, current or previous, that is empty or shorter than 16 characters. One with white space
    /// or quotation marks around it holds with them and without: nobody can tell which GitHub was given.
    pub fn new(current: SecretString, previous: Option<SecretString>) -> Result<Self, WeakSecret> {
        let mut live: Vec<_> = std::iter::once(current).chain(previous).collect();
        for secret in &live {
            match unquoted(secret.expose_secret()).chars().count() {
                0 => return Err(WeakSecret::Empty),
                short @ ..SHORTEST => return Err(WeakSecret::Short(short)),
                _ => {}
            }
        }
        let bare: Vec<SecretString> = live.iter().filter(|secret| has_edges(secret)).map(without_edges).collect();
        live.extend(bare);
        Ok(Self { live })
    }
}

/// Whether something stands around the secret that came along from a file.
pub fn has_edges(secret: &SecretString) -> bool {
    let text = secret.expose_secret();
    unquoted(text).len() < text.len()
}

fn without_edges(secret: &SecretString) -> SecretString {
    unquoted(secret.expose_secret()).into()
}

/// Holds when the header is the signature of exactly these bytes under one of the live secrets, and
/// answers that signature.
///
/// It is a hash of the body as well, made without reading the body a second time.
///
/// The time does not depend on where a signature differs, nor on which secret it matches.
pub fn verify(body: &[u8], signature_header: Option<&str>, secrets: &Secrets) -> Result<[u8; 32], SignatureError> {
    let claimed = claimed(signature_header)?;
    let matches =
        secrets.live.iter().fold(Choice::from(0), |found, secret| found | tag(body, secret).ct_eq(claimed.as_slice()));
    if bool::from(matches) { Ok(claimed) } else { Err(SignatureError::Mismatch) }
}

/// The signature that a header claims: no body has to be read to know that there is none.
pub(super) fn claimed(signature_header: Option<&str>) -> Result<[u8; 32], SignatureError> {
    let digits = signature_header.ok_or(SignatureError::Missing)?.strip_prefix(SCHEME);
    let mut claimed = [0_u8; 32];
    hex::decode_to_slice(digits.ok_or(SignatureError::Malformed)?, &mut claimed)
        .map_err(|_| SignatureError::Malformed)?;
    Ok(claimed)
}

/// The header's value for these bytes, for whoever plays GitHub.
pub fn sign(body: &[u8], secret: &SecretString) -> String {
    format!("{SCHEME}{}", hex::encode(tag(body, secret)))
}

fn tag(body: &[u8], secret: &SecretString) -> [u8; 32] {
    // HMAC takes keys of every length; the error exists for other algorithms of the trait.
    Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).map_or([0; 32], |mut mac| {
        mac.update(body);
        mac.finalize().into_bytes().into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURRENT: &str = "the current secret";

    fn secrets(current: &str, previous: Option<&str>) -> Secrets {
        Secrets::new(current.into(), previous.map(SecretString::from)).expect("secrets that are long enough")
    }

    #[test]
    fn github_s_own_example_holds() {
        // GitHub Docs, "Validating webhook deliveries", "Testing the webhook payload validation".
        let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secrets = secrets("It's a Secret to Everybody", None);
        let tag = tag(b"Hello, World!", &"It's a Secret to Everybody".into());
        assert_eq!(verify(b"Hello, World!", Some(header), &secrets), Ok(tag));
        assert_eq!(hex::encode(tag), header.trim_start_matches(SCHEME));
        assert_eq!(verify(b"Hello, World?", Some(header), &secrets), Err(SignatureError::Mismatch));
    }

    #[test]
    fn both_live_secrets_hold_and_no_other() {
        let previous = "the secret before it";
        let live = secrets(CURRENT, Some(previous));
        for (key, expected) in [
            (CURRENT, Ok(tag(b"{}", &CURRENT.into()))),
            (previous, Ok(tag(b"{}", &previous.into()))),
            ("an older secret yet", Err(SignatureError::Mismatch)),
            ("", Err(SignatureError::Mismatch)),
        ] {
            assert_eq!(verify(b"{}", Some(&sign(b"{}", &key.into())), &live), expected, "{key}");
        }
    }

    #[test]
    fn a_header_of_another_form_is_refused_before_it_is_compared() {
        let live = secrets(CURRENT, None);
        let good = sign(b"{}", &CURRENT.into());
        let sha1 = format!("sha1={}", "0".repeat(40));
        let cases = [
            (None, SignatureError::Missing),
            (Some(""), SignatureError::Malformed),
            (Some("sha256="), SignatureError::Malformed),
            (Some(sha1.as_str()), SignatureError::Malformed),
            (Some(&good[7..]), SignatureError::Malformed),
            (Some(&good[..good.len() - 1]), SignatureError::Malformed),
            (Some(&good[..good.len() - 2]), SignatureError::Malformed),
        ];
        for (header, expected) in cases {
            assert_eq!(verify(b"{}", header, &live), Err(expected), "{header:?}");
        }
        let longer = format!("{good}00");
        assert_eq!(verify(b"{}", Some(&longer), &live), Err(SignatureError::Malformed));
        assert_eq!(
            verify(b"{}", Some(&good.to_uppercase().replace("SHA", "sha")), &live),
            Ok(tag(b"{}", &CURRENT.into()))
        );
    }

    #[test]
    fn every_changed_bit_of_a_signature_is_noticed() {
        let live = secrets(CURRENT, None);
        let good = tag(b"body", &CURRENT.into());
        for bit in 0..256 {
            let mut forged = good;
            forged[bit / 8] ^= 1 << (bit % 8);
            let header = format!("sha256={}", hex::encode(forged));
            assert_eq!(verify(b"body", Some(&header), &live), Err(SignatureError::Mismatch), "bit {bit}");
        }
    }

    #[test]
    fn a_secret_that_is_found_by_trying_is_refused() {
        for empty in ["", " \n"] {
            assert_eq!(Secrets::new(empty.into(), None).err(), Some(WeakSecret::Empty));
            assert_eq!(Secrets::new(CURRENT.into(), Some(empty.into())).err(), Some(WeakSecret::Empty));
        }
        for (short, length) in
            [("x", 1), ("fifteen letters", 15), ("fifteen letters\n  ", 15), ("'fifteen letters'", 15)]
        {
            assert_eq!(Secrets::new(short.into(), None).err(), Some(WeakSecret::Short(length)), "{short:?}");
            assert_eq!(Secrets::new(CURRENT.into(), Some(short.into())).err(), Some(WeakSecret::Short(length)));
        }
        assert!(Secrets::new("sixteen letters!".into(), Some("sechzehn Zeichen".into())).is_ok());
        assert!(WeakSecret::Short(3).to_string().contains("openssl rand"), "it says what to do");
    }

    #[test]
    fn a_line_break_that_came_along_from_a_file_costs_no_delivery() {
        for given in [
            "the current secret\n",
            "the current secret\r\n",
            "  the current secret",
            "\"the current secret\"",
            "'the current secret'\n",
        ] {
            let live = secrets(given, Some("the secret before it\n"));
            for key in [CURRENT, given, "the secret before it"] {
                assert!(verify(b"{}", Some(&sign(b"{}", &key.into())), &live).is_ok(), "{given:?} {key:?}");
            }
            assert!(verify(b"{}", Some(&sign(b"{}", &"the current".into())), &live).is_err());
            assert!(has_edges(&given.into()));
        }
        assert!(!has_edges(&CURRENT.into()));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", secrets("hunter2hunter2hunter2", Some("hunter1hunter1hunter1"))).contains("hunter"));
    }
}
