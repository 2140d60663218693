//! An AWS that answers what a test tells it to, and writes down what it was asked: for what no emulator shows.
//! The bodies are shaped as the API references of AWS show them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;

use super::calls::Operation;
use super::clients::{Clients, Sessions};
use super::names::{Names, TAG_OWNER, TAG_REPO, TAG_STAGE};
use super::stage_stack::{StageService, StageStack};
use super::{AwsSettings, NatGateways, PreviewCapacity, Shared, lately, once, rollout, stack};
use crate::model::{
    Health, ImageSpec, Place, Runtime, Scale, Seconds, ServiceSpec, Size, StageId, StageKind, StageSpec, Timestamp,
    Trust,
};
use crate::port::{Clock, PortResult, Site, Slots};

const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "123456789012";
/// The services that speak XML.
const XML: [&str; 3] = ["cloudformation", "elasticloadbalancing", "sts"];

/// What each operation answers, and which were called.
#[derive(Debug, Clone, Default)]
pub(super) struct Script(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    answers: BTreeMap<String, (u16, String)>,
    calls: Vec<String>,
}

impl Script {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_xml(operation: &str) -> bool {
        XML.iter().any(|service| operation.starts_with(&format!("{service}:")))
    }

    /// From now on, the operation answers this: JSON, or what stands within an answer in XML.
    pub(super) fn tells(&self, operation: &str, body: &str) {
        let name = operation.rsplit(':').next().unwrap_or_default();
        let body = if Self::is_xml(operation) {
            format!("<{name}Response><{name}Result>{body}</{name}Result></{name}Response>")
        } else {
            body.to_owned()
        };
        self.book().answers.insert(operation.to_owned(), (200, body));
    }

    /// From now on, the operation is not allowed.
    pub(super) fn refuses(&self, operation: &str) {
        let message = format!("User: arn:aws:iam::{ACCOUNT}:user/tests is not authorized to perform: {operation}");
        let answer = if Self::is_xml(operation) {
            let error = format!("<Type>Sender</Type><Code>AccessDenied</Code><Message>{message}</Message>");
            (403, format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
        } else {
            (400, format!("{{\"__type\":\"AccessDeniedException\",\"message\":\"{message}\"}}"))
        };
        self.book().answers.insert(operation.to_owned(), answer);
    }

    /// What was called, in order, but for the question who we are.
    pub(super) fn calls(&self) -> Vec<String> {
        self.book().calls.iter().filter(|call| *call != "sts:GetCallerIdentity").cloned().collect()
    }

    pub(super) fn count(&self, operation: &str) -> usize {
        self.book().calls.iter().filter(|call| *call == operation).count()
    }
}

impl HttpClient for Script {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.extension::<Operation>().map_or_else(String::new, |Operation(name)| name.clone());
        let mut book = self.book();
        book.calls.push(operation.clone());
        let untold = || (400, format!("{{\"__type\":\"ValidationException\",\"message\":\"untold: {operation}\"}}"));
        let (status, body) = book.answers.get(&operation).cloned().unwrap_or_else(untold);
        let status = StatusCode::try_from(status).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

/// A clock that is set by hand.
#[derive(Debug)]
pub(super) struct HandClock(AtomicI64);

impl HandClock {
    pub(super) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

struct NoSlots;

#[async_trait]
impl Slots for NoSlots {
    async fn take_slot(&self, _: &str, _: &str, _: &BTreeSet<u32>, _: u32) -> PortResult<Option<u32>> {
        Ok(None)
    }

    async fn free_slot(&self, _: &str, _: &str) -> PortResult<()> {
        Ok(())
    }

    async fn slots(&self, _: &str) -> PortResult<Vec<(u32, String)>> {
        Ok(Vec::new())
    }
}

/// The adapter over a [`Script`], with a stage of one service, `web`. It is one second after the epoch.
pub(super) struct Scripted {
    pub(super) shared: Arc<Shared>,
    pub(super) script: Script,
    pub(super) clock: Arc<HandClock>,
    pub(super) stage: StageId,
    pub(super) place: Place,
}

impl Scripted {
    pub(super) fn new() -> Self {
        let (script, clock) = (Script::default(), Arc::new(HandClock(AtomicI64::new(1_000))));
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/tests");
        let caller = format!("<Arn>{arn}</Arn><UserId>A</UserId><Account>{ACCOUNT}</Account>");
        script.tells("sts:GetCallerIdentity", &caller);
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let own = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::disabled())
            .build();
        let settings = AwsSettings {
            name: "greenroom".into(),
            endpoint: None,
            registry: None,
            nat_gateways: NatGateways::None,
            preview_capacity: PreviewCapacity::Fargate,
            permissions_boundary: None,
            proxy: None,
            clock: Arc::<HandClock>::clone(&clock),
            slots: Arc::new(NoSlots),
        };
        let names = Names::new(&settings.name);
        let sessions = Sessions::through(names.clone(), own, SharedHttpClient::new(script.clone()));
        let (begun, rollouts) = (stack::Begun::default(), rollout::Memory::default());
        let (lately, said) = (lately::Lately::default(), once::SaidOnce::default());
        let shared = Arc::new(Shared { settings, names, sessions, begun, rollouts, lately, said });
        let stage = StageId { repo: "acme/shop".parse().unwrap(), name: "pr-1".parse().unwrap() };
        Self { shared, script, clock, stage, place: Place::default() }
    }

