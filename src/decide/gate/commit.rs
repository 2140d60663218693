//! The gates about the commit: that it is the one that was seen, who vouches for it, and where it
//! comes from.

use std::collections::BTreeMap;

use crate::model::{
    ActorKind, Allow, Binding, CheckApp, CheckOutcome, CheckResult, ChecksWanted, CommitSha, ForkPolicy, Gate,
    GateResult, NamedCheck, NamedCommit, Permission, ReviewState, StageRule, StageStatus, Trigger, UserId, Verb,
};

use super::{Case, Fact, Facts, Origin, Voice, approval_line, brings_what_ran, closed, open, unknown};

const AGAIN: &str = "look at the new head, then give the command again";

pub(super) fn bound(case: &Case<'_>, facts: &Facts) -> GateResult {
    let gate = Gate::Commit;
    let Fact::Known(pull) = &facts.pull else { return unknown(gate, "the head of the pull request") };
    if let Some(not_meant) = not_the_head(case, &pull.head_now) {
        return not_meant;
    }
    let Fact::Known(binding) = &facts.bound else { return unknown(gate, "which head the author of the comment saw") };
    match binding {
        // It may have moved since it was bound: what runs is what was seen, or nothing.
        Binding::Bound(sha) if *sha != pull.head_now => closed(
            gate,
            format!("the head was {} when the comment was written and is {} now", sha.short(), pull.head_now.short()),
            AGAIN,
        ),
        Binding::Bound(sha) => open(gate, format!("{} was the head when the comment was written, and is", sha.short())),
        Binding::Moved { seen, now } if seen == now => closed(
            gate,
            format!("the head moved away from {} after the comment was written, and back", seen.short()),
            AGAIN,
        ),
        Binding::Moved { seen, now } => closed(
            gate,
            format!("the head was {} when the comment was written and is {} now", seen.short(), now.short()),
            AGAIN,
        ),
        Binding::SameSecond { seen, now } => closed(
            gate,
            format!("a push came in the same second as the comment: {} before, {} now", seen.short(), now.short()),
            AGAIN,
        ),
        Binding::NeverWitnessed { now } => closed(
            gate,
            format!("Greenroom learned of the head {} only after the comment was written", now.short()),
            "give the command again",
        ),
    }
}

/// Why the commit that an approval names is not the head. Nothing is compared but all 40 digits:
/// two commits that begin the same are made in minutes.
fn not_the_head(case: &Case<'_>, head: &CommitSha) -> Option<GateResult> {
    let found = match case.ask.sha.as_ref()? {
        NamedCommit::Whole(sha) if sha == head => return None,
        NamedCommit::Whole(sha) => format!("{sha} is not the head, {head} is"),
        NamedCommit::Beginning(digits) => {
            format!("{digits} is only a beginning, with which other commits can be made to begin; the head is {head}")
        }
    };
    let way_out = format!("look at {head}, then write {}", approval_line(case, head));
    Some(closed(Gate::Commit, found, way_out))
}

pub(super) fn fork(case: &Case<'_>, rule: &StageRule, facts: &Facts) -> GateResult {
    let gate = Gate::Fork;
    let origin = match case.ask.pull {
        _ if brings_nothing(case, facts) => Some(Origin::Own),
        // Where it came from then counts, and not who asks for it on which pull request now.
        _ if brings_what_ran(case.ask.verb) => facts.source.known().map(|source| source.origin),
        // On the command line nobody brings a pull request's code by the way.
        None => Some(Origin::Own),
        Some(_) => facts.pull.known().map(|pull| pull.origin),
    };
    match origin {
        None => return unknown(gate, "whose repository the commit comes from"),
        Some(Origin::Own) => return open(gate, "the commit is of this repository"),
        Some(Origin::Fork) => {}
    }
    if matches!(rule.trigger, Trigger::PullRequest { forks: ForkPolicy::Never, .. }) {
        return closed(gate, "pull requests from forks get no stage here", "push the branch to this repository");
    }
    let Some(sha) = case.commit(facts) else { return unknown(gate, "which commit it is about") };
    match &facts.approval {
        Fact::Known(Some(approved)) if approved == sha => open(gate, format!("{} is approved", sha.short())),
        Fact::Known(approved) => {
            let found = match approved {
                Some(old) => format!("the fork's commit {} is not approved, {} was", sha.short(), old.short()),
                None => format!("the fork's commit {} is not approved", sha.short()),
            };
            closed(gate, found, format!("somebody with the right reads it and writes {}", approval_line(case, sha)))
        }
        Fact::Unknown => unknown(gate, "which commit is approved"),
    }
}

