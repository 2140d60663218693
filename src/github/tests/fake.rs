//! A scripted GitHub: it answers what it was told to, and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use octocrab::jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::github::key::AppKey;
use crate::github::{GitHub, GitHubSettings, TokenSettings, WriteLimits};
use crate::model::{RepoId, RepoSeen, Timestamp, UserId};
use crate::port::Clock;

pub(super) const APP_ID: u64 = 17;
pub(super) const JOB_TOKEN: &str = "ghs_the-token-of-a-job";
const EVERY_PERMISSION: [&str; 10] = [
    "metadata",
    "contents",
    "pull_requests",
    "issues",
    "checks",
    "deployments",
    "administration",
    "members",
    "statuses",
    "actions",
];
pub(super) const INSTALLATION: &str = "/repos/acme/shop/installation";
pub(super) const MINT: &str = "/app/installations/7/access_tokens";
/// 2026-11-20T05:00:00Z
pub(super) const START: i64 = 1_795_150_800_000;

/// A clock turned by hand.
pub(super) struct HandClock(AtomicI64);

impl HandClock {
    pub(super) fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Clone)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        Self { status, headers, body: body.to_string().into() }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn bytes(kind: &str, body: impl Into<Bytes>) -> Self {
        Self { status: 200, headers: vec![("content-type", kind.to_owned())], body: body.into() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One request as it arrived.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    /// With its query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a text"))
    }
}

type Key = (String, String);

#[derive(Default)]
struct Script {
    once: Mutex<HashMap<Key, VecDeque<Reply>>>,
    always: Mutex<HashMap<Key, Reply>>,
    asked: Mutex<Vec<Asked>>,
    /// Paths that are never answered.
    silent: Mutex<Vec<String>>,
    /// Tokens that see no repository.
    blind: Mutex<Vec<String>>,
    minted: AtomicUsize,
}

pub(super) struct FakeGitHub {
    script: Arc<Script>,
    pub(super) clock: Arc<HandClock>,
    pub(super) url: String,
}

