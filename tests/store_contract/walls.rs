//! Who is who among repositories, and whose a host is: whoever asks at the same time.

use greenroom::model::{KnownRepo, RepoId, RepoName, RepoOwner, RepoSeen, StageId, Timestamp, UserId};
use greenroom::port::{IntakeWrite, PortResult};

use sqlx::Executor as _;

use crate::{Place, sample};

const AT: Timestamp = Timestamp(1_000_000);

fn seen(id: u64, owner: u64, name: &str) -> RepoSeen {
    RepoSeen { id: RepoId(id), owner: UserId(owner), name: name.parse().expect("a repository") }
}

fn brief(known: &KnownRepo) -> (String, Option<String>, RepoOwner) {
    (known.key.to_string(), known.name.as_ref().map(ToString::to_string), known.owner)
}

fn stage(repo: &str, name: &str) -> StageId {
    StageId { repo: repo.parse().expect("a repository"), name: name.parse().expect("a stage") }
}

pub(crate) async fn a_repository_keeps_its_key_and_gives_it_to_nobody(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let (named, other) = (RepoOwner::AsNamed, RepoOwner::Another);
    let text = |text: &str| Some(text.to_owned());
    let called = async |name: &str| {
        let key = store.called(&name.parse().expect("a name")).await.expect("the database answers");
        key.map(|key| key.to_string())
    };
    assert_eq!(called("acme/shop").await, None);
    let shop = store.identify(&seen(1, 7, "Acme/Shop")).await?;
    assert_eq!(brief(&shop), ("acme/shop".into(), text("acme/shop"), named));
    assert_eq!(called("Acme/Shop").await, text("acme/shop"));
    assert_eq!(store.identify(&seen(1, 7, "acme/store")).await?.key, shop.key, "renamed");
    assert_eq!((called("acme/shop").await, called("acme/store").await), (None, text("acme/shop")));

    let thief = store.identify(&seen(2, 7, "acme/shop")).await?;
    assert_eq!(brief(&thief), ("acme.2/shop".into(), text("acme/shop"), other), "its name was another's");
    assert_eq!((called("acme/shop").await, called("acme/store").await), (text("acme.2/shop"), text("acme/shop")));
    assert_eq!(store.known(&thief.key).await?, Some(thief.clone()));
    let renamed = store.known(&shop.key).await?.expect("known");
    assert_eq!(brief(&renamed), ("acme/shop".into(), text("acme/store"), named));

    // Who is told late that its name was taken has none until GitHub tells it.
    store.identify(&seen(3, 7, "acme/store")).await?;
    assert_eq!(store.known(&shop.key).await?.expect("known").name, None);
    store.identify(&seen(1, 7, "acme/third")).await?;
    assert_eq!(store.known(&shop.key).await?.expect("known").name.map(|name| name.to_string()), text("acme/third"));

    // An account that took another's name, and a repository that was handed on.
    assert_eq!(brief(&store.identify(&seen(4, 8, "acme/tools")).await?).2, other);
    assert_eq!(store.identify(&seen(4, 8, "acme/tools")).await?.key.as_str(), "acme.4/tools");
    let handed = store.identify(&seen(1, 9, "evil/shop")).await?;
    assert_eq!((handed.key.as_str(), handed.owner), ("acme/shop", other));
    assert_eq!(handed.holders, ["evil"], "an account of which nothing was seen before");
    assert_eq!(
        store.identify(&seen(4, 8, "acme/tools")).await?.holders,
        Vec::<String>::new(),
        "its login is another's"
    );
    assert_eq!(store.known(&"nobody/knows".parse().expect("a name")).await?, None);
    Ok(())
}

