//! The corpus of configurations: each file of `tests/config/` with what is said about it, beside.

use std::path::{Path, PathBuf};

use greenroom::config::check;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the corpus is there").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("readable"))
        })
        .collect()
}

fn verdict(name: &str, bytes: &[u8]) -> String {
    match check(&format!("{name}.yml"), bytes) {
        Ok(project) => format!("{project:#?}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn each_file_of_the_corpus_gets_its_verdict() {
    let corpus = corpus();
    assert!(corpus.len() > 15, "the corpus has only {} files", corpus.len());
    for (name, bytes) in corpus {
        let verdict = verdict(&name, &bytes);
        insta::with_settings!({ snapshot_path => "config", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, verdict);
        });
    }
}

fn smallest() -> &'static str {
    include_str!("config/smallest.yml")
}

fn problems(text: &str) -> Vec<String> {
    let result = check("f.yml", text.as_bytes());
    result.err().map(|problems| problems.problems.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn what_is_too_large_too_deep_or_too_much_is_refused_with_one_sentence() {
    let large = format!("{}# {}", smallest(), "x".repeat(1024 * 1024));
    let deep_flow = format!("version: {}", "[".repeat(100_000));
    let deep_block: String = (0..200).flat_map(|depth| [" ".repeat(depth), "a:\n".to_owned()]).collect();
    let many = format!("[{}]", "x,".repeat(50_000));
    let long_key = format!("? {}\n: 1\n", "k".repeat(100_000));
    let long_value = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(10_000));
    for (text, expected) in [
        (large, "1:1: the file has"),
        (deep_flow, "this stands more than 32 levels deep"),
        (deep_block, "this stands more than 32 levels deep"),
        (many, "more than 20000 keys and values"),
        (long_key, "this key has more than 128 characters"),
        (long_value, "more than 20000 keys and values"),
    ] {
        let problems = problems(&text);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
        assert!(problems.len() < 5 && problems.iter().all(|problem| problem.len() < 400), "{problems:?}");
    }
}

#[test]
fn a_file_full_of_mistakes_is_cut_to_what_a_person_reads() {
    let keys: String =
        (0..500).flat_map(|number| ["wrong-".to_owned(), number.to_string(), ": 1\n".to_owned()]).collect();
    let problems = problems(&format!("{}{keys}", smallest()));
    assert_eq!(problems.len(), 51);
    assert_eq!(problems[50], "55:1: and 450 more problems");
}

/// Keeps a mutated file's course the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

#[test]
fn no_mutation_of_the_corpus_makes_it_panic() {
    let corpus = corpus();
    let snippets: [&[u8]; 12] = [b"{", b"}", b"[", b"]", b"&a ", b"*a", b"\n", b"\t", b": ", b"- ", b"\xff", b"null"];
    let (mut dice, mut refused, mut accepted) = (Dice(42), 0, 0);
    for _ in 0..3000 {
        let mut bytes = corpus[dice.roll(corpus.len())].1.clone();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(bytes.len() + 1);
            let until = (at + dice.roll(12)).min(bytes.len());
            match dice.roll(3) {
                0 => drop(bytes.drain(at..until)),
                1 => drop(bytes.splice(at..at, snippets[dice.roll(snippets.len())].iter().copied())),
                _ => {
                    let copy = bytes[at..until].to_vec();
                    let to = dice.roll(bytes.len() + 1);
                    drop(bytes.splice(to..to, copy));
                }
            }
        }
        match check("f.yml", &bytes) {
            Ok(_) => accepted += 1,
            Err(problems) => {
                refused += 1;
                assert!(
                    !problems.problems.is_empty(),
                    "refused without a reason: {:?}",
                    String::from_utf8_lossy(&bytes)
                );
                let lines =
                    u32::try_from(bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1).expect("few");
                for problem in &problems.problems {
                    assert!((1..=lines).contains(&problem.at.line), "{problem} in {lines} lines");
                }
            }
        }
    }
    assert!(refused > 1000 && accepted > 10, "{refused} refused, {accepted} accepted: the mutations prove little");
}

#[test]
fn the_schema_is_valid_and_as_recorded() {
    let schema = greenroom::config::schema();
    assert!(jsonschema::meta::is_valid(&schema));
    assert!(!schema.to_string().contains("\"$ref\""), "editors and our own wording want it in one piece");
    insta::assert_json_snapshot!(schema);
}

#[test]
fn the_reference_table_has_every_key() {
    insta::assert_snapshot!(greenroom::config::reference_table());
}

