//! A door to AWS that fails on order: it stands between Greenroom and MiniStack, counts the calls,
//! and does something bad at the chosen one.
//!
//! Where MiniStack runs no containers it also tells what AWS would of containers that run: the
//! digest of a task's image, a healthy target of each service, and the end of a one-off task.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// AWS says that it is asked too much.
    Throttled,
    /// AWS says that it is broken.
    Broken,
    /// AWS does what was asked, and the answer never arrives.
    Unheard,
    /// AWS says that this is not allowed.
    Denied,
    /// This call and all after it never arrive, as if the caller had died before it. Until
    /// [`Faulty::mend`].
    DeadBefore,
    /// The same, but the chosen call still takes effect.
    DeadAfter,
}

/// The door. It closes when this is dropped.
pub(crate) struct Faulty {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    upstream: u16,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    order: Option<(Mishap, Chosen)>,
    /// Every call since the door was opened or [`Faulty::forget`], in order.
    calls: Vec<String>,
    /// The call that the order fell on.
    hit: Option<String>,
    /// Operations that are never allowed.
    forbidden: Vec<String>,
    /// How many more looks at tasks find them on their way out.
    lingering: usize,
    is_dead: bool,
    on_death: Option<OnDeath>,
}

/// Which call an order falls on.
enum Chosen {
    /// The one of this number in [`Book::calls`].
    Number(usize),
    /// The one after which this operation was called so often.
    Operation(String, usize),
}

type OnDeath = Box<dyn Fn() + Send + Sync>;

impl Faulty {
    pub(crate) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State { upstream, book: Mutex::default() });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { state.answer(request).await }
                });
                // One request a connection: an answer that is kept back shows as a connection that broke.
                let mut server = hyper::server::conn::http1::Builder::new();
                server.keep_alive(false);
                tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
            }
        });
        Self { address, state, task }
    }

    /// The value for `AWS_ENDPOINT_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, has this happen at the `at`-th call, counted from 1.
    pub(crate) fn order(&self, mishap: Mishap, at: usize) {
        let mut book = self.state.book();
        let already = book.calls.len();
        book.order = Some((mishap, Chosen::Number(already + at)));
    }

    /// From now on, has this happen when the operation is called for the `time`-th time ever.
    pub(crate) fn order_of(&self, mishap: Mishap, operation: &str, time: usize) {
        self.state.book().order = Some((mishap, Chosen::Operation(operation.to_owned(), time)));
    }

    /// The same for a death, of which somebody must know before anything else happens.
    pub(crate) fn order_death(&self, mishap: Mishap, at: usize, on_death: OnDeath) {
        self.order(mishap, at);
        self.state.book().on_death = Some(on_death);
    }

    /// From now on, these operations and no others are never allowed.
    pub(crate) fn forbid(&self, operations: &[&str]) {
        self.state.book().forbidden = operations.iter().map(|operation| (*operation).to_owned()).collect();
    }

    /// So many looks at tasks that no service keeps find them on their way out.
    pub(crate) fn linger(&self, looks: usize) {
        self.state.book().lingering = looks;
    }

    /// Lets calls through again, and forgets the order.
    pub(crate) fn mend(&self) {
        let mut book = self.state.book();
        book.is_dead = false;
        book.order = None;
    }

    /// Begins the counting anew.
    pub(crate) fn forget(&self) {
        *self.state.book() = Book::default();
    }

    /// The call that the order fell on, as `service:Operation`.
    pub(crate) fn hit(&self) -> Option<String> {
        self.state.book().hit.clone()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state.book().is_dead
    }

    /// Every call, as `service:Operation`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.book().calls.clone()
    }

    /// How often each was called.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in self.calls() {
            *counts.entry(call).or_default() += 1;
        }
        counts
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connection breaks off without an answer.
#[derive(Debug)]
struct Silence;

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no answer, as ordered")
    }
}

impl std::error::Error for Silence {}

