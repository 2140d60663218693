//! `greenroom doctor` against an AWS that asks its callers for permissions.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::ministack::{ACCOUNT, Containers, Guard, MiniStack, REGION};
use aws_sdk_iam::Client as Iam;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Command;

const ROLE: &str = "greenroom-previews";
const POLICIES: [&str; 4] = ["previews", "previews-routes", "previews-foundation", "previews-network"];
const ZONE: &str = "example.com";

/// An account with a server's user and a role for the stages of acme/shop.
struct Account {
    aws: MiniStack,
    iam: Iam,
    folder: TempDir,
    keys: (String, String),
    /// Where the doctor asks in place of AWS itself.
    endpoint: Option<String>,
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

/// The policy without its conditions: MiniStack's simulation is given none of the context that AWS's is;
/// with the values of the session's tags in the place of their variables, which MiniStack does not know.
async fn unconditional(whose: &str) -> Value {
    let stack = stack_of_doctor();
    let tags = [("stack", stack.as_str()), ("images", "greenroom/acme/shop"), ("repo", "acme/shop"), ("stage", "pr-1")];
    let text = tags.iter().fold(policy(whose).await, |text, (tag, value)| {
        text.replace(&format!("${{aws:PrincipalTag/greenroom:{tag}}}"), value)
    });
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    for statement in document["Statement"].as_array_mut().expect("statements") {
        statement.as_object_mut().expect("a statement").remove("Condition");
        // Whose policies are simulated is no resource to MiniStack.
        if statement["Action"].to_string().contains("iam:SimulatePrincipalPolicy") {
            statement["Resource"] = json!("*");
        }
    }
    document
}

/// The stack of the preview that the doctor asks about.
fn stack_of_doctor() -> String {
    use sha2::{Digest as _, Sha256};

    format!("greenroom-pr-1-shop-{}", hex::encode(&Sha256::digest("acme/shop/pr-1")[..4]))
}

impl Account {
    async fn new() -> Self {
        let aws = MiniStack::start_as(Containers::Pretended, Guard::Policies).await;
        let iam = Iam::new(&aws.config().await);
        iam.create_user().user_name("server").send().await.expect("a user");
        let own = unconditional("server").await.to_string();
        let put = iam.put_user_policy().user_name("server").policy_name("server").policy_document(own);
        put.send().await.expect("the user's policy");
        let key = iam.create_access_key().user_name("server").send().await.expect("a key");
        let key = key.access_key().expect("a key");
        let keys = (key.access_key_id().to_owned(), key.secret_access_key().to_owned());
        let user = format!("arn:aws:iam::{ACCOUNT}:user/server");
        let trust = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": { "AWS": user }, "Action": "sts:AssumeRole",
              "Condition": { "StringEquals": { "sts:ExternalId": "acme/shop" } } },
            { "Effect": "Allow", "Principal": { "AWS": user }, "Action": "sts:TagSession",
              "Condition": { "StringEquals": { "aws:RequestTag/greenroom:repo": "acme/shop" } } },
        ] });
        let role = iam.create_role().role_name(ROLE).assume_role_policy_document(trust.to_string());
        role.send().await.expect("a role");
        for whose in POLICIES {
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
        Self { aws, iam, folder, keys, endpoint: None }
    }

    fn file(&self) -> &Path {
        self.folder.path()
    }

    async fn doctor(&self, repo: &str, resolver: &str) -> Said {
        // Where nobody listens: the machine's own may be set as it likes.
        self.doctor_with(repo, resolver, "127.0.0.1:1").await
    }

    async fn doctor_with(&self, repo: &str, resolver: &str, metadata: &str) -> Said {
        let output = program()
            .envs(self.aws.environment())
            .envs(self.endpoint.iter().map(|endpoint| ("AWS_ENDPOINT_URL", endpoint)))
            .env("AWS_ACCESS_KEY_ID", &self.keys.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.keys.1)
            .current_dir(self.file())
            .args(["--json", "doctor", "greenroom.yml", "--repo", repo, "--resolver", resolver])
            .args(["--metadata", metadata])
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
    for check in ["permissions of previews", "permissions for the foundation of previews", "permissions of the server"]
    {
        let (health, seen, _) = said.of(check);
        assert_eq!(health, "ok", "{check}: {seen}");
    }
    assert!(said.of("identity").1.contains("user/server"));

    let mut less = unconditional("previews").await;
    let statements = less["Statement"].as_array_mut().expect("statements");
    statements.retain(|statement| statement["Sid"] != "Images");
    let put = account.iam.put_role_policy().role_name(ROLE).policy_name("previews").policy_document(less.to_string());
    put.send().await.expect("the role's policy");
    let said = account.doctor("acme/shop", &nobody).await;
    let (health, seen, fix) = said.of("permissions of previews");
    assert_eq!((health, said.code), ("fail", Some(1)), "{seen}");
    assert!(seen.contains("ecr:PutImage") || seen.contains("ecr:BatchCheckLayerAvailability"), "{seen}");
    assert!(fix.contains("Images"), "{fix}");
}