/// Writes out every default of the schema, and expects the same project as from the bare file.
#[test]
fn each_default_of_the_schema_is_what_the_code_uses() {
    let bare = serde_json::json!({
        "version": 1, "app": "hello", "domain": { "zone": "example.com" },
        "stages": { "pr-{number}": { "on": { "pull_request": {} }, "cors": { "origins": ["*"] } } },
        "services": { "web": { "kind": "ecs", "build": {}, "migrate": { "command": ["x"] } } },
    });
    let mut written = bare.clone();
    let mut count = 0;
    write_defaults(&greenroom::config::schema(), &mut written, &mut count);
    assert!(count > 25, "only {count} defaults were written out");
    let project = |value: &serde_json::Value| {
        let project = check("f.yml", value.to_string().as_bytes());
        let mut project = project.unwrap_or_else(|problems| panic!("{problems}"));
        project.digest.clear();
        project
    };
    assert_eq!(project(&bare), project(&written));

    let mut without = bare.clone();
    without.as_object_mut().expect("a mapping").remove("stages");
    let mut with = without.clone();
    with["stages"] = greenroom::config::schema()["properties"]["stages"]["default"].clone();
    assert_eq!(project(&without), project(&with));
}

fn write_defaults(schema: &serde_json::Value, value: &mut serde_json::Value, count: &mut usize) {
    let Some(map) = value.as_object_mut() else { return };
    if let Some(properties) = schema["properties"].as_object() {
        for (key, rule) in properties {
            if let Some(default) = rule.get("default") {
                *count += 1;
                map.entry(key).or_insert_with(|| default.clone());
            }
            if let Some(inner) = map.get_mut(key) {
                write_defaults(rule, inner, count);
            }
        }
    }
    if schema["additionalProperties"].is_object() {
        for inner in map.values_mut() {
            write_defaults(&schema["additionalProperties"], inner, count);
        }
    }
}

#[test]
fn problems_stand_where_their_cause_stands() {
    let text = smallest().replace("port: 8080", "prot: 8080");
    let column = text.lines().nth(3).and_then(|line| line.find("prot")).expect("the slip") + 1;
    let problems = check("greenroom.yml", text.as_bytes()).expect_err("a slip").to_string();
    let expected = format!("greenroom.yml:4:{column}: unknown key `prot`: did you mean `port`? (`services.web.prot`)");
    assert_eq!(problems, expected);
}

/// What is said of one key of the smallest file's service.
fn said_of(key: &str) -> Vec<String> {
    problems(&smallest().replace("kind: ecs,", &format!("kind: ecs, {key},")))
}

#[test]
fn a_number_is_told_as_it_is_written() {
    for (written, advice) in [
        ("1.10", ": put it in quotes"),
        ("1.0", ": put it in quotes"),
        ("012345678901", ": put it in quotes"),
        ("12345678901234567890123", ": put it in quotes"),
        ("1e3", ": put it in quotes"),
        ("0x1F", ": put it in quotes"),
        ("True", ": put it in quotes"),
    ] {
        let said = said_of(&format!("env: {{ VERSION: {written} }}"));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(&format!("`VERSION` must be a text, not {written}{advice} (")), "{said:?}");
    }
    let long = said_of(&format!("env: {{ VERSION: {} }}", "1".repeat(300)));
    assert!(long[0].len() < 250, "{long:?}");
}

#[test]
fn a_secret_that_stands_in_the_file_is_not_said_again() {
    for given in ["918273645", "[918273645]", "918273645.5", "{ A: 918273645 }", "\"918273645\"", "hunter2-918273645"] {
        let said = said_of(&format!("secrets: {{ PIN: {given} }}"));
        assert!(said.len() == 1 && !said[0].contains("918273645"), "{said:?}");
    }
}

#[test]
fn a_path_is_told_what_is_wrong_with_it() {
    let said = |path: &str| problems(&smallest().replace("path: /health", &format!("path: {path}"))).join("; ");
    for (path, expected) in [
        ("health", "must be a path that begins with `/`, not \"health\""),
        ("/health check", "holds a space, which no path can: write `%20` in its place"),
        ("\"/a\\tb\"", "which no path can: write `%09` in its place"),
        ("/grün", "holds \"ü\", which no path can: write `%C3%BC` in its place"),
        ("/a#b", "holds `#`, and what follows that is never sent"),
        ("\"/a\\\\b\"", "which no path can: write `%5C` in its place"),
    ] {
        let said = said(path);
        assert!(said.contains(expected), "{path}: {said}");
        assert!(!path.starts_with('/') || !said.contains("begins with"), "{path}: {said}");
    }
    assert!(said(&format!("/{}", "a".repeat(2_000))).contains("has 2001 characters"));
    for path in ["/", "/health?x=1&y=%20", "/a:b@c/(d)"] {
        assert_eq!(said(&format!("\"{path}\"")), "", "{path}");
    }
}

