//! The text of a workflow: what it says for itself, and how act can read it.
//!
//! It is read by its indentation alone, which is enough for files that people wrote by hand.

use std::collections::BTreeMap;

/// Lines that act 0.2.89 cannot read, by how they begin, and why a test loses nothing without them. Nothing
/// else is ever taken out of a workflow; a test keeps act to it that it still cannot read them.
pub(crate) const UNREADABLE: [(&str, &str); 3] = [
    ("queue:", "`concurrency` orders runs; here they are ordered by Greenroom's lanes, which is what is tested"),
    ("deployment: false", "act files no deployment for an environment, wanted or not"),
    ("cache-mode:", "act has no cache that a run could be kept from"),
];

/// One file of `.github/workflows`.
#[derive(Debug, Clone)]
pub(crate) struct Workflow {
    /// `preview.yml`
    pub(crate) file: String,
    text: String,
}

impl Workflow {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned() }
    }

    /// Where it lies in its repository.
    pub(crate) fn path(&self) -> String {
        format!(".github/workflows/{}", self.file)
    }

    /// As its author wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Without the lines that act cannot read.
    pub(crate) fn readable(&self) -> String {
        let can_be_read = |line: &&str| !UNREADABLE.iter().any(|(begin, _)| line.trim_start().starts_with(begin));
        self.text.split_inclusive('\n').filter(can_be_read).collect()
    }

    /// What its jobs' tokens may do, all jobs taken together: act gives one token to all of them. A workflow that
    /// says nothing has what the repository gives by default, which these tests do not know.
    pub(crate) fn permissions(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for section in Section::all(&self.text, "permissions") {
            for (name, level) in section.pairs() {
                let held: &mut String = all.entry(name).or_default();
                // `read` comes before `write` in the alphabet too, and `none` before both.
                *held = level.max(std::mem::take(held));
            }
        }
        all.retain(|_, level| level != "none");
        all
    }

    /// The actions of other repositories: what stands behind `uses:`.
    pub(crate) fn uses(&self) -> Vec<String> {
        let mut uses: Vec<String> =
            Section::all(&self.text, "uses").into_iter().map(|section| section.inline).collect();
        uses.retain(|action| !action.starts_with("./"));
        uses.sort();
        uses.dedup();
        uses
    }

    /// Whether GitHub starts it for this event. `action` is what happened, `branch` what was pushed to.
    pub(crate) fn starts_for(&self, event: &str, action: Option<&str>, branch: Option<&str>) -> bool {
        let all = Section::all(&self.text, "on");
        let Some(on) = all.first() else { return false };
        if on.words().any(|word| word == event) {
            return true;
        }
        let Some(about) = Section::all(&on.lines, event).into_iter().next() else { return false };
        let filter = |name: &str| Section::all(&about.lines, name).into_iter().next();
        let types = match (filter("types"), event) {
            (Some(types), _) => types.items(),
            // GitHub: "By default, a workflow only runs when ..."
            (None, "pull_request") => ["opened", "synchronize", "reopened"].map(str::to_owned).into(),
            (None, _) => Vec::new(),
        };
        let among = |list: &[String], one: Option<&str>| {
            list.is_empty() || one.is_none_or(|one| list.iter().any(|it| it == one || it == "**"))
        };
        among(&types, action) && among(&filter("branches").map(|list| list.items()).unwrap_or_default(), branch)
    }
}

/// What stands behind a key.
struct Section {
    /// On its line, without comment and quotes.
    inline: String,
    /// Below it.
    lines: String,
}

impl Section {
    /// Every place where the key stands.
    fn all(text: &str, key: &str) -> Vec<Self> {
        let lines: Vec<&str> = text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with('#')).collect();
        let inline = |line: &str| {
            let line = line.trim_start().trim_start_matches("- ");
            let rest = line.strip_prefix(key)?.strip_prefix(':')?;
            let rest = rest.split(" #").next().unwrap_or_default().trim();
            Some(rest.trim_matches(['"', '\'']).to_owned())
        };
        let below = |at: usize| {
            let deeper = |line: &&str| line.trim().is_empty() || indent(line) > indent(lines[at]);
            lines[at + 1..].iter().copied().take_while(deeper).collect()
        };
        let found = lines.iter().enumerate().filter_map(|(at, line)| Some((at, inline(line)?)));
        found.map(|(at, inline)| Self { inline, lines: below(at) }).collect()
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.inline.trim_matches(['[', ']', '{', '}']).split(',').map(str::trim).filter(|word| !word.is_empty())
    }

    /// As a list, on one line or several.
    fn items(&self) -> Vec<String> {
        let below = self.lines.lines().filter_map(|line| line.trim().strip_prefix("- "));
        self.words().chain(below).map(|item| item.trim().trim_matches(['"', '\'']).to_owned()).collect()
    }

    /// As a mapping, on one line or several.
    fn pairs(&self) -> Vec<(String, String)> {
        let below = self.lines.lines().map(|line| line.split(" #").next().unwrap_or_default());
        let pair = |text: &str| text.split_once(':').map(|(name, value)| (name.trim().into(), value.trim().into()));
        self.words().chain(below).filter_map(pair).collect()
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[test]
fn a_workflow_says_when_it_starts_what_it_may_and_what_it_uses() {
    let text = "\
on:
  pull_request: # of this repository
    types: [opened, closed]
  issue_comment:
    types:
      - created
  push:
    branches: [main]
permissions: {}
jobs:
  one:
    permissions: { contents: read, issues: write }
    steps:
      - uses: acme/greenroom@v1 # the action
      - id: x
        uses: ./here
  two:
    permissions:
      contents: write # why
      id-token: write
";
    let workflow = Workflow::new("preview.yml", text);
    let starts = |event, action| workflow.starts_for(event, Some(action), None);
    assert!(starts("pull_request", "opened") && starts("issue_comment", "created"));
    assert!(!starts("pull_request", "synchronize") && !starts("issue_comment", "edited") && !starts("delete", ""));
    assert!(workflow.starts_for("push", None, Some("main")) && !workflow.starts_for("push", None, Some("topic")));
    let permissions = workflow.permissions();
    let permissions: Vec<_> = permissions.iter().map(|(name, level)| (name.as_str(), level.as_str())).collect();
    assert_eq!(permissions, [("contents", "write"), ("id-token", "write"), ("issues", "write")]);
    assert_eq!(workflow.uses(), ["acme/greenroom@v1"]);
    let short = Workflow::new("x.yml", "on: [pull_request, workflow_dispatch]\n");
    assert!(short.starts_for("workflow_dispatch", None, None) && !short.starts_for("push", None, None));
    assert!(Workflow::new("x.yml", "on:\n  pull_request:\n").starts_for("pull_request", Some("synchronize"), None));
}
