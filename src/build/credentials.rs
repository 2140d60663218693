//! Logins for registries: this host's Docker configuration, and a private copy with one login more.
//!
//! # Guarantees
//!
//! - A login that we were given is in a folder that only this user can read, for as long as one
//!   command runs; never on a command line, never in the user's own configuration.
//! - The user's other logins, credential helpers and plugins go on working beside it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::docker::Docker;
use crate::port::RegistryLogin;

/// How long a credential helper may take; it may ask another machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// The key of Docker Hub. Source: Docker's documentation, `docker login`.
const HUB: &str = "https://index.docker.io/v1/";

/// The Docker configuration of this host, as far as it can be read.
#[derive(Debug, Clone, Default)]
pub(super) struct HostConfig {
    folder: Option<PathBuf>,
    content: Map<String, Value>,
}

impl HostConfig {
    /// Where the command line looks. Blocks for one small file; what cannot be read is nothing.
    pub(super) fn read(docker: &Docker) -> Self {
        let own = docker.variable("DOCKER_CONFIG").map(PathBuf::from);
        let folder = own.or_else(|| docker.variable("HOME").map(|home| Path::new(home).join(".docker")));
        let text = folder.as_ref().and_then(|folder| fs::read(folder.join("config.json")).ok());
        let content = match text.and_then(|text| serde_json::from_slice(&text).ok()) {
            Some(Value::Object(content)) => content,
            _ => Map::new(),
        };
        Self { folder, content }
    }

    /// The login that this host has for a registry.
    pub(super) async fn login(&self, docker: &Docker, host: &str) -> Option<RegistryLogin> {
        let key = if host == "docker.io" { HUB } else { host };
        let text = |value: &Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
        let own_helper = self.content.get("credHelpers").and_then(|helpers| helpers.get(key)).and_then(text);
        match own_helper.or_else(|| self.content.get("credsStore").and_then(text)) {
            Some(helper) => ask_helper(docker, &helper, key).await,
            None => stored(self.content.get("auths")?.get(key)?),
        }
    }

    /// A private copy with this login.
    pub(super) fn with_login(&self, below: &Path, host: &str, login: &RegistryLogin) -> io::Result<PrivateConfig> {
        fs::create_dir_all(below)?;
        let owner_alone = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("docker-").permissions(owner_alone).tempdir_in(below)?;
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.path().join("config.json"))?;
        file.write_all(&serde_json::to_vec(&content_with(self.content.clone(), host, login))?)?;
        // Plugins, contexts and builders are found beside the configuration.
        for entry in self.folder.iter().flat_map(fs::read_dir).flatten().flatten() {
            if entry.file_name() != "config.json" {
                symlink(entry.path(), folder.path().join(entry.file_name()))?;
            }
        }
        Ok(PrivateConfig { folder })
    }
}

/// A folder for `docker --config`, gone when dropped.
#[derive(Debug)]
pub(super) struct PrivateConfig {
    folder: TempDir,
}

