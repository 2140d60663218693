//! What stands before the stages in the tests: a load balancer's part, played by its own rules.
//!
//! For every request it goes by the listener rules, target groups and registered targets that the
//! API tells (at most [`FRESH`] old), so a request arrives only where the real load balancer would
//! have sent it. It also serves as a proxy (`GET http://host/path`), so that a program which asks
//! for a stage's public address through `HTTP_PROXY` comes through here: 404 without a rule for the
//! host, 503 without a target that passed a health check, 502 when a target fails.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{Rule, TargetGroup, TargetHealthStateEnum};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// How old an answer of the API may be.
const FRESH: Duration = Duration::from_millis(150);
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);
/// AWS ends the old target when the new one is healthy; MiniStack does so when the new one runs, and
/// leaves nobody for as long as that one takes to be healthy.
const HAND_OVER: Duration = Duration::from_secs(30);
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// Where requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Targets {
    /// To a registered target that passed a health check.
    Registered,
    /// Nowhere: where there are no containers, the rule alone is answered with 200.
    Pretended,
}

/// A load balancer that runs. It stops when this is dropped.
pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

type Body = Full<Bytes>;
type Target = (String, u16);

struct State {
    elb: Client,
    targets: Targets,
    seen: Mutex<Seen>,
}

/// What the API told last.
#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    routes: Vec<Route>,
    /// Targets that passed a health check since they were registered.
    passed: BTreeSet<Target>,
    /// When each host last had a target.
    served: BTreeMap<String, Instant>,
    turn: usize,
}

struct Route {
    priority: u32,
    hosts: Vec<String>,
    health: Health,
    targets: Vec<Target>,
}

#[derive(Clone)]
struct Health {
    path: String,
    codes: String,
}

impl Edge {
    pub(crate) async fn start(config: &SdkConfig, targets: Targets) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State { elb: Client::new(config), targets, seen: Mutex::default() });
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let state = Arc::clone(&state);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                let server = hyper::server::conn::http1::Builder::new();
                // A client that leaves early is no concern of the door.
                tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
            }
        });
        Self { address, task }
    }

    /// The value for `HTTP_PROXY`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let host = parts.uri.host().map(str::to_owned).or_else(|| {
        let host = parts.headers.get(header::HOST)?.to_str().ok()?;
        Some(host.split(':').next().unwrap_or(host).to_owned())
    });
    let Some(host) = host.map(|host| host.to_ascii_lowercase()) else { return Ok(plain(400, "no host")) };
    if parts.method == Method::CONNECT {
        return Ok(plain(405, "this door speaks plain HTTP"));
    }
    let Ok(body) = body.collect().await else { return Ok(plain(400, "the request broke off")) };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut request = Request::new(Full::new(body.to_bytes()));
    *request.method_mut() = parts.method;
    *request.headers_mut() = parts.headers;
    *request.uri_mut() = path.parse().expect("it was a path before");
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(&host).expect("it was a header before"));
    Ok(state.forward(&host, request).await)
}

impl State {
    async fn forward(&self, host: &str, request: Request<Body>) -> Response<Body> {
        let mut avoid = None;
        loop {
            let target = match self.choose(host, avoid.as_ref()).await {
                Choice::NoRule => return plain(404, "no rule for this host"),
                Choice::Pretended => return plain(200, "pretended"),
                Choice::NoTarget => return plain(503, "no healthy target"),
                Choice::Soon => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Choice::Target(target) => target,
            };
            match send(&target, request.clone()).await {
                Ok(response) => return response,
                // AWS ends a target only when its requests are drained; MiniStack ends it at once. A
                // request that came between is repeated, if the target is no longer registered.
                Err(error) if self.is_registered(&target).await => {
                    return plain(502, &format!("{target:?} failed: {error}"));
                }
                Err(_) => avoid = Some(target),
            }
        }
    }

    async fn choose(&self, host: &str, avoid: Option<&Target>) -> Choice {
        let mut seen = self.seen.lock().await;
        if seen.at.is_none_or(|at| at.elapsed() > FRESH) {
            seen.refresh(&self.elb).await;
        }
        let Some(route) = seen.routes.iter().find(|route| route.hosts.iter().any(|it| is_match(it, host))) else {
            return Choice::NoRule;
        };
        if self.targets == Targets::Pretended {
            return Choice::Pretended;
        }
        let (health, targets) = (route.health.clone(), route.targets.clone());
        let (mut ready, is_any) = (Vec::new(), !targets.is_empty());
        for target in targets {
            if !seen.passed.contains(&target) && passes(&target, &health).await {
                seen.passed.insert(target.clone());
            }
            if seen.passed.contains(&target) && avoid != Some(&target) {
                ready.push(target);
            }
        }
        seen.turn = seen.turn.wrapping_add(1);
        let turn = seen.turn;
        if !ready.is_empty() {
            seen.served.insert(host.to_owned(), Instant::now());
            return Choice::Target(ready.swap_remove(turn % ready.len()));
        }
        let was_served = seen.served.get(host).is_some_and(|at| at.elapsed() < HAND_OVER);
        if was_served && is_any { Choice::Soon } else { Choice::NoTarget }
    }

