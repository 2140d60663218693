//! What an operator mixes up at the start: it is named, and never repeated.

use std::process::Stdio;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenroom::app::SystemClock;
use greenroom::sandbox::{Sandbox, SandboxSettings};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::bench::{Bench, Said};
use crate::server::{self, next};

const KEY: &str = "GREENROOM_GITHUB_PRIVATE_KEY";

/// A server's settings, complete and right, and the App's key.
async fn settings() -> (Bench, Sandbox, String) {
    let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
    let key = github.private_key_pem().expose_secret().to_owned();
    (bench(&github), github, key)
}

fn bench(github: &Sandbox) -> Bench {
    let mut bench = Bench::new();
    server::settings(&mut bench, github);
    bench.env("GREENROOM_WEBHOOK_SECRET", "a secret of the tests");
    bench
}

/// Whether a part of the key stands in what was said, in any of the forms that it was given in.
fn leaks(said: &Said, given: &str) -> Option<String> {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let all = plain(&format!("{}{}", said.out, said.err));
    let given: Vec<char> = plain(given).chars().collect();
    given.windows(20).map(|part| part.iter().collect::<String>()).find(|part| all.contains(part.as_str()))
}

#[tokio::test]
async fn a_key_in_another_form_is_named_and_not_said_again() {
    let (mut bench, _github, key) = settings().await;
    let lines: Vec<&str> = key.lines().collect();
    let body = lines[1..lines.len() - 1].concat();
    for (given, said) in [
        (lines[1..lines.len() - 1].join("\n"), "without its first and last line"),
        (body.clone(), "without its first and last line"),
        (body[..400].to_owned(), "without its first and last line"),
        (lines[2..5].join("\n"), "without its first and last line"),
        (lines[3].to_owned(), "neither a private key nor the path"),
        (hex::encode(&key), "hexadecimal"),
        (hex::encode(STANDARD.decode(&body).expect("base64")), "hexadecimal"),
        (key[1..].to_owned(), "damaged or missing"),
        (key.replace("KEY-----", "KEY----"), "damaged or missing"),
        (lines[..6].join("\n"), "damaged or missing"),
        (format!("/secrets/{body}"), "without its first and last line"),
    ] {
        bench.env(KEY, given.as_str());
        let refused = bench.run(&["serve"]).await;
        assert_ne!(refused.code, 0, "{}", refused.err);
        assert!(refused.err.contains(KEY) && refused.err.contains(said), "{said}: {}", refused.err);
        assert_eq!(leaks(&refused, &given), None, "{}", refused.err);
    }
}

#[tokio::test]
async fn a_secret_where_another_setting_belongs_is_not_said_again() {
    let (_, github, key) = settings().await;
    for (variable, verbs) in [
        ("GREENROOM_GITHUB_APP_ID", 2),
        ("GREENROOM_LISTEN", 1),
        ("GREENROOM_ALLOW", 1),
        ("GREENROOM_ZONES", 1),
        ("GREENROOM_TARGET", 1),
        ("GREENROOM_GITHUB_API_URL", 2),
        ("GREENROOM_DATABASE_URL", 3),
        ("GREENROOM_REGISTRY", 1),
        ("GREENROOM_BUILD_DEADLINE", 1),
    ] {
        for given in [key.as_str(), "me:a-password-of-twenty@host", "postgre://me:a-password-of-twenty@host/x"] {
            let mut bench = bench(&github);
            bench.env(variable, given);
            let lines = [&["serve"][..], &["serve", "--help"], &["plan", "pr-1", "--repo", "acme/shop"]];
            for args in lines.into_iter().take(verbs) {
                let said = bench.run(args).await;
                assert_eq!(leaks(&said, given), None, "{variable} {args:?}: {}{}", said.out, said.err);
                assert_eq!(said.code == 0, args.contains(&"--help"), "{variable}: {}", said.err);
            }
        }
    }
}

/// What no pattern of a secret's shape takes out of a message.
#[tokio::test]
async fn a_key_in_base64_where_another_setting_belongs_is_not_said_again() {
    let (_, github, key) = settings().await;
    let given = STANDARD.encode(&key);
    for variable in ["GREENROOM_GITHUB_APP_ID", "GREENROOM_DATABASE_URL", "GREENROOM_REGISTRY", "GREENROOM_DATA"] {
        let mut bench = bench(&github);
        bench.env(variable, given.as_str());
        let said = bench.run(&["serve"]).await;
        assert_eq!(leaks(&said, &given), None, "{variable}: {}{}", said.out, said.err);
        assert_ne!(said.code, 0, "{variable}: {}", said.err);
    }
}

#[tokio::test]
async fn a_client_id_in_place_of_the_number_is_named() {
    let (mut bench, _github, _) = settings().await;
    bench.env("GREENROOM_GITHUB_APP_ID", "Iv23li0123456789abcd");
    let refused = bench.run(&["serve"]).await;
    assert_eq!(refused.code, 2);
    insta::assert_snapshot!(refused.all(), @"
    --- stderr
    error: invalid value for '--github-app-id <ID>': it is the App's client id: the App's number stands beside the words App ID on its page in GitHub's settings

    It came by the flag or by GREENROOM_GITHUB_APP_ID, and has 20 characters, which are not shown: it may be a secret.

    For more information, try '--help'.
    --- exit 2
    ");
}

#[tokio::test]
async fn base64_of_a_key_and_a_secret_with_its_file_s_line_break_are_taken() {
    let (mut bench, _github, key) = settings().await;
    bench.env(KEY, STANDARD.encode(&key) + "\n");
    bench.env("GREENROOM_WEBHOOK_SECRET", "a secret of the tests\n");
    let mut server = bench.command(&["serve"]).stdout(Stdio::null()).spawn().expect("the server starts");
    let mut lines = BufReader::new(server.stderr.take().expect("its words are read")).lines();
    let told = next(&mut lines, "GREENROOM_WEBHOOK_SECRET").await;
    assert!(told.contains("line break") && !told.contains("a secret of the tests"), "{told}");
    next(&mut lines, "webhooks at http://").await;
    server.kill().await.expect("it runs");
}
