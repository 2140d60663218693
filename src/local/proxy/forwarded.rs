//! What a program is told of the client: by this proxy alone. What a client says of itself would be
//! believed where somebody asks for an address, a scheme or a host.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};

/// Beginnings of names that speak of a client or of what it asked for. Programs read some of them
/// with `_` for `-`: CGI and WSGI cannot tell the two apart.
///
/// Source: RFC 7239 for `Forwarded`; the others are what proxies and frameworks agreed on.
const CLAIMS: [&str; 7] =
    ["forwarded", "x-forwarded", "x-real-ip", "x-original-", "x-client-ip", "x-cluster-client-ip", "true-client-ip"];

/// Takes away what the client said of itself, and says what is so.
pub(super) fn tell(headers: &mut HeaderMap, authority: &str, client: IpAddr) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    if let Ok(address) = HeaderValue::from_str(&client.to_canonical().to_string()) {
        headers.insert("x-real-ip", address.clone());
        headers.insert("x-forwarded-for", address);
    }
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert("x-forwarded-host", host.clone());
        headers.insert(HOST, host);
    }
}

fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    CLAIMS.iter().any(|claim| name.starts_with(claim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_client_says_of_itself_reaches_the_program() {
        let mut headers = HeaderMap::new();
        let claims = [
            "Forwarded",
            "X-Forwarded",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Forwarded-Server",
            "X-Forwarded-User",
            "X-Forwarded-Ssl",
            "X-Real-IP",
            "X-Real_IP",
            "X-Original-URL",
            "X-Original-Forwarded-For",
            "X-Client-IP",
            "True-Client-IP",
        ];
        for name in claims {
            headers.append(name.parse::<HeaderName>().expect("a name"), HeaderValue::from_static("evil"));
            headers.append(name.parse::<HeaderName>().expect("a name"), HeaderValue::from_static("evil too"));
        }
        headers.insert("accept", HeaderValue::from_static("*/*"));
        tell(&mut headers, "pr-1.localhost:8088", "::ffff:192.0.2.7".parse().expect("an address"));
        let mut left: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                ("accept", "*/*"),
                ("host", "pr-1.localhost:8088"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-host", "pr-1.localhost:8088"),
                ("x-forwarded-proto", "http"),
                ("x-real-ip", "192.0.2.7"),
            ]
        );
    }
}
