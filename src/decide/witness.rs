//! Which events show the head of a pull request.

use crate::model::{Event, PullRequestAction, Timestamp, Witness};

/// The head that an event shows. `received` is when it came in by our own clock; GitHub's time
/// counts where it is later, so that a clock of ours that is slow makes no head look older.
pub fn witness(event: &Event, received: Timestamp) -> Option<Witness> {
    let Event::PullRequest { repo, number, action, head, actor, updated_at } = event else { return None };
    let shows_head = match action {
        PullRequestAction::Opened | PullRequestAction::Reopened | PullRequestAction::Synchronize => true,
        PullRequestAction::Edited
        | PullRequestAction::Labeled
        | PullRequestAction::Unlabeled
        | PullRequestAction::ReadyForReview
        | PullRequestAction::ConvertedToDraft
        | PullRequestAction::Closed => false,
    };
    let pusher = match action {
        // Who opens it counts as who pushed what it begins with.
        PullRequestAction::Opened | PullRequestAction::Synchronize => Some(actor.id),
        _ => None,
    };
    let at = received.max(*updated_at);
    let seen = || Witness { repo: repo.clone(), pull: *number, sha: head.clone(), at, pusher };
    shows_head.then(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, ActorKind, CommitSha, PullNumber, RepoName, UserId};

    fn event(action: PullRequestAction) -> Event {
        Event::PullRequest {
            repo: RepoName::new("acme/shop").expect("a repository"),
            number: PullNumber(42),
            action,
            head: CommitSha::new("a".repeat(40)).expect("a commit"),
            actor: Actor { id: UserId(1), login: "monalisa".into(), kind: ActorKind::Person },
            updated_at: Timestamp(5000),
        }
    }

    #[test]
    fn a_head_counts_from_the_later_of_two_clocks() {
        for (received, at) in [(4999, 5000), (5001, 5001)] {
            let seen = witness(&event(PullRequestAction::Synchronize), Timestamp(received)).expect("it shows the head");
            assert_eq!((seen.pull, seen.at), (PullNumber(42), Timestamp(at)));
        }
    }

    #[test]
    fn what_does_not_move_a_head_witnesses_none() {
        for action in [PullRequestAction::Opened, PullRequestAction::Reopened] {
            let pusher = witness(&event(action), Timestamp(0)).expect("it shows the head").pusher;
            let is_push = action == PullRequestAction::Opened;
            assert_eq!(pusher, is_push.then_some(UserId(1)), "{action:?}: who opens it anew has pushed nothing");
        }
        for action in [PullRequestAction::Labeled, PullRequestAction::Closed, PullRequestAction::Edited] {
            assert_eq!(witness(&event(action), Timestamp(0)), None, "{action:?}");
        }
        assert_eq!(witness(&Event::InstallationChanged, Timestamp(0)), None);
    }
}
