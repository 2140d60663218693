//! The app that the demo deploys: a tea shop of two services, as the files of its commits.
//!
//! `web` shows a page, `api` knows the offers; each reads what it is from the files of its commit,
//! so that a commit changes what is seen.

use std::path::Path;

use anyhow::Context as _;

use crate::sandbox::FileChange;

/// The repository.
pub(super) const REPO: &str = "acme/shop";
/// The pull request's branch.
pub(super) const BRANCH: &str = "spring-offers";
/// Where `web` reads the page's heading.
pub(super) const TITLE_FILE: &str = "web/title.txt";
/// Where `api` reads what is on offer: `name = price`, one a line.
pub(in crate::cli) const OFFERS_FILE: &str = "api/offers.txt";

/// A working state of the pull request: 1 is what it was opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edition(pub(super) u32);

impl Edition {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The heading that shows that this edition is seen.
    pub(super) fn title(self) -> String {
        match self.0 {
            1 => "Spring at Acme".to_owned(),
            2 => "Spring sale at Acme".to_owned(),
            more => format!("Spring sale at Acme, week {}", more - 1),
        }
    }

    /// The offer that shows that this edition is seen.
    pub(super) fn offer(self) -> String {
        let cents = 510 - 20 * i64::from(self.0.min(21) - 1);
        format!("Jasmine tea {}.{:02}", cents / 100, cents % 100)
    }

    /// What the commit says.
    pub(super) fn message(self) -> &'static str {
        if self.0 == 1 { "Offer jasmine tea" } else { "Lower the price of jasmine tea" }
    }

    pub(super) fn files(self) -> [FileChange; 2] {
        let price = self.offer();
        let (name, price) = price.rsplit_once(' ').unwrap_or((&price, "0"));
        [
            FileChange::write(TITLE_FILE, format!("{}\n", self.title())),
            FileChange::write(OFFERS_FILE, format!("Green tea = 4.20\n{name} = {price}\n")),
        ]
    }
}

/// What the broken commit says, and the price that is none.
pub(super) const BROKEN_MESSAGE: &str = "Offer mint tea";
pub(super) const BROKEN_PRICE: &str = "two for one";

/// A commit that the api cannot start from.
pub(super) fn broken() -> [FileChange; 1] {
    [FileChange::write(OFFERS_FILE, format!("Green tea = 4.20\nMint tea = {BROKEN_PRICE}\n"))]
}

/// The repository's first commit. `program` is what both services run, as long as the process
/// `demo` lives.
pub(super) fn first_files(program: &Path, demo: i32) -> anyhow::Result<Vec<FileChange>> {
    // `{` begins a placeholder in a configuration; JSON's strings are YAML's too.
    let program = program.to_str().context("the path of this program is not UTF-8")?.replace('{', "{{");
    let program = serde_json::to_string(&program)?;
    let config = format!(
        r#"version: 1
app: shop
services:
  web:
    kind: ecs
    host: "@"
    port: 3000
    health: {{ path: /health }}
    env: {{ API_URL: "{{urls.api}}" }}
    needs: [api]
    paths: ["web/**"]
    local: {{ command: [{program}, demo-app, web, --demo, "{demo}"] }}
  api:
    kind: ecs
    host: api
    port: 4000
    health: {{ path: /health }}
    paths: ["api/**"]
    local: {{ command: [{program}, demo-app, api, --demo, "{demo}"] }}
"#
    );
    Ok(vec![
        FileChange::write(".github/greenroom.yml", config),
        FileChange::write("README.md", "A tea shop: `web` shows what `api` has on offer.\n"),
        FileChange::write(TITLE_FILE, "Acme teas\n"),
        FileChange::write(OFFERS_FILE, "Green tea = 4.20\n"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_right_whatever_the_programs_path() {
        let files = first_files(Path::new("/opt/a \"b\" {c}/greenroom"), 7).expect("files");
        let Some(FileChange::Write { path, content }) = files.first() else { panic!("a file") };
        let project = crate::config::check(path, content).expect("a right configuration");
        assert_eq!(project.services.len(), 2);
    }

    #[test]
    fn every_edition_looks_different() {
        assert_eq!(Edition(1).offer(), "Jasmine tea 5.10");
        assert_eq!(Edition(1).next().offer(), "Jasmine tea 4.90");
        assert_ne!(Edition(2).title(), Edition(3).title());
    }
}