impl PrivateConfig {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A configuration in which this login counts for its host.
///
/// A store (`credsStore`) would be asked instead of what stands in the file, for every host: it
/// becomes the helper of those hosts that it is known to serve.
fn content_with(mut content: Map<String, Value>, host: &str, login: &RegistryLogin) -> Map<String, Value> {
    let store = content.remove("credsStore").filter(Value::is_string);
    let mut auths = object(content.remove("auths"));
    let mut helpers = object(content.remove("credHelpers"));
    if let Some(store) = store {
        for served in auths.keys() {
            helpers.entry(served).or_insert_with(|| store.clone());
        }
    }
    helpers.remove(host);
    let token = STANDARD.encode(format!("{}:{}", login.user, login.password.expose_secret()));
    auths.insert(host.to_owned(), json!({ "auth": token }));
    content.insert("auths".into(), Value::Object(auths));
    content.insert("credHelpers".into(), Value::Object(helpers));
    content
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// A login as the file itself holds it.
fn stored(entry: &Value) -> Option<RegistryLogin> {
    let field = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (user, password) = match field("auth") {
        Some(auth) => {
            let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            (user.to_owned(), password.trim_end_matches('\0').to_owned())
        }
        None => (field("username")?.to_owned(), field("password")?.to_owned()),
    };
    Some(RegistryLogin { user, password: SecretString::from(password) })
}

/// Source: github.com/docker/docker-credential-helpers, "Development": the host goes in on standard
/// input, `Username` and `Secret` come out as JSON.
async fn ask_helper(docker: &Docker, helper: &str, key: &str) -> Option<RegistryLogin> {
    let is_name = helper.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !is_name {
        return None;
    }
    let mut command = Command::new(format!("docker-credential-{helper}"));
    docker.environment(&mut command);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let answer = async {
        let mut child = command.spawn().ok()?;
        child.stdin.take()?.write_all(key.as_bytes()).await.ok()?;
        child.wait_with_output().await.ok()
    };
    let output = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
    let output = output.filter(|output| output.status.success());
    let Some(output) = output else {
        tracing::debug!(helper, "the credential helper has no login for the registry");
        return None;
    };
    let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
    let field = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(RegistryLogin { user: field("Username")?, password: SecretString::from(field("Secret")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> RegistryLogin {
        RegistryLogin { user: "AWS".into(), password: SecretString::from("hush") }
    }

    fn config(text: &str) -> HostConfig {
        let Ok(Value::Object(content)) = serde_json::from_str(text) else { panic!("JSON: {text}") };
        HostConfig { folder: None, content }
    }

    #[test]
    fn the_users_logins_go_on_working_beside_ours() {
        let users = config(
            r#"{"auths":{"registry.example":{"auth":"eA=="},"https://index.docker.io/v1/":{}},"credsStore":"desktop",
                "credHelpers":{"ours.example":"ecr-login","gcr.example":"gcloud"},"proxies":{"default":{}}}"#,
        );
        let merged = Value::Object(content_with(users.content, "ours.example", &login()));
        insta::assert_json_snapshot!(merged, @r#"
        {
          "auths": {
            "https://index.docker.io/v1/": {},
            "ours.example": {
              "auth": "QVdTOmh1c2g="
            },
            "registry.example": {
              "auth": "eA=="
            }
          },
          "credHelpers": {
            "gcr.example": "gcloud",
            "https://index.docker.io/v1/": "desktop",
            "registry.example": "desktop"
          },
          "proxies": {
            "default": {}
          }
        }
        "#);
    }

    #[tokio::test]
    async fn a_login_of_the_host_is_found_where_docker_finds_it() {
        let auth = STANDARD.encode("me:pass:word");
        let host = config(&format!(
            r#"{{"auths":{{"a.example":{{"auth":"{auth}"}},"{HUB}":{{"username":"u","password":"p"}}}}}}"#
        ));
        let docker = Docker::new("docker".into(), Vec::new());
        let of = async |name: &str| {
            let login = host.login(&docker, name).await;
            login.map(|login| (login.user, login.password.expose_secret().to_owned()))
        };
        assert_eq!(of("a.example").await, Some(("me".into(), "pass:word".into())));
        assert_eq!(of("docker.io").await, Some(("u".into(), "p".into())));
        assert_eq!(of("b.example").await, None);
    }

    #[tokio::test]
    async fn a_credential_helper_is_asked_for_its_host_alone() {
        let bin = tempfile::tempdir().expect("a folder");
        let script = "#!/bin/sh\nread host\n[ \"$1 $host\" = \"get h.example\" ] || exit 1\n\
                      echo '{\"ServerURL\":\"h\",\"Username\":\"u\",\"Secret\":\"s\"}'\n";
        let path = bin.path().join("docker-credential-test");
        fs::write(&path, script).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file");
        let path = format!("{}:/usr/bin:/bin", bin.path().display());
        let docker = Docker::new("docker".into(), vec![("PATH".into(), path)]);
        let host =
            config(r#"{"credHelpers":{"h.example":"test","evil.example":"../../bin/sh"},"credsStore":"missing"}"#);
        assert_eq!(host.login(&docker, "h.example").await.expect("a login").user, "u");
        assert!(host.login(&docker, "evil.example").await.is_none());
        assert!(host.login(&docker, "other.example").await.is_none());
    }

    #[test]
    fn the_private_copy_is_private_and_leaves_nothing() {
        let (home, below) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        fs::create_dir(home.path().join("cli-plugins")).expect("a folder");
        fs::write(home.path().join("config.json"), r#"{"currentContext":"far"}"#).expect("a file");
        let env = vec![("DOCKER_CONFIG".to_owned(), home.path().display().to_string())];
        let host = HostConfig::read(&Docker::new("docker".into(), env));
        let private = host.with_login(&below.path().join("logins"), "r.example", &login()).expect("a copy");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let file = private.path().join("config.json");
        assert_eq!((mode(private.path()), mode(&file)), (0o700, 0o600));
        let text = fs::read_to_string(&file).expect("a file");
        assert!(text.contains("far") && text.contains("r.example"), "{text}");
        assert!(private.path().join("cli-plugins").is_dir());
        drop(private);
        assert_eq!(fs::read_dir(below.path().join("logins")).expect("a folder").count(), 0);
        assert!(home.path().join("cli-plugins").is_dir(), "what was linked stays");
        let users = fs::read_to_string(home.path().join("config.json")).expect("a file");
        assert_eq!(users, r#"{"currentContext":"far"}"#);
    }
}