fn with_pushes(patterns: &[&str]) -> Vec<String> {
    let rule =
        |(index, pattern): (usize, &&str)| format!("  \"s{index}-{{branch}}\": {{ on: {{ push: \"{pattern}\" }} }}\n");
    let rules: String = patterns.iter().enumerate().map(rule).collect();
    problems(&format!("{}\nstages:\n{rules}", smallest()))
}

#[test]
fn a_pattern_that_no_branch_can_match_is_refused() {
    for pattern in ["feature/", "/main", "a//b", "a..b", "a/.b", "main.", "a@{1}"] {
        let said = with_pushes(&[pattern]).join("; ");
        assert!(said.contains("git allows no such name"), "{pattern}: {said}");
    }
    for pattern in ["main,develop", "!main"] {
        let said = with_pushes(&[pattern]).join("; ");
        assert!(said.contains("one branch of that very name"), "{pattern}: {said}");
    }
    for pattern in ["feature/*", "*", "release-1.2", "dependabot/npm_and_yarn/*", "a@b", "v1.*", "wip!"] {
        assert_eq!(with_pushes(&[pattern]), [""; 0], "{pattern}");
    }
}

#[test]
fn what_one_stage_leaves_to_the_next_is_not_refused() {
    assert_eq!(with_pushes(&["*", "gh-readonly-queue/*"]), [""; 0]);
    for both in [["*", "gh-*"], ["gh-readonly-queue/*", "gh-readonly-queue/main/*"]] {
        let said = with_pushes(&both).join("; ");
        assert!(said.contains("takes every event of this one"), "{both:?}: {said}");
    }
}

#[test]
fn a_list_of_branches_leaves_out_what_it_says() {
    let said = |rules: &[(&str, &str)]| {
        let rule = |(name, branches): &(&str, &str)| format!("  \"{name}\": {{ on: {{ push: {branches} }} }}\n");
        let rules: String = rules.iter().map(rule).collect();
        problems(&format!("{}\nstages:\n{rules}", smallest())).join("; ")
    };
    let many = r#"["*", "!gh-pages", "!release/**"]"#;
    assert_eq!(said(&[("a-{branch}", many)]), "");
    assert_eq!(said(&[("a-{branch}", many), ("b-{branch}", "release/*"), ("pages", "gh-pages")]), "");
    assert_eq!(said(&[("prod", r#"["main"]"#), ("a-{branch}", r#"["dev", "fix/*"]"#)]), "");
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[("a-{branch}", many), ("b-{branch}", "topic")], "takes every event of this one"),
        (&[("a-{branch}", r#"["!wip"]"#)], "every pattern leaves out"),
        (&[("a-{branch}", r#"["*", "!a b"]"#)], "cannot be a branch"),
        (&[("a-{branch}", r#"["*", "!dev,wip"]"#)], "give each pattern an item of its own"),
        (&[("a-{branch}", r#""*,!wip""#)], "write several, and with `!` those to leave out, as a list"),
        (&[("prod", r#"["main", "dev"]"#)], "many branches would share the stage"),
        (&[("a-{branch}", "[]")], "`push` must be a branch, or a list of branches, not an empty list"),
        (&[("a-{branch}", r#"["a-*", "pr-*"]"#), ("a-pr-7", "seven")], "could get the name of a stage of"),
    ];
    for (rules, told) in cases {
        let said = said(rules);
        assert!(said.contains(told), "{rules:?}: {said}");
    }
}

#[test]
fn the_example_checks_clean() {
    let example = include_bytes!("../examples/hello/.github/greenroom.yml");
    let project = check("greenroom.yml", example).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(project.services.len(), 1);
}

#[test]
fn a_service_has_no_more_than_a_person_wrote() {
    let names: Vec<String> = (0..400).map(|number| format!("A{number}: x")).collect();
    let text = smallest().replace("kind: ecs,", &format!("kind: ecs, env: {{ {} }},", names.join(", ")));
    assert_eq!(
        problems(&text),
        ["4:26: `env` must be a mapping with at most 300 keys, not a mapping with 400 keys (`services.web.env`)"]
    );
}
