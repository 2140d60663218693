//! What a registry asks to see, and the answer. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;

use super::remote::sensitive;
use crate::port::RegistryLogin;

/// `WWW-Authenticate`. Source: RFC 9110, section 11.6.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token is to be fetched there.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    /// `None` of a scheme that we do not speak.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service })
    }
}

/// `a="b, c",d=e` as pairs.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_owned();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((name, value.trim().to_owned()));
        rest = left;
    }
    found
}

/// `Authorization: Basic ...`, hidden from debug output.
pub(super) fn basic(login: &RegistryLogin) -> Option<HeaderValue> {
    let token = STANDARD.encode(format!("{}:{}", login.user, login.password.expose_secret()));
    HeaderValue::from_str(&format!("Basic {token}")).ok().map(sensitive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
        };
        for (header, expected) in [
            ("Basic realm=\"https://x.example/\",service=\"ecr.amazonaws.com\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://auth.example/token\",service=\"a, b\",scope=\"repository:x:pull\"",
                bearer("https://auth.example/token", Some("a, b")),
            ),
            ("bearer service=s, realm=https://auth.example/t", bearer("https://auth.example/t", Some("s"))),
            ("Bearer service=s", None),
            ("Bearer realm=\"unclosed", bearer("unclosed", None)),
            ("Negotiate abc", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }
}