impl State {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("unpoisoned")
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Silence> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Silence)?.to_bytes();
        let operation = operation(&parts, &body);
        let mishap = self.book().note(&operation);
        if mishap == Some(Mishap::DeadBefore) {
            return Err(Silence);
        }
        let speech = Speech::of(&parts);
        match mishap {
            Some(Mishap::Throttled) => {
                let (status, code) = speech.throttled();
                return Ok(speech.refusal(status, code, "Rate exceeded"));
            }
            Some(Mishap::Broken) => return Ok(speech.refusal(500, "InternalFailure", "It is broken")),
            Some(Mishap::Denied) => {
                return Ok(speech.refusal(speech.denied().0, speech.denied().1, &denial(&operation)));
            }
            Some(Mishap::Unheard | Mishap::DeadBefore | Mishap::DeadAfter) | None => {}
        }
        let answer = self.pass_on(parts, body.clone()).await.map_err(|_| Silence)?;
        if mishap.is_some() {
            return Err(Silence);
        }
        let last = self.book().last_status(&operation);
        Ok(completed(&operation, &body, answer, last))
    }

    async fn pass_on(&self, parts: http::request::Parts, body: Bytes) -> Result<Response<Bytes>, hyper::Error> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream)).await.expect("MiniStack listens");
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what goes wrong on it shows in the answer.
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(Request::from_parts(parts, Full::new(body))).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }
}

impl Book {
    fn last_status(&mut self, operation: &str) -> &'static str {
        let lingers = operation == "ecs:DescribeTasks" && self.lingering > 0;
        self.lingering -= usize::from(lingers);
        if lingers { "DEACTIVATING" } else { "STOPPED" }
    }

    /// Writes the call down and says what happens to it.
    fn note(&mut self, operation: &str) -> Option<Mishap> {
        if self.is_dead {
            return Some(Mishap::DeadBefore);
        }
        self.calls.push(operation.to_owned());
        if self.forbidden.iter().any(|forbidden| forbidden == operation) {
            return Some(Mishap::Denied);
        }
        let (mishap, chosen) = self.order.as_ref()?;
        let mishap = *mishap;
        let is_chosen = match chosen {
            Chosen::Number(number) => self.calls.len() == *number,
            Chosen::Operation(name, time) => {
                name == operation && self.calls.iter().filter(|call| *call == name).count() == *time
            }
        };
        if !is_chosen {
            return None;
        }
        self.hit = Some(operation.to_owned());
        self.is_dead = matches!(mishap, Mishap::DeadBefore | Mishap::DeadAfter);
        if let (true, Some(on_death)) = (self.is_dead, &self.on_death) {
            on_death();
        }
        Some(mishap)
    }
}

/// `ecs:DescribeServices` is none.
pub(crate) fn is_change(call: &str) -> bool {
    let name = call.split(':').next_back().unwrap_or_default();
    !["Describe", "List", "Get", "BatchGet", "Filter"].iter().any(|verb| name.starts_with(verb))
}

/// How a service writes its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Json,
    Xml,
    /// S3's own, in which an error stands alone.
    Storage,
}

impl Speech {
    fn of(parts: &http::request::Parts) -> Self {
        if parts.headers.contains_key("x-amz-target") {
            Self::Json
        } else if signed_for(parts) == "s3" {
            Self::Storage
        } else {
            Self::Xml
        }
    }

    fn throttled(self) -> (u16, &'static str) {
        match self {
            Self::Json => (400, "ThrottlingException"),
            Self::Xml => (400, "Throttling"),
            Self::Storage => (503, "SlowDown"),
        }
    }

    fn denied(self) -> (u16, &'static str) {
        match self {
            Self::Json => (400, "AccessDeniedException"),
            Self::Xml | Self::Storage => (403, "AccessDenied"),
        }
    }

