use super::*;

fn read(compose: &str, others: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let files: Vec<(String, Vec<u8>)> = [("compose.yaml", compose)]
        .iter()
        .chain(others)
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
        .collect();
    let mut left_out = LeftOut::default();
    let line = |found: Found| {
        let Build { context, dockerfile, target, args } = found.build.expect("it is built");
        let target = target.map_or(String::new(), |target| format!(" {target}"));
        let args: Vec<String> = args.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let args = args.concat();
        let notes = if found.notes.is_empty() { String::new() } else { format!(" [{}]", found.notes.join("; ")) };
        format!("{} {:?} {context}/{dockerfile}{target}{args}{notes}", found.name, found.port)
    };
    let found = services(&Files(&files), &mut left_out).into_iter().map(line).collect();
    (found, left_out.into_lines())
}

fn one(service: &str) -> String {
    let (found, left_out) = read(&format!("services:\n  web: {service}\n"), &[]);
    found.into_iter().chain(left_out).collect::<Vec<_>>().join("; ")
}

#[test]
fn ports_are_read_in_every_way_of_writing_them() {
    for (ports, port) in [
        ("[3000]", 3000),
        ("['3000']", 3000),
        ("['8080:3000']", 3000),
        ("[8080:3000]", 3000),
        ("['127.0.0.1:8080:3000']", 3000),
        ("['[::1]:8080:3000/tcp']", 3000),
        ("['53:53/udp', '8080:3000']", 3000),
        ("['3000-3005']", 3000),
        ("['9000-9005:3000-3005']", 3000),
        ("['${PORT:-8080}:3000']", 3000),
        ("['${PORT}:3000']", 3000),
        ("['8080:${PORT:-3000}']", 3000),
        ("['${HOST:-127.0.0.1}:8080:3000']", 3000),
        ("[{ target: 3000, published: '8080' }]", 3000),
        ("[{ target: 53, protocol: udp }, { target: 3000 }]", 3000),
        ("[{ target: 3000, protocol: TCP }]", 3000),
    ] {
        assert_eq!(
            one(&format!("{{ build: ., ports: {ports} }}")),
            format!("web Some({port}) ./Dockerfile"),
            "{ports}"
        );
    }
    assert_eq!(one("{ build: ., expose: ['3000-3002'] }"), "web Some(3000) ./Dockerfile");
    let unclear = one("{ build: ., ports: ['8080:${PORT}'] }");
    assert_eq!(unclear, "web None ./Dockerfile [`ports`: \"8080:${PORT}\" has a variable without a value here]");
    let guessed = "web Some(3000) ./Dockerfile [the port is the one in its environment]; `environment` of web of \
                   compose.yaml: write it under `env`, and what is secret under `secrets`";
    assert_eq!(one("{ build: ., environment: { PORT: 3000 } }"), guessed);
    assert_eq!(one("{ build: ., environment: [A=1, 'PORT=${PORT:-3000}'] }"), guessed);
}

#[test]
fn mappings_are_merged_and_services_extend_each_other() {
    let compose = "
x-base: &base
  build: { context: ./app, target: prod }
  ports: ['80:3000']
x-more: &more { expose: ['9000'] }
services:
  web:
    <<: *base
  api:
    <<: [*more, *base]
    ports: ['81:4000']
  worker:
    extends: { service: web }
    build: { dockerfile: worker.Dockerfile }
  nested:
    build: { <<: { context: other } }
  same:
    extends: { file: ./compose.yaml, service: nested }
  away:
    extends: { file: base.yml, service: web }
  circle:
    extends: circle
";
    let (found, left_out) = read(compose, &[]);
    assert_eq!(
        found,
        [
            "web Some(3000) app/Dockerfile prod",
            "api Some(4000) app/Dockerfile prod",
            "worker Some(3000) app/worker.Dockerfile prod",
            "nested None other/Dockerfile",
            "same None other/Dockerfile",
        ]
    );
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert!(left_out[0].contains("another file") && left_out[1].contains("without an end"), "{left_out:?}");
}

#[test]
fn what_is_no_service_here_is_said_with_its_reason() {
    for (service, why) in [
        ("{ image: 'postgres:16' }", "web of compose.yaml: it is an image (postgres:16)"),
        ("{}", "it is an image"),
        ("{ build: ../other }", "leaves the repository"),
        ("{ build: 'https://github.com/a/b.git' }", "not in the repository"),
        ("{ build: 'git@github.com:a/b.git' }", "not in the repository"),
        ("{ build: 'github.com/a/b.git#main' }", "not in the repository"),
        ("{ build: '${DIR}' }", "has a variable without a value here"),
        ("{ build: { dockerfile_inline: 'FROM a' } }", "stands in the compose file"),
        ("1", "`web` is no mapping"),
    ] {
        assert!(one(service).contains(why), "{service}: {}", one(service));
    }
    assert_eq!(one("{ build: './packages/@acme/web' }"), "web None packages/@acme/web/Dockerfile");
    let (found, left_out) = read("services: [", &[]);
    assert_eq!((found.len(), left_out.len()), (0, 1));
    assert!(left_out[0].starts_with("all of compose.yaml: 1:"), "{left_out:?}");
}

