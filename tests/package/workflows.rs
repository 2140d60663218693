//! The workflows that are there to copy: who may what in them, and what they never do.

use std::collections::BTreeSet;
use std::fs;

use crate::action::INPUTS;
use crate::world::{read, root};

/// What runs the program.
const OWN: &str = "greenroom-dev/greenroom@v1";
const NAMES: [&str; 6] =
    ["commands.yml", "deploy.yml", "e2e-after-preview.yml", "greenroom-build.yml", "preview.yml", "sweep.yml"];

fn all() -> Vec<(String, String)> {
    let mut names: Vec<String> = fs::read_dir(root().join("workflows"))
        .expect("there are workflows")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, NAMES);
    names.into_iter().map(|name| (name.clone(), read(&format!("workflows/{name}")))).collect()
}

/// The lines of a block, by the line that begins it, as far as they are deeper.
fn block<'a>(lines: &[&'a str], begin: usize) -> Vec<&'a str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let own = depth(lines[begin]);
    lines[begin + 1..].iter().copied().take_while(|line| line.trim().is_empty() || depth(line) > own).collect()
}

/// Every `run`, whether on its line or below.
fn scripts(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |line: &str| line.trim_start().trim_start_matches("- ").strip_prefix("run:").map(str::to_owned);
    let found = lines.iter().enumerate().filter_map(|(at, line)| Some((at, begins(line)?)));
    found.map(|(at, first)| format!("{first}\n{}", block(&lines, at).join("\n"))).collect()
}

/// The scripts of a workflow, with its name.
pub(crate) fn scripts_of(name: &str) -> Vec<(String, String)> {
    scripts(&read(name))
        .into_iter()
        .map(|script| (name.to_owned(), script.trim_start_matches([' ', '|', '\n']).to_owned()))
        .collect()
}

