//! What a stack should be, and how a request says it.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Parameter, Tag};
use sha2::{Digest as _, Sha256};

use super::read::Snapshot;

/// Whether a stack can be deleted by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::aws) enum Protection {
    On,
    Off,
}

/// How long CloudFormation waits for what it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::aws) enum Pace {
    Standard,
    /// `DeploymentConfig.Mode=EXPRESS`: complete when the configuration is applied. Only for what
    /// holds no data and is made anew if it fails; never for updates, where a replacement would be
    /// stuck.
    Express,
}

/// What becomes of an update that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::aws) enum AfterFailure {
    /// CloudFormation takes it back.
    Back,
    /// It stays where it is, for the next update to mend. A stage's stack was last told a task
    /// definition that a rollout has replaced since and deregistered: taken back, the service would
    /// run it again, or the stack be stuck in `UPDATE_ROLLBACK_FAILED`. CloudFormation replaces no
    /// resource in this mode ("Replacement type updates not supported on stack with
    /// disable-rollback"): what would need it has its reason in its logical id.
    Stay,
}

/// What a stack should be.
#[derive(Debug, Clone)]
pub(in crate::aws) struct Wish {
    pub(in crate::aws) name: String,
    pub(in crate::aws) template: String,
    pub(in crate::aws) parameters: BTreeMap<String, String>,
    pub(in crate::aws) tags: BTreeMap<String, String>,
    pub(in crate::aws) protection: Protection,
    pub(in crate::aws) pace: Pace,
    pub(in crate::aws) after_failure: AfterFailure,
}

pub(super) fn parameters(wish: &Wish) -> Vec<Parameter> {
    let one = |(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build();
    wish.parameters.iter().map(one).collect()
}

pub(super) fn tags(wish: &Wish) -> Vec<Tag> {
    wish.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Names one operation: the same request again, after an answer that was lost, is the same one; the
/// same wish after another operation has ended is a new one.
pub(super) fn token(wish: &Wish, before: Option<&Snapshot>) -> String {
    let mut hash = Sha256::new();
    hash.update(&wish.template);
    for (key, value) in wish.parameters.iter().chain(&wish.tags) {
        hash.update(format!("\n{}:{key}={value}", key.len()));
    }
    let before = before.map(|stack| format!("\n{} {} {}", stack.id, stack.status, stack.began));
    hash.update(before.unwrap_or_default());
    format!("greenroom-{}", hex::encode(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_one_operation() {
        let wish = Wish {
            name: "s".into(),
            template: "text".into(),
            parameters: BTreeMap::from([("A".into(), "1".into())]),
            tags: BTreeMap::new(),
            protection: Protection::Off,
            pace: Pace::Standard,
            after_failure: AfterFailure::Back,
        };
        let other = Wish { parameters: BTreeMap::from([("A".into(), "2".into())]), ..wish.clone() };
        assert_eq!(token(&wish, None), token(&wish, None));
        assert_ne!(token(&wish, None), token(&other, None));
        // Source: CreateStack, ClientRequestToken: [a-zA-Z0-9][-a-zA-Z0-9]*, at most 128.
        assert!(token(&wish, None).len() <= 128 && !token(&wish, None).contains('_'));
    }
}
