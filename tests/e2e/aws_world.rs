//! The world of a test whose stages run on AWS: a MiniStack that runs tasks as containers, and a
//! load balancer's part before it.

use std::path::Path;

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::StackStatus;
use greenroom::model::RepoName;
use greenroom::sandbox::FileChange;

use crate::clients::{self, Load};
use crate::database::{self, Database};
use crate::docker::{CleanUp, docker};
use crate::edge::{Edge, Targets};
use crate::estate::{Estate, stacks};
use crate::ministack::{Containers, MiniStack};
use crate::world::World;

/// Begins every name that the server makes on AWS.
pub(crate) const NAME: &str = "greenroom";
const OWNER: &str = "acme";
const ZONE: &str = "example.test";

/// What a container of mode `exit` says last.
pub(crate) const LAST_WORDS: &str = "cannot go on: the cupboard is bare";
/// What a migration of mode `unmigrated` says last.
pub(crate) const LAST_WORDS_OF_MIGRATION: &str = "the table is locked";

pub(crate) const CONFIG: &str = r#"
version: 1
app: shop
domain: { zone: example.test, dns: none }
stages:
  staging: { on: { push: staging } }
  "pr-{number}": { on: { pull_request: {} } }
services:
  web:
    kind: ecs
    build: { context: . }
    host: "@"
    port: 8080
    size: { cpu: 256, memory: 512 }
    health: { path: /health, interval: 5s, timeout: 2s, healthy: 2, unhealthy: 2 }
    migrate: { command: ["/bin/sh", "/migrate"] }
    drain: 5s
"#;

/// The configuration in which one copy of a new version is watched for so long.
pub(crate) fn with_canary(span: &str) -> String {
    CONFIG.replace("    drain: 5s\n", &format!("    drain: 5s\n    canary: {span}\n"))
}

