//! Rendering of the CloudFormation templates.
//!
//! A text follows from the configuration alone: what differs from one account to the next, what is
//! leased and what ECS runs comes as parameters. Equal texts therefore mean that nothing of a
//! stage's stack changed.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::port::{PortError, PortResult};

const FOUNDATION: &str = "foundation";
const STAGE: &str = "stage";

const BOOTSTRAP: &str = "bootstrap";

const TEMPLATES: [(&str, &str); 9] = [
    (BOOTSTRAP, include_str!("../../templates/cloudformation/bootstrap.yaml.j2")),
    (FOUNDATION, include_str!("../../templates/cloudformation/foundation.yaml.j2")),
    ("network", include_str!("../../templates/cloudformation/network.yaml.j2")),
    ("programs", include_str!("../../templates/cloudformation/programs.yaml.j2")),
    ("roles", include_str!("../../templates/cloudformation/roles.yaml.j2")),
    ("repositories", include_str!("../../templates/cloudformation/repositories.yaml.j2")),
    ("doors", include_str!("../../templates/cloudformation/doors.yaml.j2")),
    (STAGE, include_str!("../../templates/cloudformation/stage.yaml.j2")),
    ("service", include_str!("../../templates/cloudformation/service.yaml.j2")),
];

static ENVIRONMENT: LazyLock<Result<Environment<'static>, minijinja::Error>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    Ok(environment)
});

/// The text of a foundation's stack.
pub(super) fn foundation(context: &impl Serialize) -> PortResult<String> {
    render(FOUNDATION, context)
}

/// The text of a stage's stack.
pub(super) fn stage(context: &impl Serialize) -> PortResult<String> {
    render(STAGE, context)
}

/// The text of the stack that lets a repository's jobs in.
pub(super) fn bootstrap(context: &impl Serialize) -> PortResult<String> {
    render(BOOTSTRAP, context)
}

/// What that is made from.
pub(super) fn bootstrap_source() -> &'static str {
    TEMPLATES[0].1
}

/// Tells apart the foundations' templates of different releases of Greenroom.
pub(super) fn foundation_version() -> String {
    let mut hash = Sha256::new();
    for (name, text) in TEMPLATES.iter().filter(|(name, _)| ![BOOTSTRAP, STAGE, "service"].contains(name)) {
        hash.update(name);
        hash.update(text);
    }
    hex::encode(&hash.finalize()[..8])
}

fn render(name: &str, context: &impl Serialize) -> PortResult<String> {
    let environment = ENVIRONMENT.as_ref().map_err(|error| fault(name, error))?;
    let template = environment.get_template(name).map_err(|error| fault(name, &error))?;
    template.render(Serde(context)).map_err(|error| fault(name, &error))
}

fn fault(name: &str, error: &minijinja::Error) -> PortError {
    PortError::Bug { context: format!("the template {name} cannot be rendered: {error:#}"), source: None }
}

/// A service's name as the beginning of logical ids, which take letters and digits only. A name
/// with a dash gets a mark, so that `web-2` is not `web2`.
pub(super) fn logical(name: &str) -> String {
    let words = name.split('-').filter_map(|word| {
        let first = word.chars().next()?;
        Some(format!("{}{}", first.to_ascii_uppercase(), &word[first.len_utf8()..]))
    });
    let mark = if name.contains('-') { short_hash(name) } else { String::new() };
    words.chain([mark]).collect()
}

/// Eight hexadecimal digits that stand for a text, in capitals: logical ids begin words so.
pub(super) fn short_hash(text: &str) -> String {
    hex::encode_upper(&Sha256::digest(text.as_bytes())[..4])
}

/// The same in so many digits that nobody finds another text for them: what it names is a wall.
pub(super) fn long_hash(text: &str) -> String {
    hex::encode_upper(&Sha256::digest(text.as_bytes())[..16])
}

/// The resources of a rendered template: logical id and type, in the order of the text.
pub(super) fn resources(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut id = None;
    for line in text.lines() {
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            inside = line.starts_with("Resources:");
        } else if inside && let Some(name) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')) {
            if !name.starts_with([' ', '#']) {
                id = Some(name.to_owned());
            }
        } else if inside && let Some(kind) = line.strip_prefix("    Type: ") {
            found.extend(id.take().map(|id| (id, kind.to_owned())));
        }
    }
    found
}

/// The growing parts of `new` in the place of those in `live`; all else stays as it is live.
pub(super) fn extend(live: &str, new: &str) -> PortResult<String> {
    let mut text = live.to_owned();
    for part in ["doors", "outputs"] {
        let (from, to) = bounds(&text, part)?;
        let (new_from, new_to) = bounds(new, part)?;
        text.replace_range(from..to, &new[new_from..new_to]);
    }
    Ok(text)
}

fn bounds(text: &str, part: &str) -> PortResult<(usize, usize)> {
    let from = text.find(&format!("# >>> {part}"));
    let to = text.find(&format!("# <<< {part}"));
    from.zip(to).filter(|(from, to)| from < to).ok_or_else(|| {
        PortError::failed(
            crate::model::FailureKind::Environment,
            format!(
                "the foundation's template has no part for its {part}: it was not made by Greenroom, or changed by hand"
            ),
            "Run `greenroom foundation deploy` to bring the foundation to the template of this release.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logical_ids_tell_services_apart() {
        let ids: Vec<String> = ["web", "web-2", "web2", "web-api", "webapi"].into_iter().map(logical).collect();
        insta::assert_debug_snapshot!(ids, @r#"
        [
            "Web",
            "Web2612F7A0E",
            "Web2",
            "WebApi85047EB6",
            "Webapi",
        ]
        "#);
    }

    #[test]
    fn only_the_growing_parts_are_exchanged() {
        let text = |a: &str, b: &str, c: &str| {
            format!("{a}\n# >>> doors\n{b}\n# <<< doors\n# >>> outputs\n{c}\n# <<< outputs\n")
        };
        let extended = extend(&text("old", "one", "1"), &text("new", "two", "2")).unwrap();
        assert_eq!(extended, text("old", "two", "2"));
        assert!(extend("by hand", &text("new", "two", "2")).is_err());
    }
}
