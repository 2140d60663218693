//! Who may command what: `commands`, and `allow` of a stage, as they are written and as they are
//! meant.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    self, BranchPattern, ChecksWanted, CommandRules, NamedCheck, Permission, Prefix, StagePolicy, UserId, Verb, Who,
};

use super::branches::{BranchName, bad_branch};
use super::complain::{code, listed, nearest};
use super::sheet::Sheet;
use super::tree::below;

/// Stands for every command that is not named.
const OTHERS: &str = "*";

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Commands {
    /// What a command begins with: one of `/!@.,:;%?^`, alone or with a name, as `/gr`.
    #[serde(default = "default_prefix")]
    #[schemars(length(min = 1, max = 33))]
    pub(super) prefix: String,
    /// Programs that may command, by the numeric ids of their accounts.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub(super) bots: Vec<AccountId>,
}

impl Default for Commands {
    fn default() -> Self {
        Self { prefix: default_prefix(), bots: Vec::new() }
    }
}

fn default_prefix() -> String {
    "/".to_owned()
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("minimum" = 1, "title" = "a number such as 41898282"))]
pub(super) struct AccountId(u64);

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Allow {
    /// Who may: any of these. `read`, `triage`, `write`, `maintain`, `admin` mean at least that right. Without it, the
    /// default of the command.
    #[schemars(length(min = 1))]
    who: Option<Vec<Person>>,
    /// How many with write access, other than who wrote or pushed it, must have approved exactly the commit, with
    /// nobody asking for changes.
    #[serde(default)]
    #[schemars(range(min = 0, max = 20))]
    approvals: u32,
    /// Which checks of the commit must have passed. With an app, only that GitHub App's check of the name counts.
    #[serde(default)]
    checks: Checks,
    /// The branch holds everything that its base holds.
    #[serde(default)]
    up_to_date: bool,
    /// Branches that may be deployed; `*` stands for any run of characters. Empty: all.
    #[serde(default)]
    #[schemars(length(max = 50))]
    branches: Vec<BranchName>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = PERSON, "title" = "a right such as maintain, `team:<slug>` or `user:<numeric id>`"))]
struct Person(String);

/// Source: GitHub's slugs of teams are lower case, digits, `-` and `_`.
const PERSON: &str = r"^(read|triage|write|maintain|admin|team:[a-z0-9_][a-z0-9_-]{0,99}|user:[1-9][0-9]{0,17})$";

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("title" = "`none`, `all`, or a list of checks, each a name or `{ name, app }`"))]
enum Checks {
    Word(CheckWord),
    Named(BTreeSet<Check>),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("title" = "a check's name, or `{ name, app }` with the numeric id of a GitHub App"))]
enum Check {
    Name(String),
    Of(CheckOfApp),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CheckOfApp {
    name: String,
    /// The numeric id of the GitHub App; that of GitHub Actions is 15368.
    #[schemars(range(min = 1))]
    app: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CheckWord {
    None,
    All,
}

impl Default for Checks {
    fn default() -> Self {
        Self::Word(CheckWord::None)
    }
}

/// How comments are read.
pub(super) fn commands(sheet: &mut Sheet<'_>) -> CommandRules {
    let Some(raw) = sheet.read::<Commands>("/commands") else { return CommandRules::default() };
    let prefix = Prefix::new(&raw.prefix).unwrap_or_else(|error| {
        sheet.value("/commands/prefix", error.to_string());
        Prefix::default()
    });
    CommandRules { prefix, bots: raw.bots.iter().map(|id| UserId(id.0)).collect() }
}

/// Who may command what on the stage at the pointer.
pub(super) fn stage_policy(sheet: &mut Sheet<'_>, pointer: &str, raw: &BTreeMap<String, Allow>) -> StagePolicy {
    let pointer = below(pointer, "allow");
    let mut policy = StagePolicy::default();
    for (name, raw) in raw {
        let pointer = below(&pointer, name);
        let allow = allow(sheet, &pointer, raw);
        match Verb::ALL.into_iter().find(|verb| verb.name() == name) {
            Some(Verb::Help) => sheet.key(&pointer, "`help` is for everybody: it says what the asker may do"),
            Some(verb) => drop(policy.named.insert(verb, allow)),
            None if name == OTHERS => policy.others = Some(allow),
            None => sheet.key(&pointer, unknown_command(name)),
        }
    }
    policy
}

fn unknown_command(name: &str) -> String {
    let known = Verb::ALL.into_iter().filter(|verb| *verb != Verb::Help).map(Verb::name);
    let known: Vec<&str> = known.chain([OTHERS]).collect();
    match nearest(name, &known) {
        Some(near) => format!("there is no command {}: did you mean `{near}`?", code(name)),
        None => format!("there is no command {}: there are {}", code(name), listed(&known, "and")),
    }
}

fn allow(sheet: &mut Sheet<'_>, pointer: &str, raw: &Allow) -> model::Allow {
    let branches = below(pointer, "branches");
    for (index, BranchName(branch)) in raw.branches.iter().enumerate() {
        if let Some(message) = bad_branch(branch) {
            sheet.value(&below(&branches, &index.to_string()), message);
        }
    }
    if matches!(&raw.checks, Checks::Named(names) if names.is_empty()) {
        sheet.value(&below(pointer, "checks"), "an empty list names no check: write `none` or `all`");
    }
    model::Allow {
        who: raw.who.as_ref().map(|who| who.iter().filter_map(person).collect()),
        approvals: raw.approvals,
        checks: match &raw.checks {
            Checks::Word(CheckWord::None) => ChecksWanted::None,
            Checks::Word(CheckWord::All) => ChecksWanted::All,
            Checks::Named(checks) => ChecksWanted::Named(checks.iter().map(named_check).collect()),
        },
        up_to_date: raw.up_to_date,
        branches: raw.branches.iter().map(|branch| BranchPattern(branch.0.clone())).collect(),
    }
}

fn named_check(check: &Check) -> NamedCheck {
    match check {
        Check::Name(name) => NamedCheck { name: name.clone(), app: None },
        Check::Of(CheckOfApp { name, app }) => NamedCheck { name: name.clone(), app: Some(*app) },
    }
}

/// `None` of nothing that the schema lets through; nobody is then allowed by it.
fn person(Person(text): &Person) -> Option<Who> {
    match text.split_once(':') {
        None => Permission::named(text).map(Who::Role),
        Some(("team", slug)) => Some(Who::Team(slug.to_owned())),
        Some(("user", id)) => id.parse().ok().map(|id| Who::User(UserId(id))),
        Some(_) => None,
    }
}
