//! Leased numbers: none is ever two holders', whoever asks at the same time.

use std::collections::BTreeSet;

use greenroom::port::PortResult;

use crate::Place;

pub(crate) async fn the_lowest_free_number_is_leased_and_kept(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let none = BTreeSet::new();
    assert_eq!(store.take_slot("lb", "a", &none, 3).await?, Some(1));
    assert_eq!(store.take_slot("lb", "b", &BTreeSet::from([2]), 3).await?, Some(3), "2 is to be avoided");
    assert_eq!(store.take_slot("lb", "a", &BTreeSet::from([1]), 3).await?, Some(1), "what is held stays");
    assert_eq!(store.take_slot("lb", "c", &none, 3).await?, Some(2));
    assert_eq!(store.take_slot("lb", "d", &none, 3).await?, None);
    assert_eq!(store.take_slot("other", "d", &none, 3).await?, Some(1), "each pool counts for itself");
    store.free_slot("lb", "a").await?;
    store.free_slot("lb", "nobody").await?;
    assert_eq!(store.take_slot("lb", "d", &none, 3).await?, Some(1));
    let held = store.slots("lb").await?;
    assert_eq!(held, [(1, "d".to_owned()), (2, "c".to_owned()), (3, "b".to_owned())]);
    Ok(())
}

pub(crate) async fn many_at_once_on_two_stores_get_different_numbers(place: Place) -> PortResult<()> {
    let (one, two) = (place.open().await, place.open().await);
    let asks = (0..40).map(|number| {
        let store = if number % 2 == 0 { one.clone() } else { two.clone() };
        async move { store.take_slot("lb", &format!("stage-{number}"), &BTreeSet::new(), 100).await }
    });
    let numbers = futures_util::future::try_join_all(asks).await?;
    let distinct: BTreeSet<u32> = numbers.into_iter().flatten().collect();
    assert_eq!(distinct, (1..=40).collect(), "the lowest forty, each once");
    Ok(())
}
