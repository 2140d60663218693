//! What the sandbox's tests share: a clock to turn by hand, a plain HTTP client, a webhook.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use greenroom::model::{RepoName, Timestamp};
use greenroom::port::Clock;
use greenroom::sandbox::{Sandbox, SandboxSettings, WebhookTarget};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client as Http, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

pub(crate) const GET: Method = Method::GET;
pub(crate) const POST: Method = Method::POST;
pub(crate) const PATCH: Method = Method::PATCH;
pub(crate) const DELETE: Method = Method::DELETE;

/// 2026-11-20 05:04 UTC
const BEGIN: i64 = 1_795_151_040_000;

pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn forward(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) json: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// A sandbox with one repository and somebody who asks it things.
pub(crate) struct Stage {
    pub(crate) hub: Sandbox,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) shop: RepoName,
    http: Http<HttpConnector, Full<Bytes>>,
    token: Mutex<SecretString>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    pub(crate) async fn with(change: impl FnOnce(SandboxSettings) -> SandboxSettings) -> Self {
        let clock = Arc::new(HandClock(AtomicI64::new(BEGIN)));
        let hub = Sandbox::start(change(SandboxSettings::new(clock.clone()))).await.expect("loopback can be bound");
        let files = [("README.md", "# Shop\n"), ("app/main.py", "print('one')\n"), ("run.sh", "#!/bin/sh\n")];
        let shop = hub.create_repo("acme/shop", files).expect("a fresh repository");
        let token = Mutex::new(hub.installation_token(&shop).expect("the app is installed"));
        Self { hub, clock, shop, http: Http::builder(TokioExecutor::new()).build_http(), token }
    }

    pub(crate) fn use_token(&self, token: &str) {
        *self.token.lock().expect("not poisoned") = SecretString::from(token);
    }

    /// As the installation.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    /// As the installation.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let token = self.token.lock().expect("not poisoned").expose_secret().to_owned();
        self.ask(method, path, body, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// As the installation, with one more header.
    pub(crate) async fn get_with(&self, path: &str, header: (&str, &str)) -> Reply {
        let token = self.token.lock().expect("not poisoned").expose_secret().to_owned();
        self.ask(Method::GET, path, None, &[("authorization", &format!("token {token}")), header]).await
    }

    /// As the app.
    pub(crate) async fn as_app(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let now = self.clock.now().0 / 1000;
        let token = self.jwt(&json!({ "iat": now - 30, "exp": now + 540, "iss": self.hub.app_id() }));
        self.ask(method, path, body, &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Reply {
        let uri = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.hub.api_url()) };
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a valid request");
        let answer = self.http.request(request).await.expect("the sandbox answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.into_body().collect().await.expect("a whole body").to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Reply { status, headers, bytes, json }
    }

    /// A JSON Web Token with these claims, signed with the app's key.
    pub(crate) fn jwt(&self, claims: &Value) -> String {
        let pem = self.hub.private_key_pem();
        let der: String = pem.expose_secret().lines().filter(|line| !line.starts_with('-')).collect();
        let key = RsaKeyPair::from_der(&STANDARD.decode(der).expect("base64")).expect("an RSA key");
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
        let mut signature = vec![0; key.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("signed");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(crate) type Received = (HeaderMap, Bytes);

/// Something that takes webhooks and remembers them.
pub(crate) struct Receiver {
    pub(crate) target: WebhookTarget,
    state: Arc<ReceiverState>,
}

struct ReceiverState {
    received: Mutex<Vec<Received>>,
    status: Mutex<StatusCode>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(ReceiverState { received: Mutex::default(), status: Mutex::new(StatusCode::ACCEPTED) });
        let router = Router::new().route("/webhook", post(receive)).with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback can be bound");
        let url = format!("http://{}/webhook", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { target: WebhookTarget { url, secret: SecretString::from("it is a secret") }, state }
    }

    pub(crate) fn answers(&self, status: StatusCode) {
        *self.state.status.lock().expect("not poisoned") = status;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().expect("not poisoned").clone()
    }
}

async fn receive(State(state): State<Arc<ReceiverState>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    state.received.lock().expect("not poisoned").push((headers, body));
    *state.status.lock().expect("not poisoned")
}

/// Waits for the deliveries, but not for ever.
pub(crate) async fn settle(hub: &Sandbox) {
    tokio::time::timeout(Duration::from_mins(1), hub.deliveries_settled()).await.expect("deliveries settle in time");
}