/// Whether the command is about no commit: there is none to take up again, or what is taken up is a
/// removal.
fn brings_nothing(case: &Case<'_>, facts: &Facts) -> bool {
    matches!(
        (case.ask.verb, &facts.stage),
        (Verb::Redeploy | Verb::Retry, Fact::Known(None))
            | (Verb::Retry, Fact::Known(Some(StageStatus::RemovalBlocked | StageStatus::Blocked { sha: None, .. })))
    )
}

pub(super) fn approvals(case: &Case<'_>, allow: &Allow, facts: &Facts) -> GateResult {
    let gate = Gate::Approvals;
    if allow.approvals == 0 {
        return open(gate, "none are asked for");
    }
    let Some(sha) = case.commit(facts) else { return unknown(gate, "which commit it is about") };
    let (Fact::Known(reviews), Fact::Known(pull), Fact::Known(heads)) = (&facts.reviews, &facts.pull, &facts.heads)
    else {
        return unknown(gate, "the reviews");
    };
    let pushers: Vec<UserId> = heads.iter().filter(|head| head.sha == *sha).filter_map(|head| head.pusher).collect();
    let decided = decided(reviews);
    let people =
        || decided.values().filter(|said| said.review.by.kind == ActorKind::Person && said.review.by.id != pull.author);
    let writes = |said: &Voice| match said.role {
        Fact::Known(role) => Fact::Known(role >= Permission::Write),
        Fact::Unknown => Fact::Unknown,
    };
    let against = || people().filter(|said| said.review.state == ReviewState::ChangesRequested);
    if let Some(Voice { review, .. }) = against().find(|said| writes(said) == Fact::Known(true)) {
        let found = format!("{} asked for changes", review.by.login);
        return closed(gate, found, format!("settle it with {}, who then approves", review.by.login));
    }
    if let Some(Voice { review, .. }) = against().find(|said| writes(said) == Fact::Unknown) {
        return unknown(gate, &format!("whether {} may ask for changes", review.by.login));
    }
    // Who pushed it has written of it what they like, whoever opened the pull request.
    let pro = || {
        let approved = people().filter(|said| said.review.state == ReviewState::Approved && said.review.sha == *sha);
        approved.filter(|said| !pushers.contains(&said.review.by.id))
    };
    let count = |is: Fact<bool>| pro().filter(|said| writes(said) == is).count();
    let (sure, unsure) = (count(Fact::Known(true)), count(Fact::Unknown));
    // Where nobody saw who pushed, one of those who approved may have.
    let doubt = usize::from(pushers.is_empty());
    let wanted = usize::try_from(allow.approvals).unwrap_or(usize::MAX).saturating_add(doubt);
    let others =
        if doubt == 0 { "others than who wrote or pushed it" } else { "others, as it is not known who pushed it" };
    let found = format!("{sure} of {wanted} approvals of {} with write access by {others}", sha.short());
    if sure >= wanted {
        open(gate, found)
    } else if sure + unsure >= wanted {
        unknown(gate, "what a reviewer may do")
    } else {
        closed(gate, found, format!("{} more with write access approve exactly {}", wanted - sure, sha.short()))
    }
}

/// What each person said last. A remark takes nothing back.
fn decided(voices: &[Voice]) -> BTreeMap<UserId, &Voice> {
    let mut last: BTreeMap<UserId, &Voice> = BTreeMap::new();
    for voice in voices.iter().filter(|voice| voice.review.state != ReviewState::Commented) {
        let place = last.entry(voice.review.by.id).or_insert(voice);
        if voice.review.at >= place.review.at {
            *place = voice;
        }
    }
    last
}

