//! What an image is made of: checked, hashed and named before anything is built.
//!
//! # Guarantees
//!
//! - Context and Dockerfile lie inside the source, links followed.
//! - Two recipes have the same name only if engine and user would get the same image from them:
//!   the name ends in a hash over the very bytes that are sent to the builder (see [`Context`]), the
//!   arguments, target, platform, the place that it is for, and how far its commit is trusted.
//! - A build argument is never a setting of the builder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::Fields;
use super::context::{Context, Dockerfile};
use super::demand::Demand;
use super::docker::Tools;
use super::names::Names;
use super::source::disk_error;
use crate::model::{FailureKind, ImageSpec, ServiceName, StageId, StageKind, Trust};
use crate::port::{CONTENT_DIGITS, PortError, PortResult};

/// A checked recipe.
#[derive(Debug)]
pub(super) struct Recipe {
    /// `greenroom/<owner>-<name>/<stage>-<service>:<32 digits>`
    pub(super) reference: String,
    /// What servers without a key called it: it is found under that name too.
    pub(super) earlier: Option<String>,
    /// 40 digits over everything that makes the image: the same for every stage of the repository that
    /// trusts it as far.
    pub(super) content: String,
    pub(super) context: Arc<Context>,
}

/// What an image is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) stage: &'a StageId,
    pub(super) kind: StageKind,
    pub(super) trust: Trust,
    pub(super) service: &'a ServiceName,
}

impl Purpose<'_> {
    /// Within what images are shared: `permanent`, `preview`, `fork`. A permanent stage that runs
    /// another commit than its branch's takes nothing that was made for others, and leaves them nothing.
    pub(super) fn shelf(&self) -> String {
        match (self.trust, self.kind) {
            (Trust::Permanent, _) | (_, StageKind::Ephemeral) => self.trust.to_string(),
            (trust, StageKind::Permanent | StageKind::Production) => format!("{trust}/{}", self.stage.name),
        }
    }
}

/// What an image is made from, by whom, and for how long somebody waits for it.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// The unpacked source of the commit.
    pub(super) root: &'a Path,
    pub(super) tools: Tools,
    pub(super) names: &'a Names,
    pub(super) demand: &'a Demand,
}

/// Checks, reads and names what an image is built from. Blocks while it reads the context.
pub(super) fn read(purpose: &Purpose<'_>, spec: &ImageSpec, sources: &Sources<'_>) -> PortResult<Recipe> {
    let Purpose { stage, service, .. } = *purpose;
    let Sources { root: source, tools, names, demand } = *sources;
    for name in spec.args.keys() {
        check_argument(name)?;
    }
    let source = source.canonicalize().map_err(|error| disk_error("the source", &error))?;
    let context = inside(&source, &spec.context, "build.context")?;
    if !context.is_dir() {
        return Err(unusable(format!("The build context `{}` is not a folder", spec.context), "build.context"));
    }
    let dockerfile = inside(&source, &format!("{}/{}", spec.context, spec.dockerfile), "build.dockerfile")?;
    if !dockerfile.is_file() {
        return Err(unusable(format!("`{}` is not a file", spec.dockerfile), "build.dockerfile"));
    }
    let named = Dockerfile { named: Path::new(&spec.dockerfile), real: &dockerfile };
    let context = Context::read(&context, named, tools, demand)?;
    let mut fields = Fields::default();
    for field in [stage.repo.as_str(), &purpose.shelf(), service.as_str(), context.digest(), context.dockerfile()] {
        fields.add(field.as_bytes());
    }
    fields.add(spec.target.as_deref().unwrap_or_default().as_bytes());
    fields.add(spec.platform.map_or("", crate::model::Platform::as_str).as_bytes());
    for (name, value) in &spec.args {
        fields.add(name.as_bytes());
        fields.add(value.as_bytes());
    }
    let content = fields.finish()[..CONTENT_DIGITS].to_owned();
    let parts = [content.as_str(), stage.name.as_str()];
    let repository = repository(stage, service);
    let reference = format!("{repository}:{}", names.tag(&parts));
    let earlier = names.earlier_tag(&parts).map(|tag| format!("{repository}:{tag}"));
    Ok(Recipe { reference, earlier, content, context: Arc::new(context) })
}

/// `greenroom/<owner>-<name>/<stage>-<service>`
pub(super) fn repository(stage: &StageId, service: &ServiceName) -> String {
    format!("{}/{}-{service}", repo_prefix(stage), stage.name)
}

/// `greenroom/<owner>-<name>-<8 digits>/shared/<service>`: what this engine keeps of images that live in a
/// registry, for all stages.
pub(super) fn shared_repository(stage: &StageId, service: &ServiceName) -> String {
    // Its tag says nothing of the repository, and the prefix is not of one alone.
    let mut fields = Fields::default();
    fields.add(stage.repo.as_str().as_bytes());
    format!("{}-{}/shared/{service}", repo_prefix(stage), &fields.finish()[..8])
}

/// `greenroom/<owner>-<name>`, with every run of separators as one `-`, because Docker refuses most
/// of those that GitHub admits: <https://pkg.go.dev/github.com/distribution/reference>.
pub(super) fn repo_prefix(stage: &StageId) -> String {
    let words: Vec<&str> =
        stage.repo.as_str().split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = words.join("-");
    format!("greenroom/{}", if name.is_empty() { "repository" } else { &name })
}

/// What the names of all images that are made here begin with.
pub(super) const OURS: &str = "greenroom/";

/// Whether a reference was made here.
pub(super) fn is_ours(reference: &str) -> bool {
    reference.starts_with(OURS)
}

/// A path of the configuration, inside the source even after following links.
fn inside(source: &Path, path: &str, key: &str) -> PortResult<PathBuf> {
    // `join` would let an absolute path replace the source.
    let relative = path.trim_start_matches('/');
    match source.join(relative).canonicalize() {
        Ok(found) if found.starts_with(source) => Ok(found),
        Ok(_) => Err(unusable(format!("`{path}` lies outside the repository"), key)),
        Err(_) => Err(unusable(format!("`{path}` is not in the commit"), key)),
    }
}

pub(super) fn unusable(summary: String, key: &str) -> PortError {
    PortError::failed(
        FailureKind::Build,
        summary,
        format!("Commit it, or correct `{key}` of the service in `.github/greenroom.yml`."),
    )
}

/// Refuses names that would be settings of the builder. Settings of the command line they are not:
/// nothing of a commit is in its environment.
pub(super) fn check_argument(name: &str) -> PortResult<()> {
    let upper = name.to_ascii_uppercase();
    let shaped = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    let (summary, advice) = if !shaped {
        (format!("`{name}` is not a name for a build argument"), "Use letters, digits and `_`.")
    } else if ["BUILDX_", "BUILDKIT_"].iter().any(|prefix| upper.starts_with(prefix)) {
        (
            format!("The build argument `{name}` would be a setting of the builder on the server"),
            "Choose another name in `build.args` and in the Dockerfile.",
        )
    } else {
        return Ok(());
    };
    Err(PortError::failed(FailureKind::Build, summary, advice))
}

#[cfg(test)]
mod tests;
