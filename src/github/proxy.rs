//! The way to a host: straight, or through the proxy that the settings name for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tower_service::Service;

use super::settings::ProxySettings;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections; with `NO_PROXY`'s rules as curl reads them.
#[derive(Clone)]
pub(super) struct Route {
    matcher: Option<Arc<Matcher>>,
    direct: HttpConnector,
}

impl Route {
    pub(super) fn new(proxy: Option<&ProxySettings>, connect_time: Duration) -> Self {
        let mut direct = HttpConnector::new();
        direct.set_connect_timeout(Some(connect_time));
        direct.set_nodelay(true);
        direct.enforce_http(false);
        Self { matcher: proxy.map(|proxy| Arc::new(matcher(proxy))), direct }
    }
}

fn matcher(proxy: &ProxySettings) -> Matcher {
    let plain = |secret: &Option<SecretString>| secret.as_ref().map_or(String::new(), |url| url.expose_secret().into());
    Matcher::builder().http(plain(&proxy.http)).https(plain(&proxy.https)).no(proxy.no.clone()).build()
}

impl Service<Uri> for Route {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let Some(intercept) = self.matcher.as_ref().and_then(|matcher| matcher.intercept(&destination)) else {
            let connecting = self.direct.call(destination);
            return Box::pin(async move { connecting.await.map_err(Into::into) });
        };
        let mut tunnel = Tunnel::new(intercept.uri().clone(), self.direct.clone());
        if let Some(password) = intercept.basic_auth() {
            tunnel = tunnel.with_auth(password.clone());
        }
        let connecting = tunnel.call(destination);
        Box::pin(async move { connecting.await.map_err(Into::into) })
    }
}
