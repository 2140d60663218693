//! A workflow file, as far as it decides who gets a token for whom.

use serde::Serialize;

/// One file of `.github/workflows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// From the top of the repository: `.github/workflows/deploy.yml`.
    pub path: String,
    pub triggers: Vec<WorkflowTrigger>,
    pub jobs: Vec<WorkflowJob>,
}

/// An event that starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowTrigger {
    pub event: String,
    /// Patterns of branches, as the file has them; empty where it names none.
    pub branches: Vec<String>,
    /// It names tags, and no branches: branches start nothing.
    pub reach: PushReach,
}

/// What a push must be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushReach {
    /// The file names neither.
    Everything,
    Branches,
    Tags,
    /// It names some of both.
    Both,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowJob {
    pub name: String,
    pub token: IdToken,
    pub environment: JobEnvironment,
    /// The workflow that it calls: `./.github/workflows/x.yml`, or `owner/name/path@ref`.
    pub uses: Option<String>,
}

/// Whether a job may ask for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum IdToken {
    Never,
    /// `id-token: write`, or `write-all`.
    Write,
}

/// Which environment a job stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnvironment {
    None,
    Named(String),
    /// An expression decides, when it runs.
    Computed(String),
}
