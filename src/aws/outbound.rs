//! The way of requests to AWS: straight or through the proxy, at the account's pace, counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use secrecy::{ExposeSecret as _, SecretString};

use super::calls::{Calls, Operation};
use super::pace::{Pace, Purse};
use super::settings::OutboundProxy;

/// Where credentials are fetched from on machines of AWS itself: never by a proxy.
const LINK_LOCAL: &str = "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// To connect, and to read.
type Times = (Option<Duration>, Option<Duration>);

/// Opens connections, and keeps them for all clients together.
pub(super) struct Outbound {
    proxy: ProxyConfig,
    made: Mutex<HashMap<Times, SharedHttpConnector>>,
}

impl Outbound {
    /// `endpoint` decides which of two proxies is meant: AWS's own endpoints speak TLS. With it
    /// comes what is wrong with the proxy's address, without that, which may hold a password.
    pub(super) fn new(proxy: Option<&OutboundProxy>, endpoint: Option<&str>) -> (Self, Option<String>) {
        let (proxy, flaw) = match proxy.map_or(Ok(ProxyConfig::disabled()), |proxy| proxy_config(proxy, endpoint)) {
            Ok(proxy) => (proxy, None),
            Err(flaw) => (ProxyConfig::disabled(), Some(flaw)),
        };
        (Self { proxy, made: Mutex::default() }, flaw)
    }
}

fn proxy_config(proxy: &OutboundProxy, endpoint: Option<&str>) -> Result<ProxyConfig, String> {
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let (url, variable) = if is_plain { (&proxy.http, "HTTP_PROXY") } else { (&proxy.https, "HTTPS_PROXY") };
    let Some(url) = url.as_ref().map(SecretString::expose_secret) else { return Ok(ProxyConfig::disabled()) };
    let made = if is_plain { ProxyConfig::http(url) } else { ProxyConfig::https(url) };
    let made =
        made.map_err(|_| format!("{variable} holds no address of a proxy, such as http://proxy.example:3128"))?;
    Ok(made.no_proxy(format!("{},{LINK_LOCAL}", proxy.no)))
}

impl fmt::Debug for Outbound {
    /// Without the proxy, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

impl HttpClient for Outbound {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let mut builder = Connector::builder()
                .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
                .connector_settings(settings.clone())
                .proxy_config(self.proxy.clone());
            builder.set_sleep_impl(parts.sleep_impl());
            SharedHttpConnector::new(builder.build())
        };
        made.entry((settings.connect_timeout(), settings.read_timeout())).or_insert_with(make).clone()
    }
}

/// Sends one service's requests when their turn has come.
#[derive(Debug)]
pub(super) struct Paced {
    pub(super) inner: SharedHttpClient,
    pub(super) purse: Purse,
    pub(super) pace: Arc<Pace>,
    pub(super) calls: Arc<Calls>,
}

impl HttpClient for Paced {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(PacedConnector {
            inner: self.inner.http_connector(settings, parts),
            purse: self.purse.clone(),
            pace: Arc::clone(&self.pace),
            calls: Arc::clone(&self.calls),
        })
    }
}

#[derive(Debug)]
struct PacedConnector {
    inner: SharedHttpConnector,
    purse: Purse,
    pace: Arc<Pace>,
    calls: Arc<Calls>,
}

impl HttpConnector for PacedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wait = match self.pace.take(&self.purse, Instant::now()) {
            Ok(wait) => wait,
            Err(over) => return HttpConnectorFuture::ready(Err(ConnectorError::other(over.into(), None))),
        };
        let (inner, calls) = (self.inner.clone(), Arc::clone(&self.calls));
        HttpConnectorFuture::new(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if let Some(Operation(operation)) = request.extension::<Operation>() {
                calls.count(operation);
                tracing::debug!(operation, "calls AWS");
            }
            inner.call(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;
    use crate::aws::calls::Naming;
    use crate::aws::fault::fault;
    use crate::port::PortError;

    /// Has no clusters.
    #[derive(Debug)]
    struct Empty;

    impl HttpClient for Empty {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            SharedHttpConnector::new(Self)
        }
    }

    impl HttpConnector for Empty {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let status = StatusCode::try_from(200).unwrap();
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from("{\"clusterArns\":[]}"))))
        }
    }

    fn purse() -> Purse {
        Purse { account: "1".into(), region: "eu-west-1".into(), service: "ecs" }
    }

    #[tokio::test]
    async fn a_call_is_counted_when_it_is_sent_and_refused_when_too_many_wait() {
        let (pace, calls) = (Arc::new(Pace::default()), Arc::new(Calls::default()));
        let inner = SharedHttpClient::new(Empty);
        let paced = Paced { inner, purse: purse(), pace: Arc::clone(&pace), calls: Arc::clone(&calls) };
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(aws_sdk_ecs::config::BehaviorVersion::latest())
            .region(aws_sdk_ecs::config::Region::new("eu-west-1"))
            .credentials_provider(aws_credential_types::Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
            .http_client(paced)
            .interceptor(Naming { service: "ecs" })
            .build();
        let client = aws_sdk_ecs::Client::from_conf(config);
        for _ in 0..3 {
            client.list_clusters().send().await.expect("an answer");
        }
        assert_eq!(calls.snapshot(), [("ecs:ListClusters".to_owned(), 3)].into());

        // As of a minute from now, so that nothing refills while the call is on its way.
        let later = Instant::now() + Duration::from_mins(1);
        while pace.take(&purse(), later).is_ok() {}
        let error = client.list_clusters().send().await.expect_err("no place");
        match fault("ecs:ListClusters", error) {
            PortError::Retry { reason, after_millis: Some(2_000..=4_000) } => {
                assert!(reason.starts_with("ecs:ListClusters waits for its turn"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(calls.snapshot()["ecs:ListClusters"], 3, "what was not sent is not counted");
    }

    #[test]
    fn a_proxy_is_taken_by_the_scheme_of_the_endpoint_and_its_password_is_never_shown() {
        let proxy = |http: Option<&str>, https: Option<&str>| OutboundProxy {
            http: http.map(|url| SecretString::from(url.to_owned())),
            https: https.map(|url| SecretString::from(url.to_owned())),
            no: "localhost".into(),
        };
        let good = Some("http://user:hunter2@proxy.example:3128");
        let bad = Some("no address hunter2");
        let plain = Some("http://127.0.0.1:4566");
        for (proxy, endpoint, is_used, is_flawed) in [
            (proxy(None, good), None, true, false),
            (proxy(good, None), None, false, false),
            (proxy(good, None), plain, true, false),
            (proxy(None, bad), plain, false, false),
            (proxy(None, bad), None, false, true),
        ] {
            let (outbound, flaw) = Outbound::new(Some(&proxy), endpoint);
            assert_eq!((!outbound.proxy.is_disabled(), flaw.is_some()), (is_used, is_flawed), "{endpoint:?}");
            assert!(!format!("{outbound:?} {flaw:?}").contains("hunter2"));
        }
    }
}
