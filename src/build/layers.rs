//! Which images of this engine a build of its first builder may take layers from.
//!
//! # Guarantees
//!
//! - The engine has one store of layers for all who build there, and its first builder tells steps apart
//!   by their lines. It is let into no part of it but images that are named (`--cache-from`), or into
//!   none (`--no-cache`): else a repository would get what another's step made of the same line, a key
//!   for one, and could leave another what it made of it (`HTTP_PROXY` is not compared).
//! - Named are images of the same repository, service, platform and shelf, those of the own stage first;
//!   for a preview also what the repository's permanent stages built. Nothing rises: no permanent stage
//!   begins with what a preview built, and nobody with a fork's, but that pull request itself.
//! - Whose an image is says a label that only this installation can work out, on images with a name that
//!   only Greenroom gives. A Dockerfile's own labels do not count: those of the command line come last.
//!
//! Of a Dockerfile with several stages only what the last one begins with has a name, and is taken: the
//! others are built each time. The lines of a build would name their images as well, but a step can print
//! such lines.

use super::docker::fault;
use super::image::ImageWork;
use super::recipe::{self, is_ours};
use crate::model::{Platform, StageKind, Trust};
use crate::port::PortResult;

const LABEL: &str = "greenroom.layers";
/// Of each shelf, so many: with each one the builder looks longer.
const MOST: usize = 4;

impl ImageWork {
    /// Marks an image for the builds that may begin with it; `None` if none may.
    pub(super) fn layers_label(&self) -> Option<String> {
        self.shelves().first().map(|own| format!("{LABEL}={}", self.mark(own)))
    }

    /// The numbers of images that this build may begin with, best first.
    pub(super) async fn layers(&self) -> PortResult<Vec<String>> {
        let own = recipe::repository(&self.stage, &self.service);
        let mut images = Vec::new();
        for shelf in self.shelves() {
            let label = format!("label={LABEL}={}", self.mark(&shelf));
            let answer = self
                .docker
                .ask(&[
                    "image",
                    "ls",
                    "--no-trunc",
                    "--filter",
                    "dangling=false",
                    "--filter",
                    &label,
                    "--format",
                    "{{.ID}} {{.Repository}}",
                ])
                .await?;
            if !answer.success {
                return Err(fault(&answer.stderr));
            }
            images.extend(best(&answer.stdout, &own));
        }
        Ok(images)
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

/// The numbers in what `docker image ls` printed, the newest first as it has them, but those of the own
/// stage before all others.
fn best(listed: &str, own: &str) -> Vec<String> {
    let mut images: Vec<(&str, &str)> = listed
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(id, repository)| id.starts_with("sha256:") && is_ours(repository))
        .collect();
    images.sort_by_key(|(_, repository)| *repository != own);
    let mut best: Vec<String> = Vec::new();
    for (id, _) in images {
        if best.len() < MOST && !best.iter().any(|known| known == id) {
            best.push(id.to_owned());
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_stages_come_first_and_then_the_newest() {
        let listed = "sha256:5 greenroom/acme-shop/pr-2-web\nsha256:4 greenroom/acme-shop/pr-1-web\n\
                      sha256:4 greenroom/acme-shop/pr-1-web\nsha256:3 somebody/else\n\
                      sha256:2 greenroom/acme-shop/pr-3-web\nsha256:1 greenroom/acme-shop/pr-1-web\n\
                      sha256:0 greenroom/acme-shop/pr-4-web\n\nnonsense\n<none> greenroom/acme-shop/pr-1-web\n";
        let found = best(listed, "greenroom/acme-shop/pr-1-web");
        assert_eq!(found, ["sha256:4", "sha256:1", "sha256:5", "sha256:2"]);
        assert_eq!(best("", "greenroom/acme-shop/pr-1-web"), Vec::<String>::new());
    }
}