pub(crate) async fn what_is_heard_in_passing_moves_no_name(place: Place) -> PortResult<()> {
    let (store, other) = (place.open().await, place.open().await);
    let text = |text: &str| Some(text.to_owned());
    let now = async |key: &RepoName| {
        let known = store.known(key).await.expect("the database answers").expect("known");
        (known.name.map(String::from), known.rumour.map(String::from), known.owner)
    };
    let named = RepoOwner::AsNamed;
    let shop = store.hear(&seen(1, 7, "Acme/Shop"), AT).await?;
    assert_eq!((shop.as_str(), now(&shop).await), ("acme/shop", (text("acme/shop"), None, named)), "never met before");
    store.identify(&seen(1, 7, "acme/store")).await?;
    let thief = store.hear(&seen(2, 7, "acme/shop"), AT).await?;
    assert_eq!((thief.as_str(), now(&thief).await.0), ("acme.2/shop", text("acme/shop")), "nobody has it now");

    // A delivery of before the rename, after it and after the name was taken: on both servers, twice.
    for store in [&store, &other, &store, &other] {
        assert_eq!(store.hear(&seen(1, 7, "acme/shop"), AT).await?, shop);
        assert_eq!(now(&shop).await, (text("acme/store"), text("acme/shop"), named));
        assert_eq!(now(&thief).await, (text("acme/shop"), None, RepoOwner::Another), "nothing is taken from it");
        let known = store.known(&shop).await?.expect("known");
        store.dismiss(&known, &"acme/else".parse().expect("a name")).await?;
        assert_eq!(now(&shop).await.1, text("acme/shop"), "that was not the rumour");
        store.dismiss(&known, &"acme/shop".parse().expect("a name")).await?;
        assert_eq!(now(&shop).await, (text("acme/store"), None, named));
    }

    // What GitHub answers counts, and ends the rumour; what agrees with it raises none.
    store.hear(&seen(1, 7, "acme/third"), AT).await?;
    assert_eq!(now(&shop).await.1, text("acme/third"));
    store.identify(&seen(1, 7, "acme/third")).await?;
    store.hear(&seen(1, 7, "acme/third"), AT).await?;
    assert_eq!(now(&shop).await, (text("acme/third"), None, named));
    store.identify(&seen(1, 7, "acme/store")).await?;
    store.hear(&seen(1, 7, "acme/third"), AT).await?;
    assert_eq!(now(&shop).await.1, text("acme/third"), "what was heard before is no proof");

    // Nor does it change hands, or take a name from whoever has it.
    store.hear(&seen(1, 9, "acme/store"), AT).await?;
    assert_eq!(now(&shop).await, (text("acme/store"), text("acme/store"), named));
    store.identify(&seen(1, 9, "acme/store")).await?;
    assert_eq!(now(&shop).await, (text("acme/store"), None, RepoOwner::Another));
    let newcomer = store.hear(&seen(3, 7, "acme/store"), AT).await?;
    assert_eq!(now(&newcomer).await, (None, text("acme/store"), named));

    // Who gets back the name that somebody else had meanwhile is heard, though nothing else was heard between:
    // by the server that took the loss down, and by one that learns of it by asking.
    for (heard_by, id) in [(&store, 3), (&other, 4)] {
        store.identify(&seen(1, 7, "acme/shop")).await?;
        heard_by.hear(&seen(1, 7, "acme/shop"), AT).await?;
        store.identify(&seen(id, 7, "acme/shop")).await?;
        if id == 4 {
            assert_eq!(other.known(&shop).await?.expect("known").name, None);
        }
        heard_by.hear(&seen(1, 7, "acme/shop"), AT).await?;
        assert_eq!(now(&shop).await, (None, text("acme/shop"), named), "after {id} had it");
    }
    Ok(())
}

/// Deliveries are answered from memory, which must not hide that a name was lost and has come back.
pub(crate) async fn a_name_that_came_back_is_noticed(place: Place) -> PortResult<()> {
    let (store, other) = (place.open().await, place.open().await);
    let (shop, thief) = (seen(1, 7, "acme/shop"), seen(2, 7, "acme/shop"));
    let key = store.identify(&shop).await?.key;
    let rumour = async || store.known(&key).await.expect("the database answers").expect("known").rumour;
    for store in [&store, &other] {
        assert_eq!(store.hear(&shop, AT).await?, key);
    }
    store.identify(&thief).await?;
    assert_eq!(store.known(&key).await?.expect("known").name, None, "it is another's now");

    // Where nobody was told, it is noticed after a minute; a rumour is no more than a reason to ask.
    other.hear(&shop, AT.after_millis(59_999)).await?;
    assert_eq!(rumour().await, None, "answered from memory");
    other.hear(&shop, AT.after_millis(60_000)).await?;
    assert_eq!(rumour().await, Some(shop.name.clone()));

    // Where GitHub's answer came, it is noticed at once.
    let known = store.known(&key).await?.expect("known");
    store.dismiss(&known, &shop.name).await?;
    store.hear(&shop, AT).await?;
    assert_eq!(rumour().await, Some(shop.name.clone()));
    Ok(())
}

