//! The file `.github/greenroom.yml`: bytes in, a checked `Project` or all problems out.
//!
//! Guarantees: `check` never panics and its work is bounded, whatever the bytes are; it reports
//! everything that is wrong at once, in the order of the file, each with line, column and what
//! would be right; a `Project` that it returns can be deployed without another look at the file.

mod branches;
mod builds;
mod complain;
mod init;
mod limits;
mod narrow;
mod overlap;
mod paths;
mod policy;
mod raw;
mod reference;
mod report;
mod schema;
mod services;
mod sheet;
mod stages;
mod text;
mod tree;
mod workflow;
mod yaml;

use sha2::{Digest, Sha256};

use crate::model::{AppName, AwsRoles, AwsTarget, Domain, Position, Problem, Problems, Project};

pub use init::{FirstFile, RunnerBuilds, WorkflowFile, Workflows, first_file, is_telling, workflows};
pub use limits::over_limits;
pub use narrow::narrow;
pub use paths::idle_patterns;
pub use reference::reference_table;
pub use schema::schema;
pub use workflow::workflow;

use report::Report;
use sheet::Sheet;

/// Where the file lies in a repository.
pub const PATH: &str = ".github/greenroom.yml";

/// What it is called by mistake, with the other ending that YAML has.
pub const MISNAMED: &str = ".github/greenroom.yaml";

/// All that is wrong with a repository that has the file under the other name alone.
pub fn misnamed() -> Problems {
    let message = format!("this file is not read: its name is {PATH}, with `yml` at its end");
    let at = Position { line: 1, column: 1 };
    Problems { file: MISNAMED.to_owned(), problems: vec![Problem { at, path: String::new(), message }] }
}

/// Checks a file; `file` is its name in messages.
pub fn check(file: &str, bytes: &[u8]) -> Result<Project, Problems> {
    let mut report = Report::default();
    match examine(bytes, &mut report) {
        Some(project) if report.is_empty() => Ok(project),
        _ => Err(report.finish(file)),
    }
}

/// Everything that can be said of the bytes. `None` has left its reason in the report.
fn examine(bytes: &[u8], report: &mut Report) -> Option<Project> {
    let document = tree::read(bytes, report)?;
    let bad = complain::check_shape(&document, report);
    let mut sheet = Sheet { document: &document, bad, report };
    let (aws, aws_roles) = aws(&mut sheet).unzip();
    let domain = sheet.read::<raw::Domain>("/domain").map(|domain| Domain {
        zone: domain.zone,
        dns: domain.dns,
        certificate: domain.certificate,
    });
    let commands = policy::commands(&mut sheet);
    let builds = builds::builds(&mut sheet);
    let stages = stages::rules(&mut sheet);
    let services = services::services(&mut sheet, &stages);
    limits::check_own(&mut sheet, &stages, &services);
    let app = AppName::new(sheet.read::<String>("/app")?).map_err(|error| sheet.value("/app", error.to_string()));
    Some(Project {
        app: app.ok()?,
        aws,
        aws_roles: aws_roles.unwrap_or_default(),
        domain,
        commands,
        builds,
        stages,
        services,
        digest: hex::encode(Sha256::digest(bytes)),
    })
}

fn aws(sheet: &mut Sheet<'_>) -> Option<(AwsTarget, AwsRoles)> {
    let raw::Aws { region, account, role, roles } = sheet.read("/aws")?;
    // Source: IAM identifiers, `arn:partition:iam::account:role/name`.
    let raw::AwsRoles { preview, permanent, production } = roles;
    let roles = AwsRoles { preview, permanent, production };
    let named = [
        ("/aws/role", &role),
        ("/aws/roles/preview", &roles.preview),
        ("/aws/roles/permanent", &roles.permanent),
        ("/aws/roles/production", &roles.production),
    ];
    for (path, role) in named {
        let other = role.as_deref().and_then(|role| role.split(':').nth(4)).filter(|other| **other != account);
        if let Some(other) = other {
            sheet.value(path, format!("the role is in the account {other}, `account` says {account}"));
        }
    }
    Some((AwsTarget { region, account, role }, roles))
}
