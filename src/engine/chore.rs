//! Healing: what webhooks did not bring is found by looking.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::Engine;
use crate::model::{Chore, DeliveryId, Event, Lane, Place, RepoName, StageId, Timestamp, Wake};
use crate::port::{
    AppForge, DeliveryReport, Held, InboxContent, IntakeWrite, NewDelivery, PortError, PortResult, Receipt,
};

/// GitHub keeps deliveries for three days; older ones cannot be sent again.
const DELIVERIES_MILLIS: i64 = 3 * 86_400_000;
/// Handled deliveries are remembered for longer than that, so that none is handled twice.
pub(super) const REMEMBERED_MILLIS: i64 = 7 * 86_400_000;
/// Witnessed heads bind a comment to what its author could have seen, and receipts tell a comment
/// that was answered; nobody comes back to either later.
const WITNESSED_MILLIS: i64 = 90 * 86_400_000;
/// A delivery that failed this often will not go through by trying.
const TRIES: usize = 5;
/// News of the installation that one run answers.
const NEWS: u32 = 1000;
/// Redeliveries asked for in one run.
const HEALED_AT_ONCE: usize = 100;

/// Listings of all installations within [`LISTED_MILLIS`].
const LISTINGS: usize = 5;
const LISTED_MILLIS: i64 = 300_000;

/// When this process listed the repositories of all installations last. Anybody who has the App makes news of
/// an installation, as many as they like, and each listing is paid for by all of them.
#[derive(Default)]
pub(super) struct Listings(Mutex<VecDeque<Timestamp>>);

impl Listings {
    /// Notes a listing, or says until when there were enough.
    fn begin(&self, now: Timestamp) -> Result<(), Timestamp> {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock may be put back.
        begun.retain(|at| *at <= now && now.since(*at) < LISTED_MILLIS);
        match begun.front() {
            Some(first) if begun.len() >= LISTINGS => Err(first.after_millis(LISTED_MILLIS)),
            _ => {
                begun.push_back(now);
                Ok(())
            }
        }
    }
}

/// A delivery that GitHub would not send again is asked for once more after this.
const UNSENT_MILLIS: i64 = 3_600_000;

/// Lost deliveries that GitHub would not send again, by their numbers there, and when that was: they must
/// not hide the others that are lost.
#[derive(Default)]
pub(super) struct Unsent(Mutex<BTreeMap<u64, Timestamp>>);

impl Unsent {
    fn note(&self, id: u64, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, now);
    }

    /// Leaves out those of which that is known.
    fn without(&self, mut lost: Vec<DeliveryReport>, now: Timestamp) -> Vec<DeliveryReport> {
        let mut unsent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unsent.retain(|_, at| *at <= now && now.since(*at) < UNSENT_MILLIS);
        lost.retain(|report| !unsent.contains_key(&report.id));
        lost
    }
}

impl Engine {
    /// One run of a periodic duty.
    pub(super) async fn chore(&self, held: &mut Held, chore: Chore) -> PortResult<Wake> {
        let now = self.ports.clock.now();
        match chore {
            Chore::Deliveries => match &self.ports.app {
                Some(app) => self.heal_deliveries(app.as_ref(), now).await?,
                // Nobody's webhook is ours: it rests until somebody who has one rings.
                None => return Ok(Wake::OnBell),
            },
            Chore::Reconcile => {
                if let Err(at) = self.listings.begin(now) {
                    return Ok(Wake::At(at));
                }
                // News of the installation come in here: they say no more than "look".
                let news = self.ports.store.inbox(held, NEWS).await?;
                let repos = self.concerned().await?;
                self.ask_to_reconcile(repos, now).await?;
                if !news.is_empty() {
                    let done = news.iter().map(|row| row.seq).collect();
                    self.ports.store.apply_intake(held, IntakeWrite { done, ..IntakeWrite::default() }).await?;
                }
            }
            Chore::Sweep => {
                let forgotten = self.ports.store.prune(now.after_millis(-REMEMBERED_MILLIS)).await?;
                tracing::debug!(forgotten, "forgot {forgotten} handled deliveries");
                let forgotten = self.ports.store.forget(now.after_millis(-WITNESSED_MILLIS)).await?;
                tracing::debug!(forgotten, "forgot {forgotten} old heads and receipts");
                let repos = self.sweep(held).await?;
                self.ask_to_reconcile(repos, now).await?;
            }
            Chore::Watch => {
                self.watch(held).await?;
                // Whoever is at work rings for the next one.
                return Ok(Wake::OnBell);
            }
        }
        Ok(Wake::At(now.after(chore.period())))
    }