#[test]
fn a_dockerfile_is_asked_where_the_file_says_nothing() {
    let dockerfile = "FROM a AS dev\nARG PORT=80\nEXPOSE ${PORT}\nFROM b\nEXPOSE ${NOWHERE}\n";
    let compose =
        "services:\n  web: { build: { context: app, target: dev, args: [PORT=3000] } }\n  api: { build: app }\n";
    let (found, _) = read(compose, &[("app/Dockerfile", dockerfile)]);
    assert_eq!(
        found,
        [
            "web Some(3000) app/Dockerfile dev PORT=3000",
            "api None app/Dockerfile [`EXPOSE ${NOWHERE}` has no value here]",
        ]
    );
}

#[test]
fn what_a_build_here_has_not_is_noted() {
    for (build, note) in [
        ("{ target: '${T}' }", "the stage that its build names has no value here"),
        ("{ secrets: [token] }", "its build has `secrets` in compose, which builds here do not have"),
        (
            "{ additional_contexts: { a: b } }",
            "its build has `additional_contexts` in compose, which builds here do not have",
        ),
    ] {
        assert_eq!(one(&format!("{{ build: {build} }}")), format!("web None ./Dockerfile [{note}]"), "{build}");
    }
    let files = [("Dockerfile", "FROM a\nEXPOSE 80\nEXPOSE 443\n")];
    let (found, _) = read("services:\n  web: { build: . }\n", &files);
    assert_eq!(found, ["web Some(80) ./Dockerfile [of its ports only the first gets an address, not 443]"]);
}

#[test]
fn what_lies_over_the_file_is_laid_over_it() {
    let compose = "services:\n  web: { build: app, ports: ['80:3000'] }\n  api: { image: x }\n";
    let over = "services:\n  web: { build: { target: dev }, ports: ['9229:9229'] }\n  api: { build: api }\n  \
                jobs: { build: ., profiles: [jobs] }\n";
    for name in compose_file::OVERRIDES {
        let (found, left_out) = read(compose, &[(name, over)]);
        assert_eq!(
            found,
            [
                "web Some(3000) app/Dockerfile dev [of its ports only the first gets an address, not 9229]",
                "api None api/Dockerfile",
                "jobs None ./Dockerfile [compose starts it only where one of its profiles is asked for]",
            ],
            "{name}"
        );
        assert_eq!(left_out, [""; 0]);
    }
}

#[test]
fn what_a_first_file_cannot_say_is_left_out_by_name() {
    let compose = "include: [other.yaml]\nservices:\n  web:\n    build: { context: ., args: { A: 1, B: null } }\n    \
                   command: [run, web]\n    env_file: .env\n    environment:\n";
    let (found, left_out) = read(compose, &[]);
    assert_eq!(found, ["web None ./Dockerfile A=1 [some of its build arguments have no value here]"]);
    assert_eq!(
        left_out,
        [
            "`include` of compose.yaml: the files that it names are not read",
            "`command` of web of compose.yaml: here the image's own counts: give the build a `target` that starts so",
            "`env_file` of web of compose.yaml: write what it holds under `env`, and what is secret under `secrets`",
        ]
    );
    let named = |service: &str| read(&format!("services:\n  web: {service}\n"), &[]).1;
    let given = "{ build: ., volumes: ['data:/data'], secrets: [a], configs: [b], depends_on: { db: {} } }";
    assert_eq!(
        named(given),
        [
            "`volumes` of web of compose.yaml: here nothing is mounted, and a copy keeps nothing: what must stay belongs \
             into a database or a bucket",
            "`secrets` of web of compose.yaml: name each under `secrets` with the store that has it",
            "`configs` of web of compose.yaml: put the files into the image",
            "`depends_on` of web of compose.yaml: name those of them that are services here under `needs`",
        ]
    );
    assert_eq!(named("{ build: ., volumes: [], secrets: {}, depends_on: null }"), [""; 0]);
    let (found, left_out) = read("services:\n  web: { build: ., build: app }\n", &[]);
    assert_eq!(found, ["web None ./Dockerfile"]);
    assert!(left_out.len() == 1 && left_out[0].starts_with("a part of compose.yaml: 2:"), "{left_out:?}");
}