#[test]
fn no_text_of_others_is_part_of_a_script() {
    let mut seen = 0;
    for (name, text) in all() {
        for script in scripts(&text) {
            assert!(!script.contains("${{"), "{name}: {script}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "scripts were found: {seen}");
}

#[test]
fn nobody_has_a_right_that_a_job_does_not_name_and_explain() {
    for (name, text) in all() {
        assert!(text.contains("\npermissions: {}\n"), "{name}");
        let lines: Vec<&str> = text.lines().collect();
        let jobs = lines.iter().filter(|line| line.starts_with("    runs-on:")).count();
        let named: Vec<usize> = (0..lines.len()).filter(|at| lines[*at] == "    permissions:").collect();
        assert_eq!(named.len(), jobs, "{name}: each job says what it may");
        for line in named.into_iter().flat_map(|at| block(&lines, at)) {
            assert!(line.split_once(" # ").is_some_and(|(_, why)| why.len() > 10), "{name}: why? {line}");
            assert!(!line.contains("contents: write") && !line.contains("write-all"), "{name}: {line}");
        }
    }
}

#[test]
fn what_others_made_is_pinned_and_nothing_is_checked_out_with_rights() {
    for (name, text) in all() {
        for line in text.lines().filter(|line| line.trim_start().trim_start_matches("- ").starts_with("uses:")) {
            let (_, what) = line.split_once("uses:").expect("it is there");
            let (action, said) =
                what.trim().split_once(" # ").unwrap_or_else(|| panic!("{name}: which version? {line}"));
            if action == OWN {
                assert!(said.starts_with("zizmor: ignore[unpinned-uses] "), "{name}: {line}");
                continue;
            }
            let commit = action.split_once('@').map(|(_, commit)| commit).unwrap_or_default();
            assert!(commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{name}: {line}");
            assert!(said.starts_with('v') && action.starts_with("actions/"), "{name}: {line}");
        }
        assert!(!text.contains("actions/checkout"), "{name}: a token would lie in its folder");
    }
}

/// The job of a build that runs code of a pull request may become nobody, and the one that may runs no such code.
#[test]
fn whoever_runs_the_code_of_a_pull_request_has_no_rights() {
    for (name, text) in all() {
        let (_, jobs) = text.split_once("\njobs:\n").expect("jobs");
        let mut each: Vec<String> = Vec::new();
        for line in jobs.lines() {
            let begins = line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
            if begins {
                each.push(String::new());
            }
            if let Some(job) = each.last_mut() {
                job.push_str(line);
                job.push('\n');
            }
        }
        for job in each {
            let runs_code = job.contains("git ") || job.contains("docker");
            let may_become = job.contains("id-token: write");
            let pushes = job.contains("docker://");
            assert!(
                !(runs_code && may_become) || pushes && !job.contains("docker build") && !job.contains("git "),
                "{name}: {job}"
            );
            assert!(may_become || !job.contains("secrets."), "{name}: {job}");
        }
    }
}

#[test]
fn what_must_never_stand_in_a_workflow() {
    for (name, text) in all() {
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let code = code.join("\n");
        for (word, why) in [
            ("pull_request_target", "it runs with rights for what strangers send"),
            ("workflow_run", "it runs with rights for what another workflow left"),
            ("pull_request_review", "its workflow is the pull request's own"),
            ("always()", "such a step survives a cancelled run"),
            ("cancel-in-progress: true", "a run that is cancelled half-way leaves its stage to the next"),
            ("secrets: inherit", "all secrets for one who wants one"),
        ] {
            assert!(!code.contains(word), "{name} has {word}: {why}");
        }
        assert!(code.contains("\nconcurrency:\n") && code.contains("cancel-in-progress: false"), "{name}");
        let group = code.lines().find_map(|line| line.strip_prefix("  group: ")).unwrap_or_default();
        assert!(group.contains("github.run_id") || group.contains("inputs.nonce"), "{name} locks whole runs: {group}");
        let jobs = code.matches("\n    runs-on:").count();
        assert_eq!(code.matches("\n    timeout-minutes:").count(), jobs, "{name}: each job ends");
    }
}

#[test]
fn a_workflow_gives_the_action_only_what_it_takes() {
    for (name, text) in all() {
        let lines: Vec<&str> = text.lines().collect();
        for at in (0..lines.len()).filter(|at| lines[*at].contains(OWN)) {
            let with = (at..lines.len()).find(|at| lines[*at].trim() == "with:").expect("inputs follow");
            for line in block(&lines, with).into_iter().filter(|line| !line.trim_start().starts_with('#')) {
                let key = line.trim().split(':').next().unwrap_or_default();
                assert!(key.is_empty() || INPUTS.contains(&key), "{name}: {line}");
            }
        }
    }
}

/// What bootstrap lets a session make is a role within the boundary: a step that does not name it makes none.
#[test]
fn whoever_takes_on_a_role_names_the_boundary_of_its_account() {
    let page = read("README.md");
    let (_, rest) = page.split_once("```yaml\n# .github/workflows/preview.yml\n").expect("the ten lines");
    let short = rest.split("```").next().unwrap_or_default().to_owned();
    let steps = all().into_iter().filter(|(_, text)| text.contains(OWN)).chain([("README.md".to_owned(), short)]);
    let mut seen = 0;
    for (name, text) in steps {
        let account =
            text.split_once("arn:aws:iam::").and_then(|(_, rest)| rest.split(':').next()).expect("an account");
        let boundary = format!("GREENROOM_AWS_PERMISSIONS_BOUNDARY: arn:aws:iam::{account}:policy/greenroom-boundary");
        let [steps, named] = [OWN, boundary.as_str()].map(|words| text.replace('"', "").matches(words).count());
        assert!(steps > 0 && steps == named, "{name}: {text}");
        seen += steps;
    }
    assert_eq!(seen, 6, "five workflows and the README");
}

/// A13: what GitHub turns off is not a schedule's alone.
#[test]
fn the_events_are_those_that_the_action_knows() {
    let on = |name: &str| {
        let text = read(&format!("workflows/{name}"));
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| *line == "on:").expect("events");
        let events = block(&lines, at).into_iter().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        events
            .filter_map(|line| line.trim().split(':').next().map(str::to_owned))
            .filter(|word| !word.starts_with('#'))
            .collect()
    };
    let expected: [(&str, &[&str]); 6] = [
        ("commands.yml", &["issue_comment"]),
        ("deploy.yml", &["push", "workflow_dispatch"]),
        ("e2e-after-preview.yml", &["pull_request"]),
        ("greenroom-build.yml", &["workflow_dispatch"]),
        ("preview.yml", &["pull_request"]),
        ("sweep.yml", &["schedule", "workflow_dispatch"]),
    ];
    for (name, events) in expected {
        let found: BTreeSet<String> = on(name);
        assert_eq!(found, events.iter().map(|event| (*event).to_owned()).collect(), "{name}");
    }
}

/// Each input that the App gives is one that the workflow takes, and the other way round: GitHub refuses others.
#[test]
fn the_build_takes_what_the_app_gives() {
    let code = read("src/build/runner/order.rs");
    let (_, made) = code.split_once("fn inputs(").expect("where they are made");
    let (made, _) = made.split_once("\n}\n").expect("its end");
    let given = regex::Regex::new(r#"(?m)^\s+\("([a-z-]+)", "#).expect("a pattern");
    let given: BTreeSet<String> = given.captures_iter(made).map(|found| found[1].to_owned()).collect();
    let text = read("workflows/greenroom-build.yml");
    let taken = regex::Regex::new(r"(?m)^      ([a-z-]+): \{ description:").expect("a pattern");
    let taken: BTreeSet<String> = taken.captures_iter(&text).map(|found| found[1].to_owned()).collect();
    assert_eq!(given, taken);
    // Source: GitHub Docs, "Workflow syntax", `on.workflow_dispatch.inputs`.
    assert!((10..=25).contains(&taken.len()), "{taken:?}");
    for words in ["[${{ inputs.nonce }}]\n", "\nname: Greenroom build\n", "\"$PROTOCOL\" != 1 "] {
        assert!(text.contains(words), "{words}");
    }
}

/// What tests of one's own need is the preview's own workflow, word for word.
#[test]
fn the_preview_of_the_tests_is_the_preview() {
    let [plain, tested] = ["workflows/preview.yml", "workflows/e2e-after-preview.yml"].map(read);
    let of = |text: &str, from: &str| text.split_once(from).map(|(_, rest)| rest.to_owned()).expect("it is there");
    let skipped = ["    # What the tests are told.", "        id: greenroom"];
    let job: Vec<String> = of(&tested, "\n  preview:\n")
        .lines()
        .take_while(|line| *line != "  e2e:")
        .filter(|line| !line.contains("steps.greenroom.outputs") && *line != "    outputs:" && !skipped.contains(line))
        .map(str::to_owned)
        .collect();
    assert_eq!(job.join("\n").trim_end(), of(&plain, "\n  preview:\n").trim_end());
}