    /// The repositories to look at: of those that the app may read the ones that are served, and the ones of
    /// which something is here. Where nothing is listed, or there is no app, all of the latter.
    async fn concerned(&self) -> PortResult<BTreeSet<RepoName>> {
        let installed = match &self.ports.app {
            Some(app) => self.installed(app.as_ref()).await?,
            None => None,
        };
        let stages = self.ports.store.stages(None).await?;
        let at_home: BTreeSet<RepoName> = stages.into_iter().map(|record| record.id.repo).collect();
        let Some(installed) = installed else { return Ok(at_home) };
        let mut concerned = BTreeSet::new();
        for repo in installed {
            if at_home.contains(&repo) || self.may_be_served(&repo).await? {
                concerned.insert(repo);
            }
        }
        Ok(concerned)
    }

    /// Whether a repository may be one of those that are served; GitHub is not asked.
    async fn may_be_served(&self, repo: &RepoName) -> PortResult<bool> {
        let allow = &self.settings.wall.allow;
        if allow.may_cover(repo) {
            return Ok(true);
        }
        // One that was handed to somebody who is served is not told by its key, and so far perhaps by a list alone.
        let Some(known) = self.ports.store.known(repo).await? else { return Ok(false) };
        Ok(allow.covers(&known) || known.rumour.is_some_and(|name| allow.may_cover(&name)))
    }

    /// The repositories that the app may read; `None` where GitHub does not list them, which asking again
    /// soon does not change.
    async fn installed(&self, app: &dyn AppForge) -> PortResult<Option<BTreeSet<RepoName>>> {
        let listed = app.repositories().await;
        let listed = self.unless_refused("the repositories of the app cannot be listed", listed)?;
        Ok(listed.map(|repos| repos.into_iter().map(|repo| repo.name).collect()))
    }