const SERVE: &str = "\
read name mode < /app
echo start $name
if [ \"$mode\" = exit ]; then echo starting; echo 'cannot go on: the cupboard is bare' >&2; exit 3; fi
if [ \"$mode\" = stuck ]; then exec sleep 600; fi
mkdir -p /www
echo fine > /www/health
echo $name > /www/index.html
exec httpd -f -p 8080 -h /www
";

const MIGRATE: &str = "\
read name mode < /app
echo migrate $name
if [ \"$mode\" = unmigrated ]; then echo 'the table is locked' >&2; exit 4; fi
";

const DOCKERFILE: &str = "\
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
COPY serve migrate app run /
CMD [\"/bin/sh\", \"/serve\"]
";

/// A GitHub, a server, an AWS and its load balancer.
pub(crate) struct AwsWorld {
    pub(crate) w: World,
    pub(crate) config: SdkConfig,
    pub(crate) edge: Edge,
    pub(crate) aws: MiniStack,
    /// As what the server knows the repository, whatever it is called by now.
    key: RepoName,
    _clean_up: CleanUp,
}

/// A repository with this configuration. `run` differs from run to run, so that nothing built earlier is
/// found.
pub(crate) fn files(run: &Path, config: &str) -> Vec<FileChange> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("busybox-static is needed: `tests/run` installs it");
    vec![
        FileChange::write(".github/greenroom.yml", config),
        FileChange::write("Dockerfile", DOCKERFILE),
        FileChange::write("serve", SERVE),
        FileChange::write("migrate", MIGRATE),
        FileChange::write("run", run.display().to_string()),
        FileChange::write("busybox", std::fs::read(busybox).expect("busybox can be read")),
    ]
}

impl AwsWorld {
    pub(crate) async fn new() -> Self {
        Self::with(CONFIG, Vec::new()).await
    }

    /// The same with another configuration, and more in the server's environment.
    pub(crate) async fn with(config_file: &str, more: Vec<(&'static str, String)>) -> Self {
        Self::behind("", config_file, more).await
    }

    /// The same, after a shell has done something.
    pub(crate) async fn behind(before: &str, config_file: &str, more: Vec<(&'static str, String)>) -> Self {
        Self::on(Database::Sqlite, before, config_file, more).await
    }

    /// The same, on this database.
    pub(crate) async fn on(
        database: Database,
        before: &str,
        config_file: &str,
        more: Vec<(&'static str, String)>,
    ) -> Self {
        docker(&["version"]);
        let aws = MiniStack::start(Containers::Real).await;
        let config = aws.config().await;
        let edge = Edge::start(&config, Targets::Registered).await;
        let mut environment = aws.environment();
        environment.extend([
            ("GREENROOM_TARGET", "aws".into()),
            ("GREENROOM_REGISTRY", aws.registry()),
            ("HTTP_PROXY", edge.url()),
            ("NO_PROXY", "localhost,127.0.0.1".into()),
        ]);
        environment.extend(more);
        let w = World::begin_on(database, before, environment, |run| files(run, config_file)).await;
        let (key, clean_up) = (w.repo.clone(), CleanUp(w.repo.clone()));
        Self { w, config, edge, aws, key, _clean_up: clean_up }
    }

    /// Asks a stage through the load balancer; what breaks counts as status 0.
    pub(crate) async fn ask_stage(&self, stage: &str) -> (u16, String) {
        let answer = clients::get(self.edge.address, &format!("{stage}.{ZONE}"), "/").await;
        answer.unwrap_or_else(|error| (0, error))
    }

    pub(crate) async fn ask(&self) -> (u16, String) {
        self.ask_stage(&format!("pr-{}", self.w.pull)).await
    }

    pub(crate) fn address(&self) -> String {
        format!("http://pr-{}.{ZONE}", self.w.pull)
    }

    pub(crate) async fn load(&self) -> Load {
        Load::start(self.edge.address, &format!("pr-{}.{ZONE}", self.w.pull), 2).await
    }

    /// What stands on AWS because of stages.
    pub(crate) async fn estate(&self) -> Estate {
        Estate::read(&self.config, NAME, OWNER).await
    }

    /// Makes a stack that is none of the server's, and waits until it is complete.
    pub(crate) async fn make_stack(&self, name: &str, template: &str) {
        let cloudformation = aws_sdk_cloudformation::Client::new(&self.config);
        let create = cloudformation.create_stack().stack_name(name).template_body(template).send();
        create.await.expect("a stack");
        self.w
            .until(&format!("the stack {name} is complete"), async || {
                let told = cloudformation.describe_stacks().stack_name(name).send().await.expect("the stack");
                told.stacks().iter().any(|stack| stack.stack_status() == Some(&StackStatus::CreateComplete))
            })
            .await;
    }

    /// The stacks that stages share.
    pub(crate) async fn foundations(&self) -> Vec<String> {
        stacks(&self.config).await.into_iter().filter(|stack| stack.contains("foundation")).collect()
    }

    /// How often each line was printed by the stage's programs, as CloudWatch Logs has it.
    pub(crate) async fn printed(&self, line: &str) -> usize {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.config);
        let mut count = 0;
        for group in self.estate().await.log_groups {
            let events = logs.filter_log_events().log_group_name(group).send().await;
            let events = events.expect("the log can be read").events.unwrap_or_default();
            count += events.iter().filter(|event| event.message().is_some_and(|said| said.trim() == line)).count();
        }
        count
    }

    /// One of everything, and the task that runs it.
    pub(crate) async fn stands_once(&self) {
        let all_is_one = async || {
            let estate = self.estate().await;
            let lists = [&estate.stacks, &estate.services, &estate.target_groups, &estate.rules, &estate.definitions];
            lists.iter().all(|list| list.len() == 1) && estate.tasks.len() == 1 && self.aws.containers().len() == 1
        };
        self.w.until(&format!("there is one of everything: {:#?}", self.estate().await), all_is_one).await;
    }

    /// Waits until nothing of the stages is left: by asking GitHub, the database, MiniStack and Docker.
    pub(crate) async fn nothing_is_left(&self) {
        self.w.comment_says("Destroyed at").await;
        assert!(self.w.comment().is_some_and(|comment| comment.contains(", 0 of ")), "{:?}", self.w.comment());
        self.w.until("the environment goes", async || self.w.github.environments(&self.w.repo).is_empty()).await;
        let stages = database::stages(&self.w.home.database_url()).await;
        assert!(stages.iter().all(|stage| stage.ends_with(": gone")), "{stages:?}");
        assert_eq!(self.estate().await.lines(), Vec::<String>::new(), "AWS has something left");
        // MiniStack calls a task stopped, and then gives its container seconds to go. Who asked waits for
        // that; a server that was killed meanwhile does not ask again.
        self.w.until("the containers stop", async || self.aws.containers().is_empty()).await;
        assert_eq!(self.images(), Vec::<String>::new(), "the engine has images left");
        assert_eq!(self.ask().await.0, 404, "the host answers still");
        let states = self.w.github.deployments(&self.w.repo);
        assert!(states.iter().all(|made| made.state() == "inactive"), "{states:#?}");
    }

    /// What the engine has of the stage. What MiniStack pulled from its own registry to run it is on
    /// AWS no concern of this machine, and what the next build of the repository begins from stays.
    fn images(&self) -> Vec<String> {
        let pulled = format!("{}/", self.aws.registry());
        let label = format!("label=greenroom.repo={}", self.key);
        let images = docker(&["images", "--filter", &label, "--format", "{{.Repository}}:{{.Tag}}"]);
        let is_pulled = |line: &str| line.starts_with(&pulled) && line.ends_with(":<none>");
        let is_shared = |line: &str| line.contains("/shared/web:newest-");
        images.lines().filter(|line| !is_pulled(line) && !is_shared(line)).map(str::to_owned).collect()
    }

    /// The end of every test.
    pub(crate) async fn finish(self) {
        self.w.finish().await;
    }
}