    fn refusal(self, status: u16, code: &str, message: &str) -> Response<Full<Bytes>> {
        let (kind, body) = match self {
            Self::Json => ("application/x-amz-json-1.1", json!({ "__type": code, "message": message }).to_string()),
            Self::Xml => (
                "text/xml",
                format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                     <RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>"
                ),
            ),
            Self::Storage => {
                ("application/xml", format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
            }
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        response.headers_mut().insert(header::CONTENT_TYPE, kind.parse().expect("a header"));
        response
    }
}

/// As AWS words it.
fn denial(operation: &str) -> String {
    format!(
        "User: arn:aws:iam::000000000000:user/tests is not authorized to perform: {operation} on resource: \
         arn:aws:iam::000000000000:* because no identity-based policy allows the {operation} action"
    )
}

/// `ecs:UpdateService`, from where each protocol has it.
fn operation(parts: &http::request::Parts, body: &[u8]) -> String {
    let service = signed_for(parts);
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let name = match target {
        Some(target) => target.rsplit('.').next().unwrap_or(target).to_owned(),
        None => field(body, "Action").unwrap_or_else(|| format!("{} {}", parts.method, parts.uri.path())),
    };
    format!("{service}:{name}")
}

/// The service in the signature's scope: `Credential=key/date/region/service/aws4_request`.
fn signed_for(parts: &http::request::Parts) -> String {
    let signature = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    signature.split('/').nth(3).unwrap_or("unsigned").to_owned()
}

fn field(form: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// An answer with what MiniStack leaves out when it runs no containers. `last` is what one-off tasks are at.
fn completed(operation: &str, asked: &[u8], answer: Response<Bytes>, last: &str) -> Response<Full<Bytes>> {
    let (mut parts, body) = answer.into_parts();
    let body = match operation.split_once(':').map(|(_, name)| name) {
        Some("DescribeTasks" | "RunTask") if parts.status.is_success() => with_containers(&body, last),
        Some("DescribeTargetHealth") if parts.status.is_success() => with_target(asked, &body),
        _ => body,
    };
    for hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
        parts.headers.remove(hop);
    }
    Response::from_parts(parts, Full::new(body))
}

fn with_containers(body: &Bytes, last: &str) -> Bytes {
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    for task in answer["tasks"].as_array_mut().into_iter().flatten() {
        let is_of_service = task["group"].as_str().is_some_and(|group| group.starts_with("service:"));
        for container in task["containers"].as_array_mut().into_iter().flatten() {
            let digest = container["image"].as_str().and_then(|image| Some(image.split_once('@')?.1.to_owned()));
            if let Some(digest) = digest {
                container["imageDigest"] = digest.into();
            }
            if !is_of_service {
                container["exitCode"] = 0.into();
                container["lastStatus"] = "STOPPED".into();
            }
        }
        if !is_of_service {
            task["lastStatus"] = last.into();
            task["desiredStatus"] = "STOPPED".into();
            task["stopCode"] = "EssentialContainerExited".into();
            task["stoppedReason"] = "Essential container in task exited".into();
        }
    }
    serde_json::to_vec(&answer).expect("JSON").into()
}

fn with_target(asked: &[u8], body: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(body);
    if text.contains("<Target>") || field(asked, "Targets.member.1.Id").is_some() {
        return body.clone();
    }
    let target = "<TargetHealthDescriptions><member><Target><Id>10.0.0.1</Id><Port>8080</Port></Target>\
                  <TargetHealth><State>healthy</State></TargetHealth></member></TargetHealthDescriptions>";
    let empty = ["<TargetHealthDescriptions></TargetHealthDescriptions>", "<TargetHealthDescriptions/>"];
    empty.iter().fold(text.into_owned(), |text, empty| text.replace(empty, target)).into()
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (Mishap::Throttled, Mishap::Broken, Mishap::Unheard, Mishap::Denied, Mishap::DeadBefore, Mishap::DeadAfter);
    let _ = (Faulty::order, Faulty::order_of, Faulty::mend, Faulty::forget, Faulty::hit, Faulty::is_dead);
    let _ = (Faulty::calls, Faulty::counts, Faulty::order_death, Faulty::forbid, is_change as fn(&str) -> bool);
    let _ = Faulty::linger;
};