    /// The repositories about which GitHub tells us: all that the app may read, and without an app those of
    /// these stages that our token is for.
    pub(super) async fn readable(&self, existing: &[(StageId, Place)]) -> PortResult<BTreeSet<RepoName>> {
        if let Some(app) = &self.ports.app {
            return Ok(self.installed(app.as_ref()).await?.unwrap_or_default());
        }
        let named: BTreeSet<&RepoName> = existing.iter().map(|(stage, _)| &stage.repo).collect();
        let mut readable = BTreeSet::new();
        for repo in named {
            match self.ports.forge.repository(repo).await {
                Ok(_) => {
                    readable.insert(repo.clone());
                }
                Err(PortError::NotFound { .. } | PortError::Denied { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(readable)
    }

    /// What was answered; nothing where it was refused or is not there, which is said once: a duty that comes
    /// again and again is not to be tried every minute for it.
    pub(super) fn unless_refused<T>(&self, what: &str, answer: PortResult<T>) -> PortResult<Option<T>> {
        match answer {
            Err(error @ (PortError::NotFound { .. } | PortError::Denied { .. })) => {
                if self.once.is_news(what, &error.to_string()) {
                    tracing::warn!("{what}, and are left out until they can: {error}");
                }
                Ok(None)
            }
            answer => {
                if answer.is_ok() && self.once.is_over(what) {
                    tracing::info!("it is over that {what}");
                }
                answer.map(Some)
            }
        }
    }

    async fn heal_deliveries(&self, app: &dyn AppForge, now: Timestamp) -> PortResult<()> {
        let reports = app.deliveries(now.after_millis(-DELIVERIES_MILLIS)).await;
        let reports = self.unless_refused("deliveries that were lost cannot be listed", reports)?.unwrap_or_default();
        let lost = self.unsent.without(lost_deliveries(reports), now);
        for lost in lost.into_iter().take(HEALED_AT_ONCE) {
            tracing::info!(delivery = %lost.guid, "delivery {} never arrived; asking GitHub to send it again", lost.guid);
            match app.redeliver(lost.id).await {
                Ok(()) => self.metrics.healed.inc(),
                Err(error @ (PortError::NotFound { .. } | PortError::Denied { .. })) => {
                    tracing::warn!(delivery = %lost.guid, "delivery {} is not sent again: {error}", lost.guid);
                    self.unsent.note(lost.id, now);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Puts a look at each repository into its inbox: the same way in as any event.
    async fn ask_to_reconcile(&self, repos: impl IntoIterator<Item = RepoName>, now: Timestamp) -> PortResult<()> {
        let mut repos: Vec<RepoName> = repos.into_iter().collect();
        repos.sort();
        repos.dedup();
        for repo in repos {
            let id = format!("reconcile-{}-{}", hex::encode(&Sha256::digest(repo.as_str())[..8]), now.0);
            let Ok(id) = DeliveryId::new(id) else { continue };
            let delivery = NewDelivery {
                body_hash: Sha256::digest(id.as_str()).into(),
                id,
                lane: Lane::Repo(repo.clone()),
                content: InboxContent::Event(Box::new(Event::Reconcile { repo })),
                at: now,
            };
            let _: Receipt = self.ports.store.receive(delivery).await?;
        }
        self.bell.notify_waiters();
        Ok(())
    }
}

/// The newest attempt of each delivery of which no attempt arrived.
fn lost_deliveries(reports: Vec<DeliveryReport>) -> Vec<DeliveryReport> {
    let mut by_guid: BTreeMap<String, Vec<DeliveryReport>> = BTreeMap::new();
    for report in reports {
        by_guid.entry(report.guid.clone()).or_default().push(report);
    }
    let mut lost: Vec<DeliveryReport> = by_guid
        .into_values()
        .filter(|attempts| attempts.len() < TRIES && !attempts.iter().any(|attempt| attempt.arrived))
        .filter_map(|attempts| attempts.into_iter().max_by_key(|attempt| attempt.at))
        .collect();
    lost.sort_by_key(|report| (report.at, report.id));
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installations_are_listed_five_times_in_five_minutes_at_most() {
        let listings = Listings::default();
        let hour = 3_600_000;
        let begun: Vec<i64> = (0..hour).step_by(1_000).filter(|at| listings.begin(Timestamp(*at)).is_ok()).collect();
        assert_eq!(begun[..5], [0, 1_000, 2_000, 3_000, 4_000], "the first ones at once");
        assert_eq!(begun.len(), 60);
        assert_eq!(listings.begin(Timestamp(hour)), Ok(()), "whoever waited until then");
        let until = |at: i64| (0..6).find_map(|_| listings.begin(Timestamp(at)).err());
        assert_eq!(until(hour + 500), Some(Timestamp(hour + 1_000)));
        assert_eq!(listings.begin(Timestamp(1_000)), Ok(()), "a clock that is put back holds nobody up");
    }

    fn report(id: u64, guid: &str, arrived: bool) -> DeliveryReport {
        DeliveryReport { id, guid: guid.into(), arrived, at: Timestamp(i64::try_from(id).unwrap()) }
    }

    #[test]
    fn only_what_never_arrived_is_sent_again_and_not_for_ever() {
        let mut reports =
            vec![report(1, "a", false), report(2, "a", true), report(3, "b", false), report(4, "b", false)];
        reports.extend((10..15).map(|id| report(id, "hopeless", false)));
        let lost: Vec<u64> = lost_deliveries(reports).into_iter().map(|report| report.id).collect();
        assert_eq!(lost, [4]);
    }

    #[test]
    fn what_is_not_sent_again_is_asked_for_every_hour() {
        let unsent = Unsent::default();
        let asked = |now| {
            let lost = unsent.without(vec![report(1, "a", false), report(2, "b", false)], Timestamp(now));
            lost.into_iter().map(|report| report.id).collect::<Vec<_>>()
        };
        assert_eq!(asked(0), [1, 2]);
        unsent.note(1, Timestamp(0));
        assert_eq!((asked(0), asked(UNSENT_MILLIS - 1)), (vec![2], vec![2]));
        assert_eq!(asked(UNSENT_MILLIS), [1, 2]);
    }
}
