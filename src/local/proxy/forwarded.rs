//! What a program is told of the client: by this proxy alone. What a client says of itself would be
//! believed where somebody asks for an address, a scheme or a host.

use std::net::IpAddr;

use super::fields::Fields;

/// Beginnings of names that speak of a client or of what it asked for, as proxies, providers and
/// frameworks agreed on them.
///
/// Source: RFC 7239 for `Forwarded`; Rails' `RemoteIp` for `Client-IP`; Jetty's `ForwardedRequestCustomizer`;
/// what `request-ip` of npm looks at; the documentation of Cloudflare, `CloudFront`, `DigitalOcean`, Fastly, Fly,
/// Azure, App Engine, Envoy, Netlify, Vercel and Oracle for theirs. Those with `http-` are what CGI calls
/// the others, and some programs ask for them by that name.
const CLAIMS: [&str; 43] = [
    "ali-cdn-real-ip",
    "appengine-",
    "cdn-real-ip",
    "cdn-src-ip",
    "cf-connecting-ip",
    "cf-pseudo-ipv4",
    "cf-visitor",
    "client-ip",
    "cloudfront-",
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "fly-forwarded-",
    "forwarded",
    "front-end-https",
    "http-client-ip",
    "http-forwarded",
    "http-x-",
    "oxygen-buyer-ip",
    "proxy-auth-cert",
    "proxy-client-ip",
    "proxy-ssl-id",
    "remote-addr",
    "true-client-ip",
    "wl-proxy-",
    "x-appengine-",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-http-host-override",
    "x-nf-client-connection-ip",
    "x-original-",
    "x-originating-ip",
    "x-proxied-https",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-",
    "x-rewrite-url",
    "x-url-scheme",
    "x-vercel-",
];

/// Whole names of the same kind. A program that is run by CGI has `Proxy` as `HTTP_PROXY`, and its libraries
/// go out through it. One behind gunicorn takes where it lies and what it is asked for from whoever is on the
/// same machine, which we are.
///
/// Source: httpoxy, CVE-2016-5385 and its siblings; gunicorn's `forwarder_headers`.
const WHOLE_CLAIMS: [&str; 6] = ["http-via", "path-info", "proxy", "script-name", "x-host", "x-scheme"];

/// Whether a line says where a client comes from. Programs see some of the signs in a name as one: CGI and
/// WSGI cannot tell `-` from `_`, nor PHP from `.`.
pub(super) fn is_claim(name: &str) -> bool {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).collect();
    WHOLE_CLAIMS.contains(&name.as_str()) || CLAIMS.iter().any(|claim| name.starts_with(claim))
}

/// Says what is so.
pub(super) fn tell(fields: &mut Fields, authority: &str, client: IpAddr) {
    let client = client.to_canonical().to_string();
    fields.push("X-Forwarded-For", client.as_str());
    fields.push("X-Forwarded-Host", authority);
    fields.push("X-Forwarded-Proto", "http");
    fields.push("X-Real-IP", client.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_client_says_of_itself_is_for_the_program() {
        for claim in [
            "Forwarded",
            "Forwarded-For",
            "X-Forwarded",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "X.Forwarded.For",
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
            "X-Rewrite-URL",
            "X-Client-IP",
            "Client-IP",
            "CLIENT_IP",
            "True-Client-IP",
            "CF-Connecting-IP",
            "CF-Connecting-IPv6",
            "Fastly-Client-IP",
            "X-Cluster-Client-IP",
            "X-Host",
            "Proxy",
            "SCRIPT_NAME",
            "Script-Name",
            "PATH_INFO",
            "X-HTTP-Host-Override",
            "DO-Connecting-IP",
            "HTTP_CLIENT_IP",
            "HTTP_X_FORWARDED_FOR",
            "HTTP_X_CLUSTER_CLIENT_IP",
            "HTTP_FORWARDED",
            "HTTP_VIA",
            "X-Proxied-Https",
            "Proxy-Auth-Cert",
            "Proxy-Ssl-Id",
            "CloudFront-Viewer-Address",
            "CloudFront-Forwarded-Proto",
            "X-Scheme",
            "Ali-CDN-Real-IP",
            "Cdn-Src-Ip",
            "Oxygen-Buyer-IP",
        ] {
            assert!(is_claim(claim), "{claim}");
        }
        for other in [
            "Accept",
            "Cookie",
            "X-Requested-With",
            "Proxy-Status",
            "X-Hosted-By",
            "Client-Hints",
            "Via",
            "X-HTTP-Method-Override",
            "X-Schemes",
            "Script-Names",
            "HTTP2-Settings",
        ] {
            assert!(!is_claim(other), "{other}");
        }
    }

    #[test]
    fn the_program_is_told_what_is_so() {
        let mut fields = Fields::default();
        tell(&mut fields, "pr-1.localhost:8088", "::ffff:192.0.2.7".parse().expect("an address"));
        let mut out = Vec::new();
        fields.write(&mut out);
        let told = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: pr-1.localhost:8088\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 192.0.2.7\r\n";
        assert_eq!(String::from_utf8_lossy(&out), told);
    }
}
