//! `greenroom doctor` against an AWS that asks its callers for permissions.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::ministack::{ACCOUNT, Containers, Guard, MiniStack, REGION};
use aws_sdk_iam::Client as Iam;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::process::Command;

const ROLE: &str = "greenroom-stages";
const ZONE: &str = "example.com";

/// An account with a server's user and a role for the stages of acme/shop.
struct Account {
    aws: MiniStack,
    iam: Iam,
    folder: TempDir,
    keys: (String, String),
}

/// What a run said.
struct Said {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Said {
    /// The one finding of that name.
    fn of(&self, check: &str) -> (&str, &str, &str) {
        let mut found = self.findings.iter().filter(|finding| finding["check"] == check);
        let (Some(finding), None) = (found.next(), found.next()) else { panic!("{check}: {:#?}", self.findings) };
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        (text("health"), text("seen"), text("fix"))
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command.env_clear().kill_on_drop(true);
    command
}

async fn policy(whose: &str) -> String {
    let output = program().args(["doctor", "--policy", whose]).output().await.expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The policy without its conditions: MiniStack's simulation is given none of the context that AWS's is.
async fn unconditional(whose: &str) -> Value {
    let mut document: Value = serde_json::from_str(&policy(whose).await).expect("JSON");
    for statement in document["Statement"].as_array_mut().expect("statements") {
        statement.as_object_mut().expect("a statement").remove("Condition");
    }
    document
}

impl Account {
    async fn new() -> Self {
        let aws = MiniStack::start_as(Containers::Pretended, Guard::Policies).await;
        let iam = Iam::new(&aws.config().await);
        iam.create_user().user_name("server").send().await.expect("a user");
        let own = policy("server").await;
        let put = iam.put_user_policy().user_name("server").policy_name("server").policy_document(own);
        put.send().await.expect("the user's policy");
        let key = iam.create_access_key().user_name("server").send().await.expect("a key");
        let key = key.access_key().expect("a key");
        let keys = (key.access_key_id().to_owned(), key.secret_access_key().to_owned());
        let user = format!("arn:aws:iam::{ACCOUNT}:user/server");
        let trust = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": { "AWS": user }, "Action": "sts:AssumeRole",
              "Condition": { "StringEquals": { "sts:ExternalId": "acme/shop" } } },
            { "Effect": "Allow", "Principal": { "AWS": user }, "Action": "sts:TagSession" },
        ] });
        let role = iam.create_role().role_name(ROLE).assume_role_policy_document(trust.to_string());
        role.send().await.expect("a role");
        for whose in ["stages", "foundation"] {
            let put = iam.put_role_policy().role_name(ROLE).policy_name(whose);
            put.policy_document(unconditional(whose).await.to_string()).send().await.expect("the role's policy");
        }
        let folder = TempDir::new().expect("a folder");
        let file = format!(
            "version: 1\napp: shop\n\
             aws: {{ region: {REGION}, account: \"{ACCOUNT}\", role: \"arn:aws:iam::{ACCOUNT}:role/{ROLE}\" }}\n\
             domain: {{ zone: {ZONE}, dns: route53 }}\n\
             services:\n  web: {{ kind: ecs, build: {{ context: . }}, host: \"@\", port: 80, health: {{ path: / }} }}\n"
        );
        std::fs::write(folder.path().join("greenroom.yml"), file).expect("written");
        Self { aws, iam, folder, keys }
    }

    fn file(&self) -> &Path {
        self.folder.path()
    }

    async fn doctor(&self, repo: &str, resolver: &str) -> Said {
        let output = program()
            .envs(self.aws.environment())
            .env("AWS_ACCESS_KEY_ID", &self.keys.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.keys.1)
            .current_dir(self.file())
            .args(["--json", "doctor", "greenroom.yml", "--repo", repo, "--resolver", resolver])
            .output()
            .await
            .expect("the program runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let findings = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}:\n{out}{err}"));
        Said { code: output.status.code(), findings }
    }
}

/// A resolver that names these servers for whatever is asked, and its address.
async fn resolver(servers: Vec<String>) -> String {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let mut answer = bytes[..length].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[7] = u8::try_from(servers.len()).expect("few");
            for server in &servers {
                let labels = server.split('.').map(|label| (u8::try_from(label.len()).expect("short"), label));
                let mut name: Vec<u8> =
                    labels.flat_map(|(length, label)| [&[length], label.as_bytes()].concat()).collect();
                name.push(0);
                answer.extend([0xc0, 12, 0, 2, 0, 1, 0, 0, 0, 60, 0, u8::try_from(name.len()).expect("short")]);
                answer.extend(name);
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

#[tokio::test]
async fn the_generated_policies_are_enough_and_one_statement_less_is_not() {
    let account = Account::new().await;
    let nobody = resolver(Vec::new()).await;
    let said = account.doctor("acme/shop", &nobody).await;
    let (health, seen, _) = said.of("role of previews");
    assert_eq!(health, "ok", "{seen}");
    let (health, seen, _) = said.of("permissions of previews");
    assert_eq!(health, "ok", "{seen}");
    assert!(said.of("identity").1.contains("user/server"));

    let mut less = unconditional("stages").await;
    let statements = less["Statement"].as_array_mut().expect("statements");
    statements.retain(|statement| statement["Sid"] != "Images");
    let put = account.iam.put_role_policy().role_name(ROLE).policy_name("stages").policy_document(less.to_string());
    put.send().await.expect("the role's policy");
    let said = account.doctor("acme/shop", &nobody).await;
    let (health, seen, fix) = said.of("permissions of previews");
    assert_eq!((health, said.code), ("fail", Some(1)), "{seen}");
    assert!(seen.contains("ecr:PutImage") || seen.contains("ecr:BatchCheckLayerAvailability"), "{seen}");
    assert!(fix.contains("Images"), "{fix}");
}

#[tokio::test]
async fn a_repository_cannot_use_a_role_that_trusts_another() {
    let account = Account::new().await;
    let nobody = resolver(Vec::new()).await;
    let said = account.doctor("evil/shop", &nobody).await;
    let (health, seen, _) = said.of("role of previews");
    assert_eq!((health, said.code), ("fail", Some(1)), "{seen}");
    assert!(seen.contains("sts:AssumeRole") && seen.contains("\"sts:ExternalId\":\"evil/shop\""), "{seen}");
}

#[tokio::test]
async fn a_zone_that_the_world_does_not_ask_route_53_for_is_found() {
    let account = Account::new().await;
    let nobody = resolver(Vec::new()).await;
    let missing = account.doctor("acme/shop", &nobody).await;
    let (health, seen, fix) = missing.of("delegation of the zone");
    assert_eq!(health, "fail", "{seen}");
    assert!(fix.contains("create-hosted-zone"), "{fix}");

    let zones = aws_sdk_route53::Client::new(&account.aws.config().await);
    let zone = zones.create_hosted_zone().name(ZONE).caller_reference("doctor").send().await.expect("a zone");
    let servers = zone.delegation_set().expect("its servers").name_servers().to_vec();
    let right = account.doctor("acme/shop", &resolver(servers).await).await;
    let (health, seen, _) = right.of("delegation of the zone");
    assert_eq!(health, "ok", "{seen}");
    let wrong = account.doctor("acme/shop", &resolver(vec!["ns1.registrar.example".into()]).await).await;
    let (health, seen, _) = wrong.of("delegation of the zone");
    assert_eq!((health, wrong.code), ("fail", Some(1)), "{seen}");
    assert!(seen.contains("ns1.registrar.example"), "{seen}");
}