impl FakeGitHub {
    /// A GitHub on which the app is installed on `acme/shop` with every permission.
    pub(super) async fn start() -> Self {
        let script = Arc::new(Script::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let fake = Self { script, clock: Arc::new(HandClock(AtomicI64::new(START))), url };
        fake.installed(&EVERY_PERMISSION);
        fake
    }

    /// Grants `write` on these, `read` on the metadata.
    pub(super) fn installed(&self, permissions: &[&str]) {
        let level = |name: &str| if name == "metadata" { "read" } else { "write" };
        let granted: HashMap<_, _> = permissions.iter().map(|name| (*name, level(name))).collect();
        self.always("GET", INSTALLATION, Reply::json(200, &json!({ "id": 7, "permissions": granted })));
    }

    /// Grants everything but this.
    pub(super) fn installed_without(&self, permission: &str) {
        let rest: Vec<&str> = EVERY_PERMISSION.into_iter().filter(|known| *known != permission).collect();
        self.installed(&rest);
    }

    /// Two pages of a list from now on.
    pub(super) fn in_two_pages(&self, first: &str, pages: [&Value; 2]) {
        let second = super::second(first);
        let next = format!("<{}{second}>; rel=\"next\"", self.url);
        self.always("GET", first, Reply::json(200, pages[0]).with("link", next));
        self.always("GET", &second, Reply::json(200, pages[1]));
    }

    pub(super) fn settings(&self) -> GitHubSettings {
        GitHubSettings::new(&self.url, APP_ID, "unused".into(), self.clock.clone(), 1)
    }

    pub(super) fn client(&self) -> GitHub {
        client(&self.settings())
    }

    /// The token of a job of `acme/shop`, which [`repository`](super::repository) describes.
    pub(super) fn job_settings(&self) -> TokenSettings {
        let repo = RepoSeen { id: RepoId(774), owner: UserId(7), name: super::shop() };
        TokenSettings::new(&self.url, JOB_TOKEN.into(), repo, self.clock.clone(), 1)
    }

    /// A client with that token; `acme/shop` is there from now on.
    pub(super) fn job(&self) -> GitHub {
        self.always("GET", "/repos/acme/shop", Reply::json(200, &super::repository("acme/shop")));
        GitHub::with_token(&self.job_settings()).expect("good settings")
    }

    pub(super) fn client_with_budget(&self, per_minute: usize) -> GitHub {
        let write_limits = WriteLimits { per_minute, per_hour: 500 };
        client(&GitHubSettings { write_limits, ..self.settings() })
    }

    pub(super) fn impatient_client(&self) -> GitHub {
        client(&GitHubSettings { call_time: Duration::from_millis(100), ..self.settings() })
    }

    /// What a path answers from now on, after what it answers once.
    pub(super) fn always(&self, method: &str, path: &str, reply: Reply) {
        self.script.always.lock().expect("whole").insert((method.into(), path.into()), reply);
    }

    pub(super) fn once(&self, method: &str, path: &str, reply: Reply) {
        let mut once = self.script.once.lock().expect("whole");
        once.entry((method.into(), path.into())).or_default().push_back(reply);
    }

    pub(super) fn silent(&self, path: &str) {
        self.script.silent.lock().expect("whole").push(path.into());
    }

    /// A token that speaks for somebody who has another name by now: nothing under `/repos` is there for it.
    pub(super) fn blind(&self, token: &str) {
        self.script.blind.lock().expect("whole").push(format!("Bearer {token}"));
    }

    /// What was asked of a path, with or without its query.
    pub(super) fn asked(&self, method: &str, path: &str) -> Vec<Asked> {
        let asked = self.script.asked.lock().expect("whole");
        let same = |asked: &&Asked| {
            asked.method == method && (asked.path == path || asked.path.split('?').next() == Some(path))
        };
        asked.iter().filter(same).cloned().collect()
    }

    /// Everything asked but the App's own way to a token, as `METHOD path`.
    pub(super) fn calls(&self) -> Vec<String> {
        let asked = self.script.asked.lock().expect("whole");
        let own = |asked: &&Asked| asked.path != INSTALLATION && !asked.path.ends_with("/access_tokens");
        asked.iter().filter(own).map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }

    pub(super) fn all(&self) -> Vec<Asked> {
        self.script.asked.lock().expect("whole").clone()
    }
}

/// A client with these settings.
pub(super) fn client(settings: &GitHubSettings) -> GitHub {
    // RSA takes a second to sign in an unoptimised build.
    let key = AppKey::new(APP_ID, EncodingKey::from_secret(b"the app's key"), Algorithm::HS256);
    GitHub::with_key(settings, key).expect("good settings")
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let method = parts.method.to_string();
    let full = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let asked = Asked { method: method.clone(), path: full.clone(), headers: parts.headers, body };
    let shown = asked.header("authorization").unwrap_or_default().to_owned();
    let is_blind = full.starts_with("/repos/") && script.blind.lock().expect("whole").contains(&shown);
    script.asked.lock().expect("whole").push(asked);
    let bare = parts.uri.path().to_owned();
    if script.silent.lock().expect("whole").contains(&bare) {
        std::future::pending::<()>().await;
    }
    if is_blind {
        return reply_of(Reply::json(404, &json!({ "message": "Not Found" })));
    }
    let scripted = [full, bare.clone()].into_iter().find_map(|path| {
        let key = (method.clone(), path);
        let once = script.once.lock().expect("whole").get_mut(&key).and_then(VecDeque::pop_front);
        once.or_else(|| script.always.lock().expect("whole").get(&key).cloned())
    });
    let reply = scripted.unwrap_or_else(|| {
        if bare.ends_with("/access_tokens") {
            mint(&script)
        } else {
            Reply::json(404, &json!({ "message": "Not Found" }))
        }
    });
    reply_of(reply)
}

fn reply_of(reply: Reply) -> Response {
    let headers: HeaderMap = reply
        .headers
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(&value).expect("a value")))
        .collect();
    (StatusCode::from_u16(reply.status).expect("a status"), headers, reply.body).into_response()
}

/// `token-1`, `token-2` and so on; each expires an hour after the start of the test's clock, and
/// an hour later for every one before it.
fn mint(script: &Script) -> Reply {
    let number = script.minted.fetch_add(1, Ordering::SeqCst) + 1;
    let expires_at = format!("2026-11-20T{:02}:00:00Z", 5 + number);
    Reply::json(201, &json!({ "token": format!("token-{number}"), "expires_at": expires_at }))
}
