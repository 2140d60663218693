//! Whose a stack is, by its tags.
//!
//! Its name alone does not say: letters and a few digits of a hash are all that is left there of a
//! repository's name, and who may choose one finds one that is alike. And tags can be taken away, by
//! hand: then nothing says whose it is, which is neither ours to touch nor nobody's.

use std::collections::BTreeMap;

use super::names::{Names, TAG_OWNER, TAG_REPO, TAG_STAGE};
use super::stack::Snapshot;
use crate::model::{FailureKind, RepoName, StageId, StageKind};
use crate::port::{PortError, PortResult, Site};

/// What the tags of a stack say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// It was made for what is looked for.
    Own,
    /// For another stage, or by another Greenroom.
    Foreign,
    /// Some tag is missing, and none says otherwise.
    Unmarked,
}

/// The tags by which a stack is known.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    tags: Vec<(&'static str, String)>,
    /// In words for people.
    of: String,
}

impl Marks {
    /// Of a stage's own stack.
    pub(super) fn of_stage(names: &Names, stage: &StageId) -> Self {
        let tags = vec![
            (TAG_OWNER, names.owner().to_owned()),
            (TAG_REPO, stage.repo.to_string()),
            (TAG_STAGE, stage.name.to_string()),
        ];
        Self { tags, of: stage.to_string() }
    }

    /// Of what a stage shares with others, or of a permanent stage's own ground.
    pub(super) fn of_foundation(names: &Names, Site { stage, place }: Site<'_>) -> Self {
        match place.kind {
            StageKind::Ephemeral => {
                Self { tags: vec![(TAG_OWNER, names.owner().to_owned())], of: "the previews' foundation".to_owned() }
            }
            StageKind::Permanent | StageKind::Production => {
                Self { of: format!("the foundation of {stage}"), ..Self::of_stage(names, stage) }
            }
        }
    }

    /// Of what lets a repository's jobs in.
    pub(super) fn of_bootstrap(names: &Names, repo: &RepoName) -> Self {
        let tags = vec![(TAG_OWNER, names.owner().to_owned()), (TAG_REPO, repo.to_string())];
        Self { tags, of: format!("what lets the jobs of {repo} in") }
    }

    pub(super) fn whose(&self, tags: &BTreeMap<String, String>) -> Whose {
        let said = || self.tags.iter().map(|(key, value)| tags.get(*key).map(|tag| tag == value));
        if said().any(|is_same| is_same == Some(false)) {
            Whose::Foreign
        } else if said().all(|is_same| is_same.is_some()) {
            Whose::Own
        } else {
            Whose::Unmarked
        }
    }

    /// Refuses a stack that is not what is looked for, or of which nobody can tell.
    pub(super) fn require(&self, stack: &Snapshot) -> PortResult<()> {
        match self.whose(&stack.tags) {
            Whose::Own => Ok(()),
            Whose::Foreign => Err(self.foreign(stack)),
            Whose::Unmarked => Err(self.unmarked(&stack.name)),
        }
    }

    /// The stack if it is what is looked for. Another's is as good as none: it only has the name.
    pub(super) fn find(&self, stack: Option<Snapshot>) -> PortResult<Option<Snapshot>> {
        let Some(stack) = stack else { return Ok(None) };
        match self.whose(&stack.tags) {
            Whose::Own => Ok(Some(stack)),
            Whose::Foreign => Ok(None),
            Whose::Unmarked => Err(self.unmarked(&stack.name)),
        }
    }

    fn foreign(&self, stack: &Snapshot) -> PortError {
        let name = &stack.name;
        let is_ours = |owner: &str| self.tags.iter().any(|(key, value)| *key == TAG_OWNER && value == owner);
        let owner = stack.tags.get(TAG_OWNER).filter(|owner| !is_ours(owner));
        let (summary, advice) = match owner {
            Some(owner) => (
                format!("the stack {name} belongs to another Greenroom, {owner}"),
                "Give this Greenroom another name with GREENROOM_AWS_NAME.",
            ),
            None => (
                format!("the stack {name} belongs to another stage, whose name comes out as this one's does"),
                "Give the stage another name under `stages`, or the repository.",
            ),
        };
        PortError::failed(FailureKind::Environment, summary, advice)
    }

    /// That nobody can tell whose it is, with the way out.
    pub(super) fn unmarked(&self, name: &str) -> PortError {
        let tags: Vec<String> = self.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        PortError::failed(
            FailureKind::Environment,
            format!(
                "the stack {name} has the name of {}, but not its tags: nothing says whether it is Greenroom's",
                self.of
            ),
            format!(
                "If it is, put its tags back ({}): in the console of CloudFormation, Update with the template and the \
                 parameters that it has. If it is not, remove it. Then ask for the same again.",
                tags.join(", ")
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Place;

    const OWN: [(&str, &str); 3] = [(TAG_OWNER, "greenroom"), (TAG_REPO, "acme/shop"), (TAG_STAGE, "prod")];

    fn stage() -> StageId {
        StageId { repo: "acme/shop".parse().unwrap(), name: "prod".parse().unwrap() }
    }

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_stack_is_ours_another_s_or_nobody_can_tell() {
        let marks = Marks::of_stage(&Names::new("greenroom"), &stage());
        assert_eq!(marks.whose(&tags(&OWN)), Whose::Own);
        for gone in 0..OWN.len() {
            let mut less = OWN.to_vec();
            let (key, _) = less.remove(gone);
            assert_eq!(marks.whose(&tags(&less)), Whose::Unmarked, "without {key}");
            less.push((key, "another"));
            assert_eq!(marks.whose(&tags(&less)), Whose::Foreign, "{key} of another");
            assert_eq!(marks.whose(&tags(&[(key, "another")])), Whose::Foreign, "{key} alone, of another");
        }
        assert_eq!(marks.whose(&tags(&[("team", "web")])), Whose::Unmarked);
    }

    #[test]
    fn what_previews_share_is_known_by_whose_greenroom_made_it() {
        let (names, stage) = (Names::new("greenroom"), stage());
        let of = |kind| {
            let place = Place { kind, ..Place::default() };
            Marks::of_foundation(&names, Site { stage: &stage, place: &place })
        };
        let shared = of(StageKind::Ephemeral);
        assert_eq!(shared.whose(&tags(&OWN[..1])), Whose::Own);
        assert_eq!(shared.whose(&tags(&[(TAG_OWNER, "another")])), Whose::Foreign);
        assert_eq!(shared.whose(&tags(&[])), Whose::Unmarked);
        assert_eq!(of(StageKind::Production).whose(&tags(&OWN[..1])), Whose::Unmarked);
        assert_eq!(of(StageKind::Production).whose(&tags(&OWN)), Whose::Own);
    }

    #[test]
    fn who_cannot_tell_says_which_stack_and_which_tags() {
        let marks = Marks::of_stage(&Names::new("greenroom"), &stage());
        let PortError::Failed(failure) = marks.unmarked("greenroom-prod-shop-1a2b3c4d") else { panic!("a failure") };
        assert!(failure.summary.contains("greenroom-prod-shop-1a2b3c4d"), "{failure:?}");
        for (key, value) in OWN {
            assert!(failure.advice.contains(&format!("{key}={value}")), "{failure:?}");
        }
    }
}