/// What a stage needs and asks of all that there is: a policy for its own things alone is too small.
#[tokio::test]
async fn a_policy_that_lists_only_its_own_repositories_of_images_is_found_too_small() {
    let account = Account::new().await;
    let nobody = resolver(Vec::new()).await;
    let mut less = unconditional("previews").await;
    for statement in less["Statement"].as_array_mut().expect("statements") {
        if statement["Sid"] == "ListImages" {
            statement["Resource"] = json!(["arn:aws:ecr:*:*:repository/greenroom/*"]);
        }
    }
    let put = account.iam.put_role_policy().role_name(ROLE).policy_name("previews").policy_document(less.to_string());
    put.send().await.expect("the role's policy");
    let said = account.doctor("acme/shop", &nobody).await;
    let (health, seen, fix) = said.of("permissions of previews");
    assert_eq!((health, said.code), ("fail", Some(1)), "{seen}");
    assert!(seen.contains("ecr:DescribeRepositories") && fix.contains("ListImages"), "{seen} {fix}");
}

/// The printed policies where they are judged call by call: the session of one stage against what is
/// another's, and against the account.
#[tokio::test]
async fn a_session_with_the_printed_policies_does_not_give_the_account_away() {
    let account = Account::new().await;
    let tag = |key: &str, value: &str| aws_sdk_sts::types::Tag::builder().key(key).value(value).build().expect("a tag");
    let own = account.aws.config().await.into_builder();
    let keys = aws_credential_types::Credentials::new(&account.keys.0, &account.keys.1, None, None, "server");
    let own = own.credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(keys)).build();
    let role = format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}");
    let session = aws_sdk_sts::Client::new(&own).assume_role().role_arn(&role).role_session_name("pr-1");
    let session = session.external_id("acme/shop").tags(tag("greenroom:repo", "acme/shop")).send().await;
    let session = session.expect("a session").credentials.expect("its keys");
    let keys = aws_credential_types::Credentials::new(
        session.access_key_id(),
        session.secret_access_key(),
        Some(session.session_token().to_owned()),
        None,
        "session",
    );
    let mine = own.into_builder();
    let mine = mine.credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(keys)).build();
    let iam = Iam::new(&mine);
    let all = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } });
    let refused = [
        iam.put_role_policy().role_name(ROLE).policy_name("all").policy_document(all.to_string()).send().await.is_err(),
        iam.update_assume_role_policy().role_name(ROLE).policy_document(all.to_string()).send().await.is_err(),
        iam.create_user().user_name("evil").send().await.is_err(),
        iam.attach_role_policy()
            .role_name(ROLE)
            .policy_arn("arn:aws:iam::aws:policy/AdministratorAccess")
            .send()
            .await
            .is_err(),
    ];
    assert_eq!(refused, [true; 4]);
    // It is not that everything is refused.
    iam.get_role().role_name(ROLE).send().await.expect("what a doctor asks");
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

