//! The Docker engine, asked from outside.

use std::path::Path;
use std::process::Command;

use greenroom::model::RepoName;
use greenroom::sandbox::FileChange;

use crate::server::inherited;

/// What a container of mode `exit` says last.
pub(crate) const LAST_WORDS: &str = "cannot go on: the cupboard is bare";

/// Runs at the start of every container. It answers only once it has told its journal, and a version
/// of mode `gate` only once somebody has made the file `/gate` inside it.
const SERVE: &str = "\
read name mode < /app
echo start $name
if [ \"$mode\" = exit ]; then echo starting; echo 'cannot go on: the cupboard is bare' >&2; exit 3; fi
while [ \"$mode\" = gate ] && [ ! -e /gate ]; do sleep 0.1; done
mkdir -p /www
echo fine > /www/health
echo $name > /www/index.html
exec httpd -f -p $PORT -h /www
";

/// The build takes a while, so that there is time to kill the server; its last step differs with
/// the commit, so that nothing of it is cached.
const DOCKERFILE: &str = "\
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
COPY serve /serve
COPY app run /
RUN echo begun; read name mode < /app; if [ \"$mode\" = slow ]; then sleep 3; fi
CMD [\"/bin/sh\", \"/serve\"]
";

pub(crate) const CONFIG: &str = r#"
version: 1
app: shop
services:
  web:
    kind: ecs
    build: { context: . }
    host: "@"
    port: 8080
    size: { cpu: 256, memory: 512 }
    health: { path: /health, interval: 1s, timeout: 1s, healthy: 1, unhealthy: 10 }
    drain: 5s
"#;

/// The repository of an app whose only service runs as a container made of a static busybox, so that
/// the engine needs no registry. `run` differs from run to run, so that nothing built earlier is found.
pub(crate) fn files(run: &Path) -> Vec<FileChange> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("busybox-static is needed: `tests/run` installs it");
    vec![
        FileChange::write(".github/greenroom.yml", CONFIG),
        FileChange::write("Dockerfile", DOCKERFILE),
        FileChange::write("serve", SERVE),
        FileChange::write("run", run.display().to_string()),
        FileChange::write("busybox", std::fs::read(busybox).expect("busybox can be read")),
    ]
}

/// A question to the engine; without an engine the test ends here and says what is missing.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).env_clear().envs(inherited()).output();
    let output = output.expect("the Docker command line is needed: `tests/run` installs it and starts an engine");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "docker {arguments:?} failed; these tests need a Docker engine, which `tests/run` starts: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Steps of a build run in containers too, which have the labels of their image alone.
const SERVICES: &str = "label=greenroom.version";

/// The names of the containers that a repository's services run in, running or not.
pub(crate) fn containers(repo: &RepoName) -> Vec<String> {
    lines(&docker(&["ps", "--all", "--filter", &label(repo), "--filter", SERVICES, "--format", "{{.Names}}"]))
}

/// What a container printed so far; nothing while it comes or goes.
pub(crate) fn printed(container: &str) -> String {
    let output = Command::new("docker").args(["logs", container]).env_clear().envs(inherited()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Everything that the engine has of a repository: containers, also of builds, and images, also those
/// without a name.
pub(crate) fn everything(repo: &RepoName) -> Vec<String> {
    let builds = docker(&["ps", "--all", "--filter", &label(repo), "--format", "{{.Names}}"]);
    [lines(&builds), images(repo)].concat()
}

fn images(repo: &RepoName) -> Vec<String> {
    lines(&docker(&["images", "--all", "--filter", &label(repo), "--format", "{{.ID}}"]))
}

/// The tags of a repository's images.
pub(crate) fn tags(repo: &RepoName) -> Vec<String> {
    let tags = docker(&["images", "--filter", &label(repo), "--format", "{{.Tag}}"]);
    lines(&tags).into_iter().filter(|tag| tag != "<none>").collect()
}

fn label(repo: &RepoName) -> String {
    format!("label=greenroom.repo={repo}")
}

/// Takes away what a test that failed left in the engine, which other tests share.
pub(crate) struct CleanUp(pub(crate) RepoName);

impl CleanUp {
    /// Takes it away whether or not it failed: its stages go on to the end.
    pub(crate) fn now(&self) {
        let forced = |verb: &[&str], names: Vec<String>| {
            for name in names {
                // The failure that left it is what the test tells.
                let _ = Command::new("docker").args(verb).arg(name).env_clear().envs(inherited()).output();
            }
        };
        forced(&["rm", "--force"], containers(&self.0));
        forced(&["rmi", "--force"], images(&self.0));
    }
}

impl Drop for CleanUp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.now();
        }
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
