//! Deliveries come in once, in order, and go when their time is over.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use greenroom::model::{Event, Lane, RepoName, Timestamp, Wake};
use greenroom::port::{InboxContent, IntakeWrite, NewDelivery, PortResult, Receipt};

use crate::Place;
use crate::sample::{delivery, held, poison, repo_lane};

pub(crate) async fn a_delivery_is_taken_once(place: Place) -> PortResult<()> {
    let store = place.open().await;
    assert_eq!(store.receive(delivery("d1", "one")).await?, Receipt::Accepted);
    let claimed = store.claim(Timestamp(1000), 60_000).await?.expect("its lane was rung");
    assert_eq!(claimed.held.lane(), &repo_lane());
    let rows = store.inbox(&claimed.held, 10).await?;
    let done = IntakeWrite { done: vec![rows[0].seq], ..IntakeWrite::default() };
    store.apply_intake(&claimed.held, done).await?;
    let bell = claimed.held.bell();
    store.release(claimed.held, Wake::OnBell, 0).await?;

    assert_eq!(store.receive(delivery("d1", "one")).await?, Receipt::Duplicate, "the same again");
    assert_eq!(store.receive(delivery("d1", "two")).await?, Receipt::Duplicate, "known by its id");
    assert_eq!(store.next_due().await?, None, "a duplicate rings nothing");
    let again = held(&*store, &repo_lane()).await;
    assert_eq!(again.bell(), bell + 1, "only our own ring was counted");
    assert_eq!(store.inbox(&again, 10).await?, []);
    Ok(())
}

pub(crate) async fn an_equal_body_under_another_id_rings_as_well(place: Place) -> PortResult<()> {
    let store = place.open().await;
    assert_eq!(store.receive(delivery("d1", "one")).await?, Receipt::Accepted);
    let claimed = store.claim(Timestamp(1000), 60_000).await?.expect("its lane was rung");
    let rows = store.inbox(&claimed.held, 10).await?;
    let done = IntakeWrite { done: vec![rows[0].seq], ..IntakeWrite::default() };
    store.apply_intake(&claimed.held, done).await?;
    store.release(claimed.held, Wake::OnBell, 0).await?;

    // Closed, opened and closed again within a second: the same words.
    assert_eq!(store.receive(delivery("d2", "one")).await?, Receipt::Accepted);
    let counts = store.counts(Timestamp(1000)).await?;
    assert_eq!((counts.inbox_waiting, counts.inbox_oldest), (1, Some(Timestamp(1000))));
    let claimed = store.claim(Timestamp(1000), 60_000).await?.expect("it rings");
    assert_eq!(store.inbox(&claimed.held, 10).await?[0].id.as_str(), "d2");
    assert_eq!(store.receive(delivery("d2", "another")).await?, Receipt::Accepted, "it waits, and is taken again");
    assert_eq!(store.receive(delivery("d1", "another")).await?, Receipt::Duplicate, "known by its id alone");
    // Two of them in one batch.
    let both = join_all(["d3", "d4"].map(|id| store.receive(delivery(id, "one")))).await;
    assert!(both.into_iter().all(|receipt| matches!(receipt, Ok(Receipt::Accepted))));
    assert_eq!(store.inbox(&claimed.held, 10).await?.len(), 3);
    Ok(())
}

pub(crate) async fn a_row_that_failed_is_taken_again(place: Place) -> PortResult<()> {
    let store = place.open().await;
    // Poisoned at the door: a version that understands it takes the redelivery.
    assert_eq!(store.receive(poison("d1", "one")).await?, Receipt::Accepted);
    assert_eq!(store.counts(Timestamp(0)).await?.inbox_poison, 1);
    assert_eq!(store.receive(delivery("d1", "one")).await?, Receipt::Accepted);
    // One that waits is not made poison by a redelivery, and waits once.
    assert_eq!(store.receive(poison("d1", "one")).await?, Receipt::Duplicate);
    assert_eq!(store.receive(delivery("d1", "one")).await?, Receipt::Accepted);
    let counts = store.counts(Timestamp(1000)).await?;
    assert_eq!((counts.inbox_waiting, counts.inbox_poison), (1, 0));

    // Poisoned by its handling.
    let claimed = store.claim(Timestamp(1000), 60_000).await?.expect("the lane was rung");
    let rows = store.inbox(&claimed.held, 10).await?;
    let failed = IntakeWrite { poison: vec![(rows[0].seq, "it \0 burns".to_owned())], ..IntakeWrite::default() };
    store.apply_intake(&claimed.held, failed).await?;
    assert_eq!(store.inbox(&claimed.held, 10).await?, []);
    store.release(claimed.held, Wake::OnBell, 0).await?;
    assert_eq!(store.receive(delivery("d1", "one")).await?, Receipt::Accepted);
    let claimed = store.claim(Timestamp(1000), 60_000).await?.expect("the redelivery rings");
    assert_eq!(store.inbox(&claimed.held, 10).await?.len(), 1);
    Ok(())
}

