//! The issuer of identity tokens that a job can ask: GitHub's, of which a run knows an address and a secret.
//!
//! What it signs nobody checks here: whether AWS would trust a claim is a matter of policies, which are tested where
//! they are made.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Gives a token to whoever shows a run's secret.
pub(crate) struct Issuer {
    address: SocketAddr,
    state: Arc<Mutex<Runs>>,
}

#[derive(Default)]
struct Runs {
    /// The claims of each run, by its secret.
    claims: BTreeMap<String, Value>,
    /// For whom tokens were asked for.
    audiences: Vec<String>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let state = Arc::<Mutex<Runs>>::default();
        let router = Router::new().route("/token", get(answer)).with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback can be bound");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { address, state }
    }

    /// What a run with these claims finds in its environment. The address has a query already, as GitHub's has.
    pub(crate) fn variables(&self, secret: &str, claims: Value) -> [(&'static str, String); 2] {
        self.state.lock().expect("not poisoned").claims.insert(secret.to_owned(), claims);
        let url = format!("http://{}/token?api-version=2.0", self.address);
        [("ACTIONS_ID_TOKEN_REQUEST_URL", url), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret.to_owned())]
    }

    pub(crate) fn audiences(&self) -> Vec<String> {
        self.state.lock().expect("not poisoned").audiences.clone()
    }
}

async fn answer(
    State(state): State<Arc<Mutex<Runs>>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let secret = ["Bearer ", "bearer "].iter().find_map(|scheme| shown.strip_prefix(scheme)).unwrap_or_default();
    let mut runs = state.lock().expect("not poisoned");
    let Some(mut claims) = runs.claims.get(secret).cloned() else { return StatusCode::UNAUTHORIZED.into_response() };
    if !query.contains_key("api-version") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let audience = query.get("audience").cloned().unwrap_or_else(|| "https://github.com/acme".into());
    claims["aud"] = json!(audience);
    claims["iss"] = json!("https://token.actions.githubusercontent.com");
    runs.audiences.push(audience);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims), part(&json!("-")));
    axum::Json(json!({ "count": token.len(), "value": token })).into_response()
}
