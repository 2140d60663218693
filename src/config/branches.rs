//! The branches that a file names: as they are written, what is wrong with them, and what they are in names of stages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Branch, BranchFilter, BranchPattern};

use super::overlap::Token;
use super::sheet::Sheet;
use super::tree::{below, shown};

// What explains these stands with the keys that have them: it would be told twice.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("title" = "a branch, or a list of branches"))]
pub(super) enum Push {
    One(BranchName),
    Several(BranchList),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("minLength" = 1, "maxLength" = 200))]
pub(super) struct BranchName(pub(super) String);

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("minItems" = 1, "maxItems" = 50))]
pub(super) struct BranchList(Vec<BranchName>);

/// The branches that a push is heeded of.
pub(super) fn filter(sheet: &mut Sheet<'_>, pointer: &str, push: &Push) -> BranchFilter {
    match push {
        Push::One(BranchName(branch)) => {
            if let Some(flaw) = flaw(branch, "write several, and with `!` those to leave out, as a list") {
                sheet.value(pointer, flaw);
            }
            BranchFilter::of(branch)
        }
        Push::Several(BranchList(list)) => {
            for (index, BranchName(branch)) in list.iter().enumerate() {
                let pattern = branch.strip_prefix('!').unwrap_or(branch);
                if let Some(flaw) = flaw(pattern, "give each pattern an item of its own, with one `!` at most") {
                    sheet.value(&below(pointer, &index.to_string()), flaw);
                }
            }
            BranchFilter(list.iter().map(|BranchName(branch)| BranchPattern(branch.clone())).collect())
        }
    }
}

/// What is wrong with a single pattern.
pub(super) fn bad_branch(text: &str) -> Option<String> {
    flaw(text, "write one pattern, and none with `!`")
}

/// Source: git-check-ref-format(1), what no branch's name can hold.
fn flaw(text: &str, way_out: &str) -> Option<String> {
    if text.starts_with("refs/") {
        return Some("write the branch without `refs/heads/`".to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || "~^:?[\\".contains(c)) {
        return Some(format!("{} cannot be a branch; `*` is the only wildcard", shown(text)));
    }
    let ends = text.starts_with(['/', '.']) || text.ends_with(['/', '.']);
    if ends || ["//", "..", "/.", "@{"].iter().any(|bad| text.contains(bad)) {
        return Some(format!("{} cannot be a branch: git allows no such name", shown(text)));
    }
    // Names may hold these; whoever writes them here means several branches, or all but one.
    (text.starts_with('!') || text.contains(','))
        .then(|| format!("{} would be one branch of that very name: {way_out}", shown(text)))
}

/// Whether the first leaves no branch to the second. A `*` of the second is for the first a character that only
/// its own `*` can match, so that nothing is known of it where the first leaves some out.
pub(super) fn leaves_nothing(first: &BranchFilter, second: &BranchFilter) -> bool {
    let takes = |pattern: &str| first.asks_for(&Branch(pattern.to_owned()));
    second.wanted().all(|pattern| takes(pattern) && !(first.leaves_out() && pattern.contains('*')))
}

/// What `StageName::slug` can make of the branches, before it trims and cuts. The digits that stand behind
/// some names are not in it: what they make equal is seen when such a branch comes.
pub(super) fn slugs_of(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for c in pattern.chars() {
        let token = match c {
            '*' => Token::Any,
            c if c.is_ascii_alphanumeric() => Token::Char(c.to_ascii_lowercase()),
            _ => Token::Char('-'),
        };
        if token != Token::Char('-') || tokens.last() != Some(&token) {
            tokens.push(token);
        }
    }
    tokens
}
