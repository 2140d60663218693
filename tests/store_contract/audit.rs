//! The audit is a chain for each repository, and what was done to it by hand is found.

use greenroom::model::{
    AuditEntry, AuditLine, BadEntry, CommandReceipt, Lane, ReceiptKey, ReceiptState, RepoName, Tampering, Timestamp,
};
use greenroom::port::{Held, IntakeWrite, PortError, PortResult, Store};
use sqlx::{AssertSqlSafe, Executor};

use crate::Place;
use crate::receipts::receipt;
use crate::sample::held;

fn named(name: &str) -> RepoName {
    RepoName::new(format!("acme/{name}")).expect("a repository")
}

fn entry(repo: &RepoName, number: i64) -> AuditEntry {
    AuditEntry {
        at: Timestamp(5000 + number),
        repo: repo.clone(),
        actor: format!("octocat ({number})"),
        action: "goal".to_owned(),
        subject: format!("pr-{number}"),
        details: format!(r#"{{"delivery":"d{number}"}}"#),
    }
}

async fn record(store: &dyn Store, held: &Held, entries: impl IntoIterator<Item = AuditEntry>) -> PortResult<()> {
    store.apply_intake(held, IntakeWrite { audit: entries.into_iter().collect(), ..IntakeWrite::default() }).await
}

/// Holds a repository's lane, and has five entries written in three transactions.
async fn five(store: &dyn Store, repo: &RepoName) -> PortResult<Held> {
    let lane = held(store, &Lane::Repo(repo.clone())).await;
    record(store, &lane, [entry(repo, 1)]).await?;
    record(store, &lane, [entry(repo, 2), entry(repo, 3), entry(repo, 4)]).await?;
    record(store, &lane, [entry(repo, 5)]).await?;
    Ok(lane)
}

pub(crate) async fn entries_come_back_with_their_places_in_the_chain(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let (shop, other) = (named("shop"), named("other"));
    five(&*store, &shop).await?;
    let lane = held(&*store, &Lane::Repo(other.clone())).await;
    record(&*store, &lane, (1..=130).map(|number| entry(&other, number))).await?;

    let read = store.audit(Some(&shop), None, 10).await?;
    assert_eq!(
        read.iter().map(|line| line.entry.clone()).collect::<Vec<_>>(),
        [5, 4, 3, 2, 1].map(|n| entry(&shop, n))
    );
    let numbers =
        |lines: &[AuditLine]| lines.iter().filter_map(|line| Some(line.link.as_ref()?.number)).collect::<Vec<_>>();
    assert_eq!(numbers(&read), [5, 4, 3, 2, 1]);
    assert_eq!(numbers(&store.audit(None, Some("pr-3"), 10).await?), [3, 3], "one of each repository");
    assert_eq!(numbers(&store.audit(Some(&other), None, 2).await?), [130, 129]);
    assert_eq!(store.audit(Some(&other), Some("pr-131"), 10).await?, []);

    assert_eq!(store.audited().await?, [other.clone(), shop.clone()]);
    let verdict = store.verify_audit(&other).await?;
    assert_eq!((verdict.entries, verdict.before_chain, verdict.first_bad), (130, 0, None));
    assert_eq!(verdict.last, store.audit(Some(&other), None, 1).await?.remove(0).link);
    assert_eq!(store.verify_audit(&shop).await?.last, read[0].link);
    let nothing = store.verify_audit(&named("never")).await?;
    assert_eq!((nothing.entries, nothing.last, nothing.first_bad), (0, None, None));
    Ok(())
}

pub(crate) async fn what_was_done_by_hand_is_found_and_named(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let mut hand = place.by_hand().await;
    let cases: [(&str, i64, Tampering); 17] = [
        ("UPDATE audit SET actor = 'mallory (2)' WHERE repo = '{}' AND number = 3", 3, Tampering::Changed),
        ("UPDATE audit SET at = at + 1 WHERE repo = '{}' AND number = 1", 1, Tampering::Changed),
        ("UPDATE audit SET details = '{}' WHERE repo = '{}' AND number = 5", 5, Tampering::Changed),
        ("UPDATE audit SET hash = 'x' WHERE repo = '{}' AND number = 4", 4, Tampering::Changed),
        ("UPDATE audit SET hash = NULL WHERE repo = '{}' AND number = 3", 3, Tampering::Added),
        ("DELETE FROM audit WHERE repo = '{}' AND number = 1", 1, Tampering::Missing),
        ("DELETE FROM audit WHERE repo = '{}' AND number = 3", 3, Tampering::Missing),
        ("DELETE FROM audit WHERE repo = '{}' AND number = 5", 5, Tampering::Missing),
        ("DELETE FROM audit WHERE repo = '{}'", 1, Tampering::Missing),
        (
            "INSERT INTO audit (at, repo, actor, action, subject, details) \
             VALUES (1, '{}', 'greenroom', 'goal', 'pr-1', '{}')",
            6,
            Tampering::Added,
        ),
        (
            "INSERT INTO audit (at, repo, actor, action, subject, details, number, hash) \
             SELECT at, repo, actor, action, subject, details, number, hash FROM audit WHERE repo = '{}' AND number = 2",
            2,
            Tampering::Added,
        ),
        (
            "INSERT INTO audit (at, repo, actor, action, subject, details, number, hash) \
             SELECT at, repo, actor, action, subject, details, 6, hash FROM audit WHERE repo = '{}' AND number = 5",
            6,
            Tampering::Changed,
        ),
        (
            "UPDATE audit SET subject = CASE number WHEN 2 THEN 'pr-3' ELSE 'pr-2' END \
             WHERE repo = '{}' AND number IN (2, 3)",
            2,
            Tampering::Changed,
        ),
        ("UPDATE audit SET number = 7 - number WHERE repo = '{}' AND number IN (3, 4)", 3, Tampering::Missing),
        ("UPDATE audit_end SET hash = 'x' WHERE repo = '{}'", 5, Tampering::Changed),
        (
            "UPDATE audit_end SET number = 4, \
             hash = (SELECT hash FROM audit WHERE repo = '{}' AND number = 4) WHERE repo = '{}'",
            5,
            Tampering::Added,
        ),
        ("DELETE FROM audit_end WHERE repo = '{}'", 5, Tampering::Unended),
    ];
    for (case, (sql, number, what)) in cases.into_iter().enumerate() {
        let repo = named(&format!("case-{case}"));
        five(&*store, &repo).await?;
        assert_eq!(store.verify_audit(&repo).await?.first_bad, None);
        // JSON's braces stay, those around the repository's place go.
        let sql = sql.replace("repo = '{}'", &format!("repo = '{repo}'")).replace("(1, '{}'", &format!("(1, '{repo}'"));
        let done = hand.execute(AssertSqlSafe(sql.clone())).await.expect(&sql);
        assert!(done.rows_affected() > 0, "{sql}");
        assert_eq!(store.verify_audit(&repo).await?.first_bad, Some(BadEntry { number, what }), "{sql}");
    }
    Ok(())
}

pub(crate) async fn what_was_done_by_hand_is_not_covered_by_what_comes_after(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let mut hand = place.by_hand().await;
    let cases = [
        ("DELETE FROM audit WHERE repo = '{}' AND number = 5", 5, Tampering::Missing),
        ("DELETE FROM audit_end WHERE repo = '{}'", 6, Tampering::Changed),
        ("UPDATE audit SET repo = 'acme/thief' WHERE repo = '{}' AND number = 2", 2, Tampering::Missing),
        ("UPDATE audit_end SET number = 3 WHERE repo = '{}'", 4, Tampering::Changed),
    ];
    for (case, (sql, number, what)) in cases.into_iter().enumerate() {
        let repo = named(&format!("case-{case}"));
        let lane = five(&*store, &repo).await?;
        hand.execute(AssertSqlSafe(sql.replace("{}", repo.as_str()))).await.expect(sql);
        record(&*store, &lane, [entry(&repo, 6)]).await?;
        assert_eq!(store.verify_audit(&repo).await?.first_bad, Some(BadEntry { number, what }), "{sql}");
    }
    let stolen = BadEntry { number: 1, what: Tampering::Missing };
    assert_eq!(store.verify_audit(&named("thief")).await?.first_bad, Some(stolen));
    Ok(())
}

pub(crate) async fn what_an_older_version_wrote_is_taken_into_the_chain(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let mut hand = place.by_hand().await;
    let old = "INSERT INTO audit (at, repo, actor, action, subject, details) \
               VALUES (1, 'acme/shop', 'greenroom', 'goal', 'pr-1', '{}')";
    for _ in 0..3 {
        hand.execute(old).await.expect("inserted");
    }
    let (shop, other) = (named("shop"), named("other"));
    five(&*store, &other).await?;
    let verdict = store.verify_audit(&shop).await?;
    assert_eq!((verdict.entries, verdict.before_chain, verdict.last, verdict.first_bad), (3, 3, None, None));

    let lane = held(&*store, &Lane::Repo(shop.clone())).await;
    record(&*store, &lane, [entry(&shop, 4)]).await?;
    let verdict = store.verify_audit(&shop).await?;
    assert_eq!((verdict.entries, verdict.before_chain, verdict.first_bad), (4, 0, None));
    assert_eq!(verdict.last.map(|last| last.number), Some(4));
    hand.execute("UPDATE audit SET actor = 'mallory (2)' WHERE repo = 'acme/shop' AND number = 2")
        .await
        .expect("changed");
    let changed = BadEntry { number: 2, what: Tampering::Changed };
    assert_eq!(store.verify_audit(&shop).await?.first_bad, Some(changed));
    Ok(())
}

pub(crate) async fn two_servers_never_continue_from_the_same_entry(place: Place) -> PortResult<()> {
    let (first, second) = (place.open().await, place.open().await);
    let shop = named("shop");
    let mut stale = held(&*first, &Lane::Repo(shop.clone())).await;
    for round in 0..10 {
        let now = Timestamp(100_000 * (round + 1));
        let (winner, loser) = if round % 2 == 0 { (&second, &first) } else { (&first, &second) };
        let lane = winner.claim(now, 1000).await?.expect("the lease is over").held;
        let (new, old) = tokio::join!(
            record(&**winner, &lane, [entry(&shop, 2 * round), entry(&shop, 2 * round + 1)]),
            record(&**loser, &stale, [entry(&shop, 99)]),
        );
        new?;
        assert!(matches!(old, Err(PortError::Stale)), "{old:?}");
        stale = lane;
    }
    let verdict = first.verify_audit(&shop).await?;
    assert_eq!((verdict.entries, verdict.first_bad), (20, None));
    Ok(())
}

/// Whoever cuts the chain puts its recorded end right as well: what was noted with answers stands against
/// it, and the hash that somebody kept elsewhere.
pub(crate) async fn what_receipts_noted_shows_a_record_that_was_cut(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let mut hand = place.by_hand().await;
    let cases = [
        (
            "tail",
            "DELETE FROM audit WHERE repo = '{}' AND number > 3; UPDATE audit_end SET number = 3, \
             hash = (SELECT hash FROM audit WHERE repo = '{}' AND number = 3) WHERE repo = '{}'",
            4,
        ),
        ("table", "DELETE FROM audit WHERE repo = '{}'; DELETE FROM audit_end WHERE repo = '{}'", 1),
    ];
    for (name, sql, number) in cases {
        let repo = named(name);
        let lane = five(&*store, &repo).await?;
        let head = store.audit_head(&repo).await?.expect("five entries");
        assert_eq!((head.number, store.audit_place(&head.hash).await?), (5, Some((repo.clone(), 5))));
        let plain = receipt(7, ReceiptState::Settled);
        let key = ReceiptKey { repo: repo.clone(), ..plain.key.clone() };
        let noting = CommandReceipt { key, audit: Some(head.clone()), ..plain };
        store.apply_intake(&lane, IntakeWrite { receipts: vec![noting], ..IntakeWrite::default() }).await?;
        assert_eq!(store.verify_audit(&repo).await?.first_bad, None, "{name}");
        for statement in sql.split("; ") {
            let statement = statement.replace("{}", repo.as_str());
            hand.execute(AssertSqlSafe(statement)).await.expect(sql);
        }
        let missing = BadEntry { number, what: Tampering::Missing };
        assert_eq!(store.verify_audit(&repo).await?.first_bad, Some(missing), "{name}");
        assert!(store.audited().await?.contains(&repo), "{name}");
        assert_eq!(store.audit_place(&head.hash).await?, None, "{name}");
    }
    Ok(())
}