    pub(super) fn site(&self) -> Site<'_> {
        Site { stage: &self.stage, place: &self.place }
    }

    pub(super) async fn clients(&self) -> Arc<Clients> {
        self.shared.sessions.at(self.site()).await.expect("clients")
    }

    /// From now on, CloudFormation says that the stage's stack, which has its service, is at `status`.
    pub(super) fn has_stack(&self, status: &str) {
        let pair = |key: &str, value: &str, kind: &str| {
            format!("<{kind}Key>{key}</{kind}Key><{kind}Value>{value}</{kind}Value>")
        };
        let outputs = [
            ("Blueprint", "b1"),
            ("Cluster", "previews"),
            ("ExecutionRole", "arn:role"),
            ("TaskRole", "arn:role"),
            ("Subnets", "subnet-1"),
            ("SecurityGroup", "sg-1"),
            ("PublicAddress", "ENABLED"),
            ("Service1", "web,pr-1-web,arn:target-group,/greenroom/acme/shop/pr-1/web"),
        ];
        let member = |inner: String| format!("<member>{inner}</member>");
        let outputs: String = outputs.iter().map(|(key, value)| member(pair(key, value, "Output"))).collect();
        let tags = [(TAG_OWNER, "greenroom"), (TAG_REPO, "acme/shop"), (TAG_STAGE, "pr-1")];
        let tags: String = tags.iter().map(|(key, value)| member(pair(key, value, ""))).collect();
        let name = self.shared.names.stage_stack(&self.stage);
        self.script.tells(
            "cloudformation:DescribeStacks",
            &format!(
                "<Stacks><member><StackId>arn:stack</StackId><StackName>{name}</StackName>\
                 <CreationTime>1970-01-01T00:00:00Z</CreationTime><StackStatus>{status}</StackStatus>\
                 <Outputs>{outputs}</Outputs><Tags>{tags}</Tags></member></Stacks>"
            ),
        );
    }
}

/// What the stage's stack answers, made from `blueprint`.
pub(super) fn answered(blueprint: &str) -> StageStack {
    let web = StageService {
        service: "pr-1-web".into(),
        target_group: Some("arn:target-group".into()),
        log_group: "/greenroom/acme/shop/pr-1/web".into(),
    };
    StageStack {
        id: "arn:stack".into(),
        status: "CREATE_COMPLETE".into(),
        blueprint: Some(blueprint.to_owned()),
        cluster: "previews".into(),
        execution_role: "arn:role".into(),
        task_role: "arn:role".into(),
        subnets: vec!["subnet-1".into()],
        security_group: "sg-1".into(),
        public_address: true,
        services: [("web".parse().unwrap(), web)].into(),
    }
}

/// A stage of one service, as it is deployed.
pub(super) fn spec(stage: &StageId) -> StageSpec {
    let image = ImageSpec {
        context: ".".into(),
        dockerfile: "Dockerfile".into(),
        target: None,
        platform: None,
        args: BTreeMap::new(),
    };
    let service = ServiceSpec {
        name: "web".parse().unwrap(),
        runtime: Runtime::Image(image),
        port: Some(8080),
        host: None,
        url: None,
        size: Size { cpu: 256, memory: 512 },
        scale: Scale { min: 1, max: 1, cpu: None, memory: None },
        health: Health {
            path: "/health".into(),
            status: 200,
            interval: Seconds(1),
            timeout: Seconds(5),
            healthy: 2,
            unhealthy: 3,
            grace: Seconds(30),
        },
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        migrate: None,
        needs: vec![],
        paths: vec![],
        drain: Seconds(2),
        canary: None,
        edition: None,
    };
    StageSpec {
        stage: stage.clone(),
        sha: "0123456789012345678901234567890123456789".parse().unwrap(),
        pull: None,
        kind: StageKind::Ephemeral,
        place: Place::default(),
        services: vec![service],
        expires: None,
        digest: "digest".into(),
        file: String::new(),
        origin: None,
        trust: Trust::Preview,
        pinned: None,
        label: None,
        builds: crate::model::Builds::default(),
        only: Vec::new(),
    }
}
