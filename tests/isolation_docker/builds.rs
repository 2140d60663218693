//! What a Dockerfile tries.

use crate::engine::Engine;
use crate::own::own;
use crate::repository::{Repository, Secret};

#[test]
fn nothing_that_the_engine_would_fetch_is_built() {
    let engine = Engine::shared();
    let (secret, thief) = (Secret::new(), Repository::new(&engine, "evil/fetcher"));
    let url = format!("http://127.0.0.1:{}/", secret.port());
    let (scheme, rest) = url.split_at(3);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut fetched = 0;
    for attack in [
        format!("FROM scratch\nADD {url} /x"),
        format!("FROM scratch\n  add --chown=1:1 {url} /x"),
        format!("FROM scratch\nADD [\"{url}\", \"/x\"]"),
        format!("FROM scratch\nADD [\"{}\", \"/x\"]", url.replace('/', "\\u002f")),
        format!("FROM scratch\nADD {scheme}\\\n# not here\n{rest} /x"),
        format!("FROM scratch\nADD {scheme}\\{rest} /x"),
        format!("FROM scratch\nADD {scheme}\"{rest}\" /x"),
        format!("# escape=`\nFROM scratch\nADD {scheme}`\n{rest} /x"),
        format!("FROM scratch\nENV U={url}\nADD $U /x"),
        format!("FROM scratch\nARG U={url}\nADD ${{U}} /x"),
        format!("FROM scratch\nADD ${{U:-{url}}} /x"),
        format!("FROM scratch\nCOPY busybox /bin/sh\nRUN : <<EOF\nADD {url} /x\nLABEL a=b"),
        format!("FROM scratch\nCOPY busybox /bin/sh\nRUN : \\\n  # not here\nADD {url} /x"),
        format!("FROM scratch\nCOPY busybox /bin/sh\nRUN : \\\\\nADD {url} /x"),
        format!("FROM scratch\nONBU\u{130}LD ADD {url} /x"),
        format!("FROM scratch\nONBUILD ADD {url} /x"),
        format!("FROM scratch\nAD\\\nD {url} /x"),
        format!("FROM scratch\nA\\\n# not here\n\nDD {url} /x"),
        format!("FROM scratch\nADD --chown=0$\u{e0}{url} /x"),
        format!("FROM scratch\nADD [x {} /x", url.replace("//", "\"//\"")),
        format!("FROM scratch\nADD [\"{}\", \"/x\"]", url.replace("//", "\\\"//\\\"")),
        format!("FROM scratch\nENV U={url}\nADD $U --x"),
        format!("FROM scratch\nENV U={url}\nADD $U \"\""),
    ] {
        let folder = thief.source(&attack);
        let context = folder.to_str().expect("a plain path");
        let plain = ["build", "--quiet", "--no-cache", "--force-rm", context];
        let (asked, (_, said)) = secret.asked_during(|| engine.try_docker(&plain));
        fetched += usize::from(asked);
        if let Some(image) = said.lines().find(|line| line.starts_with("sha256:")) {
            engine.docker(&["rmi", image]);
        }
        let (asked, failure) = secret.asked_during(|| runtime.block_on(thief.refused(&attack, &[])));
        assert!(!asked, "{attack}");
        assert!(!failure.advice.is_empty(), "{attack}");
    }
    // One and another are attacks with other engines only.
    assert!(fetched >= 18, "the engine fetches what is refused: {fetched}");
    let (asked, built) = secret.asked_during(|| {
        let honest = format!("FROM scratch\nADD mark /x\nLABEL from={url}");
        runtime.block_on(thief.build(&honest, &[])).expect("an image")
    });
    assert!(!asked);
    runtime.block_on(thief.clean_up(&[built]));
}