pub(super) fn checks(case: &Case<'_>, allow: &Allow, facts: &Facts) -> GateResult {
    let gate = Gate::Checks;
    let Some(sha) = case.commit(facts) else { return unknown(gate, "which commit it is about") };
    let checks = match &facts.checks {
        Fact::Known(checks) if checks.sha == *sha => checks,
        Fact::Known(_) | Fact::Unknown => return unknown(gate, &format!("the checks of {}", sha.short())),
    };
    let newest = newest(&checks.runs);
    let named = |wanted: &NamedCheck| {
        let is_meant =
            |run: &&&CheckResult| run.name == wanted.name && wanted.app.is_none_or(|app| run.app == CheckApp::App(app));
        newest.values().filter(is_meant).copied().collect::<Vec<_>>()
    };
    let wanted: Vec<&CheckResult> = match &allow.checks {
        ChecksWanted::None => return open(gate, "none are asked for"),
        ChecksWanted::All => newest.values().copied().collect(),
        ChecksWanted::Named(names) => {
            if let Some(missing) = names.iter().find(|name| named(name).is_empty()) {
                return closed(
                    gate,
                    format!("{} has no check {missing}", sha.short()),
                    format!("have {missing} run on it"),
                );
            }
            names.iter().flat_map(named).collect()
        }
    };
    if wanted.is_empty() {
        return closed(gate, format!("{} has no check at all", sha.short()), "have its checks run");
    }
    let of =
        |outcome| wanted.iter().filter(|run| run.outcome == outcome).map(|run| run.name.as_str()).collect::<Vec<_>>();
    if let [first, ..] = of(CheckOutcome::Failed).as_slice() {
        return closed(gate, format!("{first} failed on {}", sha.short()), format!("make {first} pass"));
    }
    if let [first, ..] = of(CheckOutcome::Running).as_slice() {
        let way_out = format!("wait for {first}, then give the command again");
        return closed(gate, format!("{first} is still running on {}", sha.short()), way_out);
    }
    if let [first, ..] = of(CheckOutcome::Unknown).as_slice() {
        return unknown(gate, &format!("how {first} ended"));
    }
    open(gate, format!("{} of {} passed on {}", wanted.len(), wanted.len(), sha.short()))
}

/// The newest run of each check that is not ours.
fn newest(runs: &[CheckResult]) -> BTreeMap<(CheckApp, &str), &CheckResult> {
    let mut newest: BTreeMap<(CheckApp, &str), &CheckResult> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.app != CheckApp::Ourselves) {
        let place = newest.entry((run.app, run.name.as_str())).or_insert(run);
        if run.number >= place.number {
            *place = run;
        }
    }
    newest
}

pub(super) fn up_to_date(case: &Case<'_>, allow: &Allow, facts: &Facts) -> GateResult {
    let gate = Gate::UpToDate;
    if !allow.up_to_date {
        return open(gate, "it may be behind");
    }
    let Some(sha) = case.commit(facts) else { return unknown(gate, "which commit it is about") };
    match &facts.divergence {
        Fact::Known(divergence) if divergence.sha == *sha && divergence.behind_by == 0 => {
            open(gate, format!("{} holds everything of its base", sha.short()))
        }
        Fact::Known(divergence) if divergence.sha == *sha => {
            let commits = if divergence.behind_by == 1 { "commit" } else { "commits" };
            let found = format!("{} lacks {} {commits} of its base", sha.short(), divergence.behind_by);
            closed(gate, found, "bring the branch up to date, then give the command again")
        }
        Fact::Known(_) | Fact::Unknown => unknown(gate, "what the branch lacks of its base"),
    }
}

pub(super) fn branch(case: &Case<'_>, allow: &Allow, facts: &Facts) -> GateResult {
    let gate = Gate::Branch;
    if allow.branches.is_empty() {
        return open(gate, "every branch may");
    }
    let from = if brings_what_ran(case.ask.verb) {
        facts.source.known().map(|source| (&source.branch, source.origin))
    } else {
        facts.pull.known().map(|pull| (&pull.head_branch, pull.origin))
    };
    let Some((branch, origin)) = from else { return unknown(gate, "which branch the commit is of") };
    let listed = allow.branches.iter().map(|pattern| pattern.0.as_str()).collect::<Vec<_>>().join(", ");
    let way_out = format!("use one of the branches {listed}");
    // Whoever forks may call a branch what they like.
    if origin == Origin::Fork {
        return closed(gate, format!("{} is a branch of a fork", branch.0), way_out);
    }
    if allow.branches.iter().any(|pattern| pattern.matches(branch)) {
        return open(gate, format!("{} is one of {listed}", branch.0));
    }
    closed(gate, format!("{} is none of {listed}", branch.0), way_out)
}