/// Whose role anybody in a container may take.
#[tokio::test]
async fn a_machine_whose_metadata_service_wants_no_token_is_found() {
    let account = Account::new().await;
    let nobody = resolver(Vec::new()).await;
    let said = account.doctor("acme/shop", &nobody).await;
    assert_eq!(said.of("metadata service").0, "ok");

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let metadata = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 512]).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nami-id").await;
        }
    });
    let said = account.doctor_with("acme/shop", &nobody, &metadata).await;
    let (health, seen, fix) = said.of("metadata service");
    assert_eq!((health, said.code), ("fail", Some(1)), "{seen}");
    assert!(fix.contains("--http-tokens required"), "{fix}");
}

/// Stands between the doctor and AWS at that port: its address, and what was asked on each connection.
async fn recorder(port: u16) -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let written = Arc::clone(&written);
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
                let ((mut questions, mut back), (mut answers, mut to)) = (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
                let number = {
                    let mut written = written.lock().expect("nobody panicked");
                    written.push(Vec::new());
                    written.len() - 1
                };
                let mut bytes = [0; 8192];
                while let Ok(read @ 1..) = questions.read(&mut bytes).await {
                    written.lock().expect("nobody panicked")[number].extend_from_slice(&bytes[..read]);
                    if to.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (endpoint, asked)
}

/// A made-up resource has no tags and lies nowhere: whatever is asked about that says nothing.
#[tokio::test]
async fn what_is_asked_is_of_the_foundation_that_is_there_and_with_what_aws_would_know() {
    use sha2::{Digest as _, Sha256};

    let mut account = Account::new().await;
    let nobody = resolver(Vec::new()).await;
    let roles = format!("Roles{}", hex::encode_upper(&Sha256::digest("acme/shop")[..16]));
    let role = |name: &str| format!("arn:aws:iam::{ACCOUNT}:role/greenroom/the-real-{name}");
    let remembered = json!({ "access": "previews", "nat": 0, "boundary": null, "protect": false, "root": false,
                             "doors": 0, "zones": [], "repositories": ["acme/shop"] });
    let mut outputs = json!({ "Cluster": { "Value": "the-real-cluster" }, "Vpc": { "Value": "vpc-1" },
                              "Subnets": { "Value": "subnet-1" }, "SecurityGroup": { "Value": "sg-1" },
                              "PublicAddress": { "Value": "ENABLED" }, "Remembered": { "Value": remembered.to_string() } });
    outputs[&roles] = json!({ "Value": format!("{},{}", role("execution"), role("task")) });
    let template = json!({ "Resources": { "Logs": { "Type": "AWS::Logs::LogGroup" } }, "Outputs": outputs });
    let stacks = aws_sdk_cloudformation::Client::new(&account.aws.config().await);
    let foundation = stacks.create_stack().stack_name("greenroom-previews-foundation");
    let owner = aws_sdk_cloudformation::types::Tag::builder().key("greenroom:owner").value("greenroom").build();
    foundation.template_body(template.to_string()).tags(owner).send().await.expect("a foundation");

    let (endpoint, asked) = recorder(account.aws.port()).await;
    account.endpoint = Some(endpoint);
    account.doctor("acme/shop", &nobody).await;
    let asked = asked.lock().expect("nobody panicked").concat();
    let asked = percent_encoding::percent_decode(&asked).decode_utf8_lossy().into_owned();
    assert!(asked.contains("Action=SimulatePrincipalPolicy"), "{asked}");
    for told in [
        format!("ResourceArns.member.1=arn:aws:ecs:{REGION}:{ACCOUNT}:service/the-real-cluster/"),
        format!("ResourceArns.member.1={}", role("execution")),
        format!("ResourceArns.member.1={}", role("task")),
        format!("=arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/the-real-cluster"),
        "ContextKeyName=ecs:cluster".to_owned(),
        "ContextKeyName=iam:PassedToService".to_owned(),
        "ContextKeyName=aws:ResourceTag/greenroom:stage".to_owned(),
        "ContextKeyName=aws:PrincipalTag/greenroom:stack".to_owned(),
        // The session itself says whose it is.
        "Tags.member.1.Key=greenroom:repo&Tags.member.1.Value=acme/shop".to_owned(),
        // And what is tagged for programs to read is looked at.
        "\"Key\":\"greenroom:access\"".to_owned(),
    ] {
        assert!(asked.contains(&told), "{told} is not asked: {asked}");
    }
}
