//! What a runner is asked to build, named by its content.
//!
//! # Guarantees
//!
//! - What is hashed is what the runner gets: git's own name of the folder that is built at that commit, which
//!   covers every byte, link and mode below it, and the `.gitattributes` above it, which say how files are
//!   written when they are checked out; with the Dockerfile's name, arguments, target and platform, whom it
//!   is for and how far its commit is trusted.
//! - So two commits of which that folder is the same are built once, and no byte of the source is read here.
//! - It is never the content of an image that was built on this host, whose source comes as an archive.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::cache_names;
use super::super::content::Fields;
use super::super::manifest::DEFAULT_PLATFORM;
use super::super::recipe::{Purpose, check_argument, unusable};
use crate::model::{ImageSpec, Nonce, Seconds, Trust};
use crate::port::{BuildJob, CONTENT_DIGITS, PortResult, TreeEntry, Workflows};

/// The version of the inputs: a workflow that does not know it refuses.
const PROTOCOL: &str = "1";

/// The hash of what is built, in 40 digits.
pub(super) async fn content(workflows: &dyn Workflows, job: &BuildJob<'_>, spec: &ImageSpec) -> PortResult<String> {
    for name in spec.args.keys() {
        check_argument(name)?;
    }
    let repo = &job.stage.repo;
    let at = |path: String| async move { workflows.tree_entry(repo, job.sha, &path).await };
    let context = match at(spec.context.clone()).await? {
        Some(TreeEntry::Folder(tree)) => tree,
        Some(_) => {
            return Err(unusable(format!("The build context `{}` is not a folder", spec.context), "build.context"));
        }
        None => return Err(unusable(format!("`{}` is not in the commit", spec.context), "build.context")),
    };
    match at(format!("{}/{}", spec.context, spec.dockerfile)).await? {
        Some(TreeEntry::File(_)) => {}
        Some(_) => return Err(unusable(format!("`{}` is not a file", spec.dockerfile), "build.dockerfile")),
        None => return Err(unusable(format!("`{}` is not in the commit", spec.dockerfile), "build.dockerfile")),
    }
    let purpose = Purpose { stage: job.stage, kind: job.place.kind, trust: job.trust, service: &job.service.name };
    let mut fields = Fields::default();
    let of = ["runner", repo.as_str(), &purpose.shelf(), job.service.name.as_str(), &context, &spec.dockerfile];
    for field in of {
        fields.add(field.as_bytes());
    }
    for folder in above(&spec.context) {
        let attributes = match at(format!("{folder}/.gitattributes")).await? {
            Some(TreeEntry::File(blob)) => blob,
            _ => String::new(),
        };
        fields.add(attributes.as_bytes());
    }
    fields.add(spec.target.as_deref().unwrap_or_default().as_bytes());
    fields.add(spec.platform.unwrap_or(DEFAULT_PLATFORM).as_str().as_bytes());
    for (name, value) in &spec.args {
        fields.add(name.as_bytes());
        fields.add(value.as_bytes());
    }
    Ok(fields.finish()[..CONTENT_DIGITS].to_owned())
}

/// The folders above one, from the top: of `apps/web` they are `.` and `./apps`.
fn above(folder: &str) -> Vec<String> {
    let parts: Vec<&str> = folder.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let up_to = |depth: usize| -> Vec<&str> { std::iter::once(".").chain(parts[..depth].iter().copied()).collect() };
    (0..parts.len()).map(|depth| up_to(depth).join("/")).collect()
}

/// Where an image goes.
pub(super) struct Destination<'a> {
    /// The repository of the registry: host and path.
    pub(super) address: &'a str,
    /// The content's tag.
    pub(super) tag: &'a str,
    /// The repository of the cache.
    pub(super) cache: Option<&'a str>,
}

impl Destination<'_> {
    pub(super) fn image(&self) -> String {
        format!("{}:{}", self.address, self.tag)
    }
}

/// The build's name.
pub(super) fn nonce(job: &BuildJob<'_>, to: &Destination<'_>) -> Nonce {
    Nonce::new(job.stage, job.generation, &[job.service.name.as_str(), job.sha.as_str(), &to.image()])
}

/// What the workflow is given.
pub(super) fn inputs(
    job: &BuildJob<'_>,
    spec: &ImageSpec,
    nonce: &Nonce,
    to: &Destination<'_>,
    deadline: Seconds,
) -> BTreeMap<&'static str, String> {
    let host = to.address.split('/').next().unwrap_or_default();
    let platform = spec.platform.unwrap_or(DEFAULT_PLATFORM);
    // What a stranger's build leaves is read by nobody, and what it may read it could print.
    let cache = to.cache.filter(|_| job.trust != Trust::Fork);
    let cache = cache.map(|place| format!("{place}:{}", cache_names::tag(job.stage, job.trust, &job.service.name)));
    let labels = json!({ "greenroom.repo": job.stage.repo, "greenroom.service": job.service.name });
    let runner = serde_json::to_string(&job.builds.runner(platform, job.trust)).unwrap_or_default();
    BTreeMap::from([
        ("protocol", PROTOCOL.to_owned()),
        ("nonce", nonce.to_string()),
        ("sha", job.sha.to_string()),
        ("stage", job.stage.name.to_string()),
        ("service", job.service.name.to_string()),
        ("trust", job.trust.to_string()),
        ("image", to.image()),
        ("registry", host.to_owned()),
        ("region", region(host).unwrap_or_default().to_owned()),
        ("platform", platform.as_str().to_owned()),
        ("runs-on", runner),
        ("context", spec.context.clone()),
        ("dockerfile", spec.dockerfile.clone()),
        ("target", spec.target.clone().unwrap_or_default()),
        ("args", json!(spec.args).to_string()),
        ("labels", labels.to_string()),
        ("cache", cache.unwrap_or_default()),
        ("timeout", deadline.0.div_ceil(60).max(1).to_string()),
        ("server", concat!("greenroom/", env!("CARGO_PKG_VERSION")).to_owned()),
    ])
}

/// The region of an ECR registry: `eu-west-1` of `123456789012.dkr.ecr.eu-west-1.amazonaws.com`.
fn region(host: &str) -> Option<&str> {
    let mut parts = host.split('.').skip(1);
    (parts.next() == Some("dkr") && parts.next() == Some("ecr")).then(|| parts.next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_how_files_are_written_lies_above_the_folder() {
        assert_eq!(above("."), Vec::<String>::new());
        assert_eq!(above("./apps/web/"), [".", "./apps"]);
    }

    #[test]
    fn ecr_tells_its_region() {
        assert_eq!(region("123456789012.dkr.ecr.eu-west-1.amazonaws.com"), Some("eu-west-1"));
        assert_eq!(region("registry.example:5000"), None);
    }
}