pub(crate) async fn hosts_of_before_are_taken_down_once_whoever_comes_first(place: Place) -> PortResult<()> {
    let (one, two) = (place.open().await, place.open().await);
    assert!(one.are_hosts_carried().await?, "there was nothing to take down");
    let (shop, late) = (stage("acme/shop", "prod"), stage("acme/late", "prod"));
    let holders =
        |order: [&StageId; 2]| order.map(|stage| (stage.clone(), vec!["a.test".to_owned(), stage.to_string()]));
    assert_eq!(one.carry_hosts(&holders([&shop, &late])).await?, []);
    assert_eq!(one.host_owner("a.test").await?, None);

    // As an older version leaves it: with stages, and nothing taken down.
    place.by_hand().await.execute("DELETE FROM carried").await.expect("its owner may do that");
    assert!(!one.are_hosts_carried().await? && !two.are_hosts_carried().await?);
    let asks = (0..20).map(|number| {
        let (store, holders) = match number % 2 {
            0 => (one.clone(), holders([&shop, &late])),
            _ => (two.clone(), holders([&late, &shop])),
        };
        async move { store.carry_hosts(&holders).await }
    });
    let answers = futures_util::future::try_join_all(asks).await?;
    let owner = one.host_owner("a.test").await?.expect("somebody's");
    let other = if owner == shop { late.clone() } else { shop.clone() };
    let told: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(told, [(other.clone(), "a.test".to_owned(), owner.clone())], "one of all did it, and says who lost");
    for stage in [&shop, &late] {
        assert_eq!(one.host_owner(&stage.to_string()).await?.as_ref(), Some(stage), "what nobody else has it keeps");
    }
    assert!(one.are_hosts_carried().await? && two.are_hosts_carried().await?);

    // What is given back afterwards is not taken down again by one that began earlier.
    one.keep_hosts(&owner, &[]).await?;
    assert_eq!(two.carry_hosts(&holders([&owner, &other])).await?, []);
    assert_eq!(one.host_owner("a.test").await?, None);
    Ok(())
}

pub(crate) async fn a_stage_is_named_by_its_key_also_when_its_row_is_broken(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let held = sample::held(&*store, &sample::repo_lane()).await;
    let stages = ["pr-1", "pr-2"].map(|name| sample::stage(name, 1));
    store.apply_intake(&held, IntakeWrite { stages: stages.to_vec(), ..IntakeWrite::default() }).await?;
    let breaks = "UPDATE stage SET status = '{' WHERE name = 'pr-1'";
    place.by_hand().await.execute(breaks).await.expect("its owner may do that");
    assert!(store.stages(None).await.is_err());
    assert_eq!(store.stage_ids().await?, ["pr-1", "pr-2"].map(sample::stage_id));
    assert!(store.stage(&sample::stage_id("pr-1")).await.is_err());
    assert!(store.stage(&sample::stage_id("pr-2")).await?.is_some());
    Ok(())
}

pub(crate) async fn many_at_once_on_two_stores_agree_on_who_is_who(place: Place) -> PortResult<()> {
    let (one, two) = (place.open().await, place.open().await);
    let asks = (0..20_u64).map(|number| {
        let store = if number % 2 == 0 { one.clone() } else { two.clone() };
        async move { store.identify(&seen(number / 4, 7, &format!("acme/shop-{}", number / 4))).await }
    });
    let known = futures_util::future::try_join_all(asks).await?;
    for (number, repo) in known.iter().enumerate() {
        assert_eq!(repo.key.as_str(), format!("acme/shop-{}", number / 4));
    }
    Ok(())
}

pub(crate) async fn a_host_is_one_stages_until_that_gives_it_back(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let (shop, evil) = (stage("acme/shop", "pr-1"), stage("evil/shop", "pr-1"));
    let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(store.take_hosts(&shop, &hosts(&["a.test", "b.test"])).await?, None);
    assert_eq!(store.take_hosts(&shop, &hosts(&["b.test", "a.test"])).await?, None, "its own");
    let taken = store.take_hosts(&evil, &hosts(&["c.test", "b.test"])).await?;
    assert_eq!(taken, Some(("b.test".into(), shop.clone())));
    assert_eq!(store.host_owner("c.test").await?, None, "all or none");
    assert_eq!(store.host_owner("b.test").await?, Some(shop.clone()));

    store.keep_hosts(&evil, &[]).await?;
    assert_eq!(store.host_owner("a.test").await?, Some(shop.clone()), "nobody gives back what is another's");
    store.keep_hosts(&shop, &hosts(&["a.test"])).await?;
    assert_eq!(store.take_hosts(&evil, &hosts(&["b.test"])).await?, None);
    store.keep_hosts(&shop, &[]).await?;
    assert_eq!(store.take_hosts(&evil, &hosts(&["a.test"])).await?, None);
    assert_eq!(store.take_hosts(&evil, &[]).await?, None);
    Ok(())
}

pub(crate) async fn many_who_want_one_host_get_one_owner(place: Place) -> PortResult<()> {
    let (one, two) = (place.open().await, place.open().await);
    let asks = (0..20).map(|number| {
        let store = if number % 2 == 0 { one.clone() } else { two.clone() };
        let own = stage(&format!("acme/shop-{number}"), "prod");
        async move { store.take_hosts(&own, &["one.test".to_owned()]).await }
    });
    let answers = futures_util::future::try_join_all(asks).await?;
    assert_eq!(answers.iter().filter(|taken| taken.is_none()).count(), 1);
    Ok(())
}
