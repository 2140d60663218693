//! Which images of this engine a build of its first builder may take layers from.
//!
//! # Guarantees
//!
//! - The engine has one store of layers for all who build there, and its first builder tells steps apart
//!   by their lines. It is let into no part of it but images that are named (`--cache-from`), or into
//!   none (`--no-cache`): else a repository would get what another's step made of the same line, a key
//!   for one, and could leave another what it made of it (`HTTP_PROXY` is not compared).
//! - Named are images of the same repository, service, platform and shelf: the own stage's, or where there
//!   are none yet, others'; for a preview rather those that the repository's permanent stages built.
//!   Nothing rises: no permanent stage begins with what a preview built, and nobody with a fork's, but
//!   that pull request itself.
//! - Whose an image is says a label that only this installation can work out, on images with a name that
//!   only Greenroom gives. A Dockerfile's own labels do not count: those of the command line come last.
//!
//! Of a Dockerfile with several stages only what the last one begins with has a name, and is taken: the
//! others are built each time. The lines of a build would name their images as well, but a step can print
//! such lines.

use super::docker::fault;
use super::image::ImageWork;
use super::recipe;
use crate::model::{Platform, StageKind, Trust};
use crate::port::PortResult;

const LABEL: &str = "greenroom.layers";
/// With each one the builder looks longer.
const MOST: usize = 4;

impl ImageWork {
    /// Marks an image for the builds that may begin with it; `None` if none may.
    pub(super) fn layers_label(&self) -> Option<String> {
        self.shelves().first().map(|own| format!("{LABEL}={}", self.mark(own)))
    }

    /// The same for the command line: what the Dockerfile says itself never counts.
    pub(super) fn layers_argument(&self) -> String {
        format!("--label={}", self.layers_label().unwrap_or_else(|| format!("{LABEL}=")))
    }

    /// The numbers of images that this build may begin with.
    pub(super) async fn layers(&self) -> PortResult<Vec<String>> {
        let mut listed = Vec::new();
        for shelf in self.shelves() {
            let label = format!("label={LABEL}={}", self.mark(&shelf));
            let mut question = vec!["image", "ls", "--no-trunc", "--filter", "dangling=false", "--filter"];
            question.extend([label.as_str(), "--format", "{{.ID}} {{.Repository}}"]);
            let answer = self.docker.ask(&question).await?;
            if !answer.success {
                return Err(fault(&answer.stderr));
            }
            listed.push(answer.stdout);
        }
        Ok(choose(&listed, &recipe::repository(&self.stage, &self.service)))
    }

    /// Whose layers it may take, its own first.
    fn shelves(&self) -> Vec<String> {
        let own = self.for_whom().shelf();
        match (self.trust, self.place.kind) {
            (Trust::Permanent, _) => vec![own],
            (Trust::Preview, _) => vec![own, Trust::Permanent.to_string()],
            // One author's, as far as anybody's is.
            (Trust::Fork, StageKind::Ephemeral) => vec![format!("{own}/{}", self.stage.name)],
            // Where commits of several forks may come one after the other.
            (Trust::Fork, StageKind::Permanent | StageKind::Production) => Vec::new(),
        }
    }

    fn mark(&self, shelf: &str) -> String {
        // The first builder does not tell processors apart.
        let platform = self.platform().map_or("", Platform::as_str);
        self.names.tag(&["layers", self.stage.repo.as_str(), self.service.as_str(), platform, shelf])
    }
}

/// Of what `docker image ls` printed for each shelf, newest first, the numbers of the own stage's images.
/// Without any, those of the shelves below its own, and without any, the rest of its own.
///
/// The builder takes the newest layer that fits in any of them, so that all at once would lead it away
/// from the own stage's.
fn choose(listed: &[String], own: &str) -> Vec<String> {
    let repository = own.rsplit_once('/').map_or(own, |(repository, _)| repository);
    let mut shelves = listed.iter().map(|text| read(text, repository));
    let (of_stage, others): (Vec<_>, Vec<_>) =
        shelves.next().unwrap_or_default().into_iter().partition(|(_, repository)| *repository == own);
    let below: Vec<_> = shelves.flatten().collect();
    let first = [of_stage, below, others].into_iter().find(|images| !images.is_empty()).unwrap_or_default();
    let mut chosen: Vec<String> = Vec::new();
    for (id, _) in first {
        if chosen.len() < MOST && !chosen.iter().any(|known| known == id) {
            chosen.push(id.to_owned());
        }
    }
    chosen
}

/// Numbers and names, of those that may be the repository's.
fn read<'a>(listed: &'a str, repository: &str) -> Vec<(&'a str, &'a str)> {
    let lines = listed.lines().filter_map(|line| line.trim().split_once(' '));
    lines.filter(|(id, name)| id.starts_with("sha256:") && name.starts_with(repository)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_stages_come_first_then_permanent_ones_and_then_others() {
        let previews = "sha256:5 greenroom/acme-shop/pr-2-web\nsha256:4 greenroom/acme-shop/pr-1-web\n\
                        sha256:4 greenroom/acme-shop/pr-1-web\nsha256:3 somebody/else\n\
                        sha256:7 greenroom/other-shop/pr-1-web\n\
                        sha256:2 greenroom/acme-shop/pr-3-web\nsha256:1 greenroom/acme-shop/pr-1-web\n\
                        \nnonsense\n<none> greenroom/acme-shop/pr-1-web\n";
        let permanent = "sha256:9 greenroom/acme-shop/main-web\nsha256:8 greenroom/acme-shop/prod-web\n";
        let of = |permanent: &str, stage: &str| {
            choose(&[previews.to_owned(), permanent.to_owned()], &format!("greenroom/acme-shop/{stage}-web"))
        };
        assert_eq!(of(permanent, "pr-1"), ["sha256:4", "sha256:1"]);
        assert_eq!(of(permanent, "pr-9"), ["sha256:9", "sha256:8"]);
        assert_eq!(of("", "pr-9"), ["sha256:5", "sha256:4", "sha256:2", "sha256:1"]);
        assert_eq!(choose(&[String::new()], "greenroom/acme-shop/pr-1-web"), Vec::<String>::new());
        assert_eq!(choose(&[], "greenroom/acme-shop/pr-1-web"), Vec::<String>::new());
    }
}
