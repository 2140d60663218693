//! Who builds images, and how a build on a runner is found again.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Generation, Platform, StageId, Trust};

/// The workflow that builds, below `.github/workflows/` of the default branch.
pub const BUILD_WORKFLOW: &str = "greenroom-build.yml";
/// Its name, by which the events of its jobs are told from those of others.
pub const BUILD_WORKFLOW_NAME: &str = "Greenroom build";
/// The names of its jobs. Whatever commit they build, GitHub shows them as checks of the default branch's newest
/// one, of which they say nothing.
pub const BUILD_JOBS: [&str; 2] = ["Greenroom build", "Greenroom push"];

/// Digits of each hash in a nonce.
const DIGITS: usize = 16;

/// Who builds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuiltBy {
    /// The Docker engine of the server's own host.
    #[default]
    Docker,
    /// The repository's workflow, on GitHub's runners or its own.
    Actions,
}

/// Who builds a stage's images, and where: the policy's to say, never a pull request's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Builds {
    pub by: BuiltBy,
    #[serde(default)]
    pub runners: Runners,
}

/// The runners for each processor; `None` is GitHub's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Runners {
    pub amd64: Option<RunnerLabels>,
    pub arm64: Option<RunnerLabels>,
}

/// What a workflow's `runs-on` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunnerLabels {
    One(String),
    /// A runner that has all of them.
    All(Vec<String>),
}

impl Builds {
    /// Whether it is as it always was, and need not be written down.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Where a commit that is trusted so far is built for a processor. What a stranger wrote never runs on
    /// the repository's own machines.
    ///
    /// Source: GitHub Docs, "Secure use reference", "Hardening for self-hosted runners".
    pub fn runner(&self, platform: Platform, trust: Trust) -> RunnerLabels {
        let (own, usual) = match platform {
            Platform::LinuxAmd64 => (&self.runners.amd64, "ubuntu-24.04"),
            Platform::LinuxArm64 => (&self.runners.arm64, "ubuntu-24.04-arm"),
        };
        own.clone().filter(|_| trust != Trust::Fork).unwrap_or_else(|| RunnerLabels::One(usual.to_owned()))
    }
}

/// Names one build on a runner: of which stage, for which of its goals, and of what.
///
/// It follows from these alone. So a process that died right after it asked for a run, and the one that
/// takes over, call that run by the same name without having told each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce {
    stage: String,
    generation: Generation,
    job: String,
}

impl Nonce {
    /// `parts` are what tells the builds of one goal apart.
    pub fn new(stage: &StageId, generation: Generation, parts: &[&str]) -> Self {
        Self { stage: hash(&[stage.repo.as_str(), stage.name.as_str()]), generation, job: hash(parts) }
    }

    /// The one that a run's title ends with, in brackets.
    pub fn in_title(title: &str) -> Option<Self> {
        title.trim_end().strip_suffix(']')?.rsplit_once('[')?.1.parse().ok()
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether it is of a build for that stage.
    pub fn is_of(&self, stage: &StageId) -> bool {
        self.stage == hash(&[stage.repo.as_str(), stage.name.as_str()])
    }
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digits = hex::encode(hash.finalize());
    digits.truncate(DIGITS);
    digits
}

impl fmt::Display for Nonce {
    /// `8c1f0e6a2b3d4e5f-7-0123456789abcdef`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.stage, self.generation.0, self.job)
    }
}

impl FromStr for Nonce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hash =
            |part: &str| part.len() == DIGITS && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let bad = || "it is not the name of a build".to_owned();
        let (stage, rest) = text.split_once('-').ok_or_else(bad)?;
        let (generation, job) = rest.split_once('-').ok_or_else(bad)?;
        let is_number = !generation.is_empty() && generation.bytes().all(|b| b.is_ascii_digit());
        if !(is_hash(stage) && is_hash(job) && is_number) {
            return Err(bad());
        }
        let generation = Generation(generation.parse().map_err(|_| bad())?);
        Ok(Self { stage: stage.to_owned(), generation, job: job.to_owned() })
    }
}

impl TryFrom<String> for Nonce {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        nonce.to_string()
    }
}