/// Three times as many calls as different deliveries, all in flight at once.
pub(crate) async fn many_at_once_are_all_told_apart(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let calls = (0..600).map(|number: u32| {
        let (store, id) = (store.clone(), number % 200);
        async move {
            // Every third call has another body under an id that is known by then or not.
            let body = if number >= 400 { id + 1_000 } else { id };
            (number, store.receive(delivery(&format!("d{id}"), &format!("body {body}"))).await)
        }
    });
    let receipts = join_all(calls).await;
    let accepted: BTreeSet<u32> = receipts
        .iter()
        .filter(|(_, receipt)| matches!(receipt, Ok(Receipt::Accepted)))
        .map(|(number, _)| number % 200)
        .collect();
    assert_eq!(accepted.len(), 200, "each was accepted");
    assert_eq!(store.counts(Timestamp(1000)).await?.inbox_waiting, 200);
    let held = store.claim(Timestamp(1000), 60_000).await?.expect("rung").held;
    let rows = store.inbox(&held, 1000).await?;
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!((rows.len(), ids.len()), (200, 200), "none twice, none missing");
    Ok(())
}

pub(crate) async fn events_come_back_whole_and_in_order(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let mut sent = Vec::new();
    for number in 0..20 {
        let new = delivery(&format!("d{number}"), &format!("ünïcode \0 \u{1f3ad} {number}"));
        sent.push(new.clone());
        store.receive(new).await?;
    }
    let elsewhere = RepoName::new("acme/other").expect("a repository");
    let other = NewDelivery {
        lane: Lane::Repo(elsewhere.clone()),
        content: InboxContent::Event(Box::new(Event::Reconcile { repo: elsewhere })),
        at: Timestamp(2000),
        ..delivery("o1", "other")
    };
    store.receive(other).await?;

    let held = store.claim(Timestamp(1000), 60_000).await?.expect("rung").held;
    let rows = store.inbox(&held, 15).await?;
    assert_eq!(rows.len(), 15, "no more than asked for");
    for (row, new) in rows.iter().zip(&sent) {
        assert_eq!((&row.id, row.at), (&new.id, new.at));
        assert_eq!(InboxContent::Event(Box::new(row.event.clone())), new.content);
    }
    assert!(rows.is_sorted_by_key(|row| row.seq));
    Ok(())
}

pub(crate) async fn handled_rows_are_forgotten_in_time(place: Place) -> PortResult<()> {
    let store = place.open().await;
    for number in 0..6_i64 {
        let new = delivery(&format!("d{number}"), &format!("body {number}"));
        store.receive(NewDelivery { at: Timestamp(1000 + number), ..new }).await?;
    }
    let held = store.claim(Timestamp(1000), 60_000).await?.expect("rung").held;
    let seqs: Vec<i64> = store.inbox(&held, 10).await?.iter().map(|row| row.seq).collect();
    let handled = IntakeWrite {
        done: vec![seqs[0], seqs[1], seqs[4]],
        poison: vec![(seqs[2], "no".to_owned())],
        ..IntakeWrite::default()
    };
    store.apply_intake(&held, handled).await?;

    assert_eq!(store.prune(Timestamp(1000)).await?, 0, "nothing is that old");
    assert_eq!(store.prune(Timestamp(1004)).await?, 3, "0 and 1 done, 2 poison; 3 waits; 4 is too young");
    let left: Vec<i64> = store.inbox(&held, 10).await?.iter().map(|row| row.seq).collect();
    assert_eq!(left, [seqs[3], seqs[5]]);
    assert_eq!(store.receive(delivery("d4", "body 4")).await?, Receipt::Duplicate, "still known");
    assert_eq!(store.receive(delivery("d0", "body 0")).await?, Receipt::Accepted, "forgotten");
    assert_eq!(store.prune(Timestamp(i64::MAX)).await?, 1);
    assert_eq!(store.counts(Timestamp(0)).await?.inbox_waiting, 3, "what waits is never forgotten");
    Ok(())
}
