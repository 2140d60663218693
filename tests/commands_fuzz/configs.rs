//! Configurations that anybody may push.

use greenroom::config::check;

use crate::fuzz::{Target, Verdict};

const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"\n",
    b"\r\n",
    b"\t",
    b"  ",
    b": ",
    b"- ",
    b"? ",
    b"| \n",
    b">-\n",
    b"!!binary ",
    b"!!str ",
    b"\"",
    b"'",
    b"#",
    b"---\n",
    b"...\n",
    b"%YAML 1.2\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\u0000",
    b"null",
    b"~",
    b"yes",
    b"1.10",
    b"0x1f",
    b"5m",
    b"version: 1\n",
    b"services:\n",
    b"stages:\n",
    b"\"pr-{number}\"",
    b"\"{branch}\"",
    b"{urls.web}",
    b"on: { push: main }",
    b"on: { pull_request: {} }",
    b"health: { path: /health }",
    b"paths: [\"**/[x\"]",
    b"scale: { min: 0, max: 10 }",
    b"env: { A: b }",
];

#[test]
fn a_file_is_a_project_or_says_what_is_wrong_and_where() {
    // The corpus of `tests/config.rs`, of which every verdict is recorded.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the corpus is there").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    let seeds = files.iter().map(|path| std::fs::read(path).expect("readable")).collect();
    Target { name: "configs", seeds, pieces: PIECES, rounds: 1_000 }.hold(judge);
}

fn judge(bytes: &[u8]) -> Verdict {
    let verdict = check("f.yml", bytes);
    let again = check("f.yml", bytes);
    if format!("{verdict:?}") != format!("{again:?}") {
        return Err("it is read differently a second time".into());
    }
    let problems = match verdict {
        Ok(project) => return Ok(format!("{} services, {} stages", project.services.len(), project.stages.len())),
        Err(problems) => problems.problems,
    };
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    let is_there = |line: u32| usize::try_from(line).is_ok_and(|line| (1..=lines).contains(&line));
    if let Some(lost) = problems.iter().find(|problem| !is_there(problem.at.line)) {
        return Err(format!("{lost} in {lines} lines"));
    }
    let Some(first) = problems.first() else { return Err("it is refused without a reason".into()) };
    // The rule without what it is said of.
    let words = first.message.split(['`', '"']).step_by(2).collect::<String>();
    Ok(words.chars().filter(|c| !c.is_ascii_digit()).take(60).collect())
}