/// A note of a step that has a page of its own: `waiting for a runner <https://github.com/..>`.
pub fn note_with_page(words: &str, page: &str) -> String {
    format!("{words} <{page}>")
}

/// The words of a note, and its page if it has one.
pub fn note_and_page(note: &str) -> (&str, Option<&str>) {
    let split = note.strip_suffix('>').and_then(|rest| rest.rsplit_once(" <"));
    match split {
        Some((words, page)) if is_page(page) => (words, Some(page)),
        _ => (note, None),
    }
}

/// An address that cannot break out of a link.
fn is_page(page: &str) -> bool {
    let scheme = ["https://", "http://"].into_iter().any(|scheme| page.starts_with(scheme));
    scheme && page.len() <= 400 && page.bytes().all(|b| b.is_ascii_alphanumeric() || b":/._-~%?=&".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(repo: &str, name: &str) -> StageId {
        StageId { repo: repo.parse().expect("a repository"), name: name.parse().expect("a stage") }
    }

    #[test]
    fn a_nonce_follows_from_what_it_names_and_tells_its_stage() {
        let shop = stage("acme/shop", "pr-42");
        let nonce = Nonce::new(&shop, Generation(7), &["web", "abc"]);
        assert_eq!(nonce, Nonce::new(&shop, Generation(7), &["web", "abc"]));
        assert_eq!(nonce.to_string().parse(), Ok(nonce.clone()));
        for other in [
            Nonce::new(&shop, Generation(8), &["web", "abc"]),
            Nonce::new(&shop, Generation(7), &["api", "abc"]),
            Nonce::new(&shop, Generation(7), &["weba", "bc"]),
            Nonce::new(&stage("acme/docs", "pr-42"), Generation(7), &["web", "abc"]),
        ] {
            assert_ne!(nonce, other);
        }
        assert!(nonce.is_of(&shop) && !nonce.is_of(&stage("acme/shop", "pr-4")));
        assert_eq!(nonce.generation(), Generation(7));
    }

    #[test]
    fn a_title_ends_with_its_nonce() {
        let nonce = Nonce::new(&stage("acme/shop", "pr-42"), Generation(7), &["web"]);
        let found = |title: &str| Nonce::in_title(title);
        assert_eq!(found(&format!("Greenroom builds web of pr-42 [{nonce}]")), Some(nonce.clone()));
        assert_eq!(found(&format!("[{nonce}]")), Some(nonce.clone()));
        for title in [
            "",
            "]",
            "[]",
            "[x] no",
            &format!("{nonce}"),
            &format!("[{nonce}] and more"),
            &format!("[{}]", nonce.to_string().to_uppercase()),
            "[0123456789abcdef--0123456789abcdef]",
            "[0123456789abcdef-99999999999999999999-0123456789abcdef]",
        ] {
            assert_eq!(found(title), None, "{title}");
        }
    }

    #[test]
    fn a_stranger_s_commit_never_runs_on_the_repository_s_own_machines() {
        let own = RunnerLabels::All(vec!["self-hosted".into(), "arm64".into()]);
        let runners = Runners { amd64: None, arm64: Some(own.clone()) };
        let builds = Builds { by: BuiltBy::Actions, runners };
        let one = |label: &str| RunnerLabels::One(label.into());
        for (platform, trust, expected) in [
            (Platform::LinuxAmd64, Trust::Permanent, one("ubuntu-24.04")),
            (Platform::LinuxArm64, Trust::Permanent, own.clone()),
            (Platform::LinuxArm64, Trust::Preview, own),
            (Platform::LinuxArm64, Trust::Fork, one("ubuntu-24.04-arm")),
        ] {
            assert_eq!(builds.runner(platform, trust), expected, "{platform:?} {trust}");
        }
    }

    #[test]
    fn a_note_carries_a_page_and_nothing_that_breaks_out_of_a_link() {
        let page = "https://github.com/acme/shop/actions/runs/17";
        assert_eq!(note_and_page(&note_with_page("waiting for a runner", page)), ("waiting for a runner", Some(page)));
        for note in ["building", "a <b>", "x <javascript:alert(1)>", "x <https://a/b c>", "x <https://a/)](http://b>"] {
            assert_eq!(note_and_page(note), (note, None), "{note}");
        }
    }
}
