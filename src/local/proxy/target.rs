//! Whom a request asks, and for what.
//!
//! Source: RFC 9112, section 3.2; RFC 9110, section 7.2.

use super::fields::Fields;
use super::head::{RequestHead, Version, shown};

/// Where a request is meant to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As the client says it: `Pr-1.localhost:8088`.
    pub(super) authority: String,
    /// What the program is asked for: a path with its query, or `*`.
    pub(super) path: String,
}

/// Why a request leads nowhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    #[error("The request names no host.")]
    NoHost,
    #[error("The request names more than one host.")]
    ManyHosts,
    #[error("The request names a host that is none: `{0}`")]
    NotAHost(String),
    #[error("The request asks for something that is neither a path nor an address: `{0}`")]
    NotATarget(String),
}

impl Target {
    /// An address in the first line wins over `Host`.
    pub(super) fn of(head: &RequestHead) -> Result<Self, Lost> {
        let host = host(&head.fields, head.version)?;
        let not_a_target = || Lost::NotATarget(shown(head.target.as_bytes()));
        if let Some((authority, path)) = absolute(&head.target) {
            let path = match path {
                "" if head.method == "OPTIONS" => "*".to_owned(),
                path if path.starts_with('/') => path.to_owned(),
                path => format!("/{path}"),
            };
            return Ok(Self { authority: authority_of(authority.as_bytes())?, path });
        }
        let is_path = head.target.starts_with('/') || (head.target == "*" && head.method == "OPTIONS");
        if !is_path {
            return Err(not_a_target());
        }
        Ok(Self { authority: host.ok_or(Lost::NoHost)?, path: head.target.clone() })
    }

    /// The name in `Pr-1.localhost.:8088`, in small letters.
    pub(super) fn host(&self) -> String {
        parts(&self.authority).0.trim_end_matches('.').to_ascii_lowercase()
    }
}

/// What `Host` says. Only HTTP/1.0 does without.
fn host(fields: &Fields, version: Version) -> Result<Option<String>, Lost> {
    let mut hosts = fields.values("host");
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(Lost::ManyHosts),
        (Some(host), None) => authority_of(host).map(Some),
        (None, None) if version == Version::Http11 => Err(Lost::NoHost),
        (None, None) => Ok(None),
    }
}

/// `http://HOST/path` as host and `/path`.
fn absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())))
}

/// The host and the port, which may be empty. The colons in `[::1]` begin no port.
fn parts(authority: &str) -> (&str, &str) {
    authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).unwrap_or((authority, ""))
}

fn is_authority(text: &str) -> bool {
    let (host, port) = parts(text);
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => !address.is_empty() && !address.contains(['[', ']']),
        None => !host.trim_end_matches('.').is_empty() && !host.contains([':', '[', ']']),
    };
    is_host && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Nobody who reads it after us may see another host in it, or a name and a password.
///
/// Source: RFC 3986, section 3.2; RFC 9110, section 4.2.4.
fn authority_of(bytes: &[u8]) -> Result<String, Lost> {
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok("") => Err(Lost::NoHost),
        Ok(text) if bytes.iter().all(is_fine) && is_authority(text) => Ok(text.to_owned()),
        _ => Err(Lost::NotAHost(shown(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<(String, String, String), Lost> {
        let (head, _) = crate::local::proxy::head::request(text.as_bytes()).unwrap().expect("a whole head");
        Target::of(&head).map(|target| (target.authority.clone(), target.host(), target.path))
    }

    #[test]
    fn a_request_asks_one_host_for_one_thing() {
        for (text, authority, host, path) in [
            ("GET /a?b HTTP/1.1\r\nHost: Pr-1.LOCALHOST:8088\r\n\r\n", "Pr-1.LOCALHOST:8088", "pr-1.localhost", "/a?b"),
            ("GET / HTTP/1.0\r\nhost: pr-1.localhost.:80\r\n\r\n", "pr-1.localhost.:80", "pr-1.localhost", "/"),
            ("GET http://one/a HTTP/1.1\r\nhost: two\r\n\r\n", "one", "one", "/a"),
            ("GET HTTP://one:1?q HTTP/1.1\r\nhost: two\r\n\r\n", "one:1", "one", "/?q"),
            ("GET http://one HTTP/1.0\r\n\r\n", "one", "one", "/"),
            ("GET / HTTP/1.1\r\nhost: one:\r\n\r\n", "one:", "one", "/"),
            ("GET / HTTP/1.1\r\nhost: [::1]\r\n\r\n", "[::1]", "[::1]", "/"),
            ("GET / HTTP/1.1\r\nhost: [2001:DB8::1]:80\r\n\r\n", "[2001:DB8::1]:80", "[2001:db8::1]", "/"),
            ("OPTIONS * HTTP/1.1\r\nhost: one\r\n\r\n", "one", "one", "*"),
            ("OPTIONS http://one HTTP/1.1\r\nhost: one\r\n\r\n", "one", "one", "*"),
            ("GET /http://two/ HTTP/1.1\r\nhost: one\r\n\r\n", "one", "one", "/http://two/"),
            ("GET /|{}\"^` HTTP/1.1\r\nhost: one\r\n\r\n", "one", "one", "/|{}\"^`"),
        ] {
            assert_eq!(target(text), Ok((authority.into(), host.into(), path.into())), "{text:?}");
        }
    }

    #[test]
    fn what_leads_nowhere_says_why() {
        for (text, why) in [
            ("GET / HTTP/1.1\r\n\r\n", Lost::NoHost),
            ("GET / HTTP/1.0\r\n\r\n", Lost::NoHost),
            ("GET / HTTP/1.1\r\nhost:\r\n\r\n", Lost::NoHost),
            ("GET / HTTP/1.1\r\nhost: one\r\nHost: two\r\n\r\n", Lost::ManyHosts),
            ("GET http://one/ HTTP/1.1\r\nhost: one\r\nHost: one\r\n\r\n", Lost::ManyHosts),
            ("GET / HTTP/1.1\r\nhost: one, two\r\n\r\n", Lost::NotAHost("one, two".into())),
            ("GET / HTTP/1.1\r\nhost: one/two\r\n\r\n", Lost::NotAHost("one/two".into())),
            ("GET http://me:pw@one/ HTTP/1.1\r\nhost: one\r\n\r\n", Lost::NotAHost("me:pw@one".into())),
            ("GET http://one:x/ HTTP/1.1\r\nhost: one\r\n\r\n", Lost::NotAHost("one:x".into())),
            ("GET http://:80/ HTTP/1.1\r\nhost: one\r\n\r\n", Lost::NotAHost(":80".into())),
            ("GET * HTTP/1.1\r\nhost: one\r\n\r\n", Lost::NotATarget("*".into())),
            ("GET page HTTP/1.1\r\nhost: one\r\n\r\n", Lost::NotATarget("page".into())),
            ("GET ftp://one/ HTTP/1.1\r\nhost: one\r\n\r\n", Lost::NotATarget("ftp://one/".into())),
        ] {
            assert_eq!(target(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for host in [
            "one:two",
            "one:80x",
            "one:-1",
            "one:1:2",
            "one:80:",
            ":80",
            ":",
            ".",
            ".:80",
            "::1",
            "[]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]x:80",
            "one[::1]",
            "[[::1]]",
            "[::1]:x",
        ] {
            let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
            assert_eq!(target(&text), Err(Lost::NotAHost(host.into())), "{host}");
        }
    }
}