#[test]
fn no_registry_that_is_the_host_itself_is_asked() {
    let engine = Engine::shared();
    let (secret, thief) = (Secret::new(), Repository::new(&engine, "evil/puller"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let from = |host: &str| format!("FROM {host}:{}/x\n", secret.port());
    let hosts = ["127.0.0.1", "localhost", "LocalHost", "0.0.0.0", "[::1]", "127.1", "2130706433", "a.localhost"];
    let mut attacks: Vec<String> = hosts.map(from).to_vec();
    attacks.push(format!("FROM scratch\nCOPY --from=127.0.0.1:{}/x /x /y\n", secret.port()));
    attacks.push(format!("ARG BASE=127.0.0.1:{}/x\nFROM $BASE\n", secret.port()));
    let mut asked_by_the_engine = 0;
    for attack in &attacks {
        let folder = thief.source(attack);
        let context = folder.to_str().expect("a plain path");
        let (asked, _) = secret.asked_during(|| engine.try_docker(&["build", "--quiet", context]));
        asked_by_the_engine += usize::from(asked);
        let (asked, failure) = secret.asked_during(|| runtime.block_on(thief.refused(attack, &[])));
        assert!(!asked && failure.summary.contains("is of the registry `"), "{attack}: {}", failure.summary);
    }
    // The rest are attacks with other engines, or where another library looks names up.
    assert!(asked_by_the_engine >= 6, "the engine asks what is refused: {asked_by_the_engine}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_builds_from_what_another_repository_built() {
    let engine = Engine::shared();
    let (owner, thief) = (Repository::new(&engine, "acme/private"), Repository::new(&engine, "evil/thief"));
    let private = owner.build("FROM scratch\nCOPY mark /secret\n", &[]).await.expect("an image");
    let local = format!("{}:latest", own("server-own"));
    engine.docker(&["tag", &private.reference, &local]);
    let digits = private.digest.strip_prefix("sha256:").expect("a digest");
    let (place, tag) = private.reference.split_once(':').expect("a tag");
    assert_eq!(tag.len(), 32, "nobody guesses it: {tag}");
    let (reference, digest) = (private.reference.as_str(), private.digest.as_str());
    let names = [reference, digest, digits, &digits[..12], &digits[..6], local.as_str()];
    let stolen = |name: &str| format!("FROM {name}\nCOPY mark /x\n");
    for name in names {
        // The engine knows it by that name.
        assert_eq!(engine.docker(&["image", "inspect", "--format", "{{.Id}}", name]), private.digest);
        thief.refused(&stolen(name), &[]).await;
        thief.refused(&format!("FROM scratch\nCOPY --from={name} /secret /x\n"), &[]).await;
    }
    // As if it were the stage itself, whose name the engine's first builder does not know yet.
    let own_name = local.strip_suffix(":latest").expect("a tag");
    let itself = format!("FROM scratch AS {own_name}\nCOPY --from={own_name} /secret /x\n");
    thief.refused(&itself, &[]).await;
    let in_trigger = format!(
        "FROM scratch\nONBUILD \u{feff}FROM scratch AS {own_name}\nFROM scratch\nCOPY --from={own_name} /secret /x\n"
    );
    thief.refused(&in_trigger, &[]).await;
    // However it is written; the tables of unit tests have more.
    let name = &digits[..12];
    for dockerfile in [
        format!("FROM scratch AS {name}\nCOPY --from={name} /secret /x\n"),
        format!("FROM scratch\nCO\\\nPY --from={name} /secret /x\n"),
        format!("FROM scratch\nCOPY --chown=0$\u{e0}--from={name} /secret /x\n"),
        format!("FROM scratch\nCOPY --chown=\"0${{Q:+ [ }}\" --from=\"{name}\" /secret /x\n"),
        format!("FROM --platform=\"linux/amd64${{Q:+ scratch }}\" {name}\nCOPY mark /x\n"),
        format!("FROM scratch AS as\nLABEL a=b\nFROM --platform=linux/amd64$\u{e0}{name} as z\nCOPY mark /x\n"),
        format!("ARG P=evil.example/x/\nAR\\\nG P=\nFROM ${{P}}{name}\nCOPY mark /x\n"),
        format!("ARG Q=\"a P=evil.example/x/ b\"\nFROM ${{P}}{name}\nCOPY mark /x\n"),
        format!("# x \\\nFROM scratch\nARG P=evil.example/x/\nFROM ${{P}}{name}\nCOPY mark /x\n"),
        format!("FROM scratch AS {name}label\nLABEL x=y\nFROM {name}\\\u{a0}\nlabel a=b\n"),
        format!("FROM {name} AS base\nFROM base\n"),
        format!("ARG BASE={name}\nFROM $BASE\n"),
        format!("ARG BASE\nFROM ${{BASE:-{name}}}\n"),
        format!("FROM scratch\nCOPY \\\n  --from=\"{name}\" /secret /x\n"),
        format!("FROM scratch\nONBUILD COPY --from={name} /secret /x\n"),
    ] {
        thief.refused(&dockerfile, &[]).await;
    }
    thief.refused("ARG BASE=scratch\nFROM $BASE\nCOPY mark /y\n", &[("BASE", name)]).await;
    // Not even its own: an image is begun with what a registry has.
    owner.refused(&stolen(reference), &[]).await;
    for absent in
        [format!("{place}:newest"), format!("docker.io/{place}"), format!("index.docker.io/{place}@sha256:{digits}")]
    {
        thief.refused(&stolen(&absent), &[]).await;
    }
    let stages = "FROM scratch AS base\nCOPY mark /x\nFROM base AS more\nFROM scratch\nCOPY --from=more /x /y\nCOPY --from=0 /x /z\n";
    let honest = thief.build(stages, &[]).await.expect("stages of its own");
    engine.docker(&["rmi", &local]);
    thief.clean_up(&[honest]).await;
    owner.clean_up(&[private]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_with_the_name_of_before_is_not_built_again() {
    let engine = Engine::shared();
    let data = tempfile::tempdir().expect("a folder");
    let mut before = Repository::new(&engine, "acme/upgraded");
    before.builder = engine.builder(&data.path().join("data"));
    let dockerfile = "FROM scratch\nCOPY mark /x\n";
    let image = before.build(dockerfile, &[]).await.expect("an image");
    assert_eq!(image.reference.split_once(':').expect("a tag").1.len(), 16);
    let keyed = engine.builder(&data.path().join("data")).with_key(&"key".into());
    let after = Repository { builder: keyed, ..before };
    assert_eq!(after.build(dockerfile, &[]).await.expect("the same image"), image);
    after.clean_up(&[image]).await;
}

/// Runs in a step of a build, and says what it reaches.
pub(crate) fn steps(commands: &str) -> String {
    format!(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nENV PATH=/bin\n\
         COPY mark /mark\nRUN {commands}\n"
    )
}

#[test]
fn a_step_of_a_build_is_in_a_network_of_builds() {
    let engine = Engine::shared();
    let (secret, guest) = (Secret::new(), Repository::new(&engine, "evil/steps"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let commands = format!(
        "ip -4 -o address; nc -w 5 127.0.0.1 {} < /dev/null && echo \"rea\"ched || echo \"bar\"red",
        secret.port()
    );
    let (asked, image) =
        secret.asked_during(|| runtime.block_on(guest.build(&steps(&commands), &[])).expect("an image"));
    let log = guest.log();
    assert!(!asked, "the host's loopback is not a build's: {log}");
    let has = |wanted: &str| log.lines().any(|line| line.contains(wanted));
    assert!(has("inet 198.18.") || has("inet 198.19."), "{log}");
    assert!(log.lines().any(|line| line == "barred") && !log.lines().any(|line| line == "reached"), "{log}");
    runtime.block_on(guest.clean_up(&[image]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_steers_the_build_and_not_its_command_line() {
    let engine = Engine::shared();
    let guest = Repository::new(&engine, "evil/arguments");
    let arguments = [
        ("DOCKER_HOST", "unix:///nonexistent/socket"),
        ("DOCKER_CONFIG", "/nonexistent"),
        ("DOCKER_BUILDKIT", "1"),
        ("DOCKER_CONTEXT", "nowhere"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("HOME", "/nonexistent"),
        ("LD_PRELOAD", "/nonexistent/evil.so"),
        ("GODEBUG", "netdns=9"),
        ("LINES", "one\ntwo = \"three\""),
    ];
    // What is not declared is given all the same.
    let declared = "ARG DOCKER_HOST\nARG LINES\n";
    let dockerfile =
        steps("true").replace("RUN true", &format!("{declared}RUN echo \"<$DOCKER_HOST>\"; echo \"<$LINES>\""));
    let image = guest.build(&dockerfile, &arguments).await.expect("an image");
    let log = guest.log();
    assert!(log.lines().any(|line| line == "<unix:///nonexistent/socket>"), "{log}");
    assert!(log.contains("<one\ntwo = \"three\">"), "{log}");
    guest.clean_up(&[image]).await;
}