    /// Asked anew.
    async fn is_registered(&self, target: &Target) -> bool {
        let mut seen = self.seen.lock().await;
        seen.refresh(&self.elb).await;
        seen.routes.iter().any(|route| route.targets.contains(target))
    }
}

enum Choice {
    NoRule,
    NoTarget,
    /// None is healthy any more, and one is registered that may be in a moment.
    Soon,
    Pretended,
    Target(Target),
}

impl Seen {
    /// Keeps what was known when the API does not answer.
    async fn refresh(&mut self, elb: &Client) {
        let Ok(routes) = routes(elb).await else { return };
        self.passed.retain(|target| routes.iter().any(|route| route.targets.contains(target)));
        self.routes = routes;
        self.at = Some(Instant::now());
    }
}

type Asked<T> = Result<T, aws_sdk_elasticloadbalancingv2::Error>;

/// Every rule with a host, lowest priority number first.
async fn routes(elb: &Client) -> Asked<Vec<Route>> {
    let groups = elb.describe_target_groups().into_paginator().items().send().collect::<Result<Vec<_>, _>>().await?;
    let balancers = elb.describe_load_balancers().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let mut routes = Vec::new();
    for balancer in balancers.await? {
        let listeners = elb.describe_listeners().set_load_balancer_arn(balancer.load_balancer_arn).send().await?;
        for listener in listeners.listeners.unwrap_or_default() {
            let rules = elb.describe_rules().set_listener_arn(listener.listener_arn).send().await?;
            for rule in rules.rules.unwrap_or_default() {
                routes.extend(route(elb, &rule, &groups).await?);
            }
        }
    }
    routes.sort_by_key(|route| route.priority);
    Ok(routes)
}

async fn route(elb: &Client, rule: &Rule, groups: &[TargetGroup]) -> Asked<Option<Route>> {
    let hosts = rule.conditions().iter().filter(|condition| condition.field() == Some("host-header"));
    let hosts = hosts.flat_map(|condition| {
        condition.host_header_config().map_or_else(|| condition.values(), |config| config.values())
    });
    let hosts: Vec<String> = hosts.map(|host| host.to_ascii_lowercase()).collect();
    let group = rule.actions().iter().find_map(|action| {
        action
            .target_group_arn()
            .map(str::to_owned)
            .or_else(|| action.forward_config()?.target_groups().first()?.target_group_arn().map(str::to_owned))
    });
    let (Some(arn), Some(priority)) = (group, rule.priority().and_then(|number| number.parse().ok())) else {
        return Ok(None);
    };
    let Some(group) = groups.iter().find(|group| group.target_group_arn() == Some(&arn)) else { return Ok(None) };
    let health = Health {
        path: group.health_check_path().unwrap_or("/").to_owned(),
        codes: group.matcher().and_then(|matcher| matcher.http_code()).unwrap_or("200").to_owned(),
    };
    let targets = elb.describe_target_health().target_group_arn(arn).send().await?;
    let healthy = targets
        .target_health_descriptions()
        .iter()
        .filter(|it| it.target_health().and_then(|health| health.state()) == Some(&TargetHealthStateEnum::Healthy));
    let targets = healthy.filter_map(|it| {
        let target = it.target()?;
        Some((target.id()?.to_owned(), u16::try_from(target.port()?).ok()?))
    });
    Ok(Some(Route { priority, hosts, health, targets: targets.collect() }))
}

fn is_match(pattern: &str, host: &str) -> bool {
    pattern == host || pattern.strip_prefix('*').is_some_and(|end| host.ends_with(end))
}

async fn passes(target: &Target, health: &Health) -> bool {
    let request = Request::get(&health.path).header(header::HOST, target.0.as_str()).body(Full::default());
    let Ok(request) = request else { return false };
    let answer = tokio::time::timeout(HEALTH_PATIENCE, send(target, request)).await;
    matches!(answer, Ok(Ok(response)) if is_wanted(response.status(), &health.codes))
}

/// `200`, `200,204` or `200-299`
fn is_wanted(status: StatusCode, codes: &str) -> bool {
    let status = status.as_u16();
    codes.split(',').any(|part| match part.split_once('-') {
        Some((from, to)) => {
            from.parse().is_ok_and(|from: u16| from <= status) && to.parse().is_ok_and(|to: u16| status <= to)
        }
        None => part.trim() == status.to_string(),
    })
}

/// One request on a connection of its own.
async fn send(target: &Target, request: Request<Body>) -> Result<Response<Body>, String> {
    let whole = async {
        let stream = TcpStream::connect((target.0.as_str(), target.1)).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // It ends with the sender; what goes wrong on it shows in the answer.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
        let (mut parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        for hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
            parts.headers.remove(hop);
        }
        Ok(Response::from_parts(parts, Full::new(body)))
    };
    tokio::time::timeout(REQUEST_PATIENCE, whole).await.unwrap_or_else(|_| Err("it does not answer".into()))
}

fn plain(status: u16, text: &str) -> Response<Body> {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (Targets::Registered, Targets::Pretended, Edge::url);
};
