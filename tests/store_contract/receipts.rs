//! What is owed to comments: one receipt for each, written by the repository's lane alone.

use greenroom::model::{
    CommandOutcome, CommandReceipt, CommandResult, CommentSource, ExternalId, Generation, PullNumber, Reaction,
    ReceiptBond, ReceiptKey, ReceiptState, RepoName, Timestamp, Verb,
};
use greenroom::port::{Held, IntakeWrite, PortError, PortResult, Store};

use crate::Place;
use crate::sample::{held, repo, repo_lane, stage_id, stage_lane};

fn key(source: CommentSource, comment: u64) -> ReceiptKey {
    ReceiptKey { repo: repo(), source, comment }
}

pub(crate) fn receipt(comment: u64, state: ReceiptState) -> CommandReceipt {
    let result = |said: &str, verb, outcome| {
        let words = "it \0 ends with ``` and \u{202e}".to_owned();
        CommandResult { said: said.to_owned(), verb, outcome, words }
    };
    CommandReceipt {
        key: key(CommentSource::Issue, comment),
        pull: PullNumber(42),
        state,
        results: vec![
            result("/deploy", Some(Verb::Deploy), CommandOutcome::Accepted),
            result("/depoly", None, CommandOutcome::Refused),
        ],
        reaction: Some(Reaction::Eyes),
        body: Some("words \0".to_owned()),
        external: None,
        shown: None,
        bond: None,
        audit: None,
        at: Timestamp(i64::try_from(comment).expect("small")),
    }
}

fn bound(comment: u64, stage: &str, generation: i64) -> CommandReceipt {
    let bond = ReceiptBond { stage: stage_id(stage).name, generation: Generation(generation) };
    CommandReceipt { bond: Some(bond), ..receipt(comment, ReceiptState::Waiting) }
}

async fn owe(store: &dyn Store, held: &Held, receipts: &[CommandReceipt]) -> PortResult<()> {
    store.apply_intake(held, IntakeWrite { receipts: receipts.to_vec(), ..IntakeWrite::default() }).await
}

pub(crate) async fn a_comment_has_one_receipt_and_a_repeat_changes_nothing(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = held(&*store, &repo_lane()).await;
    let first = receipt(9, ReceiptState::Due);
    owe(&*store, &lane, std::slice::from_ref(&first)).await?;
    // Another source numbers its own.
    let review = CommandReceipt { key: key(CommentSource::Review, 9), ..receipt(9, ReceiptState::Settled) };
    owe(&*store, &lane, &[receipt(9, ReceiptState::Settled), review.clone()]).await?;

    assert_eq!(store.receipt(&first.key).await?.as_ref(), Some(&first));
    assert_eq!(store.receipt(&review.key).await?, Some(review));
    assert_eq!(store.receipt(&key(CommentSource::ReviewComment, 9)).await?, None);
    let elsewhere = ReceiptKey { repo: RepoName::new("acme/other").expect("a repository"), ..first.key.clone() };
    assert_eq!(store.receipt(&elsewhere).await?, None);
    Ok(())
}

pub(crate) async fn what_is_due_is_shown_once_and_then_waits_for_its_stage(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = held(&*store, &repo_lane()).await;
    let due = [8, 5, 7].map(|comment| receipt(comment, ReceiptState::Due));
    owe(&*store, &lane, &due).await?;
    owe(&*store, &lane, &[receipt(6, ReceiptState::Settled)]).await?;
    let comments = |receipts: &[CommandReceipt]| receipts.iter().map(|owed| owed.key.comment).collect::<Vec<_>>();
    assert_eq!(comments(&store.receipts_due(&lane, 10).await?), [5, 7, 8], "the oldest first");
    assert_eq!(comments(&store.receipts_due(&lane, 2).await?), [5, 7]);
    let stage = held(&*store, &stage_lane("pr-42")).await;
    assert_eq!(store.receipts_due(&stage, 10).await?, [], "it is the repository's to answer");

    let shown = CommandReceipt {
        external: Some(ExternalId::new("77").expect("an id")),
        shown: Some("abc".to_owned()),
        ..bound(5, "pr-42", 3)
    };
    store.save_receipts(&lane, vec![shown.clone(), receipt(7, ReceiptState::Settled)]).await?;
    assert_eq!(comments(&store.receipts_due(&lane, 10).await?), [8]);
    assert_eq!(store.receipts_bound(&lane, 10).await?, std::slice::from_ref(&shown), "of any generation");
    assert_eq!(store.receipts_bound(&stage, 10).await?, []);
    assert_eq!(store.receipts_of(&stage_id("pr-42"), Generation(2)).await?, [], "its generation has not ended");
    assert_eq!(store.receipts_of(&stage_id("pr-42"), Generation(3)).await?, std::slice::from_ref(&shown));
    let superseded = store.receipts_of(&stage_id("pr-42"), Generation(9)).await?;
    assert_eq!(superseded, std::slice::from_ref(&shown), "a later one ends it too");
    assert_eq!(store.receipts_of(&stage_id("pr-4"), Generation(9)).await?, []);
    let settled = CommandReceipt { state: ReceiptState::Settled, ..shown };
    store.save_receipts(&lane, vec![settled]).await?;
    assert_eq!(store.receipts_of(&stage_id("pr-42"), Generation(9)).await?, []);
    Ok(())
}

pub(crate) async fn only_who_holds_the_repository_writes_receipts(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = held(&*store, &repo_lane()).await;
    let owed = [receipt(5, ReceiptState::Due), receipt(6, ReceiptState::Due)];
    owe(&*store, &lane, &owed).await?;

    let settled = |comment| receipt(comment, ReceiptState::Settled);
    let unknown = store.save_receipts(&lane, vec![settled(5), settled(99)]).await;
    assert!(matches!(unknown, Err(PortError::Bug { .. })), "{unknown:?}");
    let stage = held(&*store, &stage_lane("pr-42")).await;
    let foreign = store.save_receipts(&stage, vec![settled(5)]).await;
    assert!(matches!(foreign, Err(PortError::Bug { .. })), "{foreign:?}");
    let newer = store.claim(Timestamp(61_000), 60_000).await?.expect("the lease is over").held;
    assert!(matches!(store.save_receipts(&lane, vec![settled(5)]).await, Err(PortError::Stale)));
    assert!(matches!(owe(&*store, &lane, &[settled(7)]).await, Err(PortError::Stale)));
    assert_eq!(store.receipts_due(&newer, 10).await?, owed, "all or none of each write");
    assert_eq!(store.receipt(&key(CommentSource::Issue, 7)).await?, None);
    Ok(())
}

pub(crate) async fn settled_receipts_are_forgotten_in_time(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = held(&*store, &repo_lane()).await;
    let old = [receipt(1, ReceiptState::Settled), receipt(2, ReceiptState::Due), bound(3, "pr-42", 1)];
    owe(&*store, &lane, &old).await?;
    owe(&*store, &lane, &[receipt(9, ReceiptState::Settled)]).await?;
    assert_eq!(store.forget(Timestamp(9)).await?, 1, "what is owed is never forgotten");
    assert_eq!(store.receipt(&old[0].key).await?, None);
    assert!(store.receipt(&old[1].key).await?.is_some() && store.receipt(&old[2].key).await?.is_some());
    assert!(store.receipt(&key(CommentSource::Issue, 9)).await?.is_some(), "too young");
    Ok(())
}
