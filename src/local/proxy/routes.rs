//! Which version a host leads to, and how many requests each version has in flight.
//!
//! A request is counted under the same lock under which its version was looked up. So once the
//! traffic has been switched, an old version whose count is 0 will never get a request again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::model::{ServiceName, StageId};

/// The running copies of one version.
#[derive(Debug)]
pub(crate) struct Upstream {
    version: String,
    copies: Mutex<Vec<Option<SocketAddr>>>,
    turn: AtomicUsize,
    in_flight: AtomicUsize,
    quiet: Notify,
}

/// A request on its way through a version, until dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Upstream>);

/// All routes of this machine.
#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<HashMap<String, Route>>);

#[derive(Debug)]
struct Route {
    stage: StageId,
    service: ServiceName,
    upstream: Arc<Upstream>,
    trial: Option<Trial>,
}

/// A version that gets one copy's share of the requests beside the one that serves.
#[derive(Debug)]
struct Trial {
    upstream: Arc<Upstream>,
    turn: AtomicUsize,
}

/// The host answers for another stage already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken(pub(crate) StageId);

impl Upstream {
    pub(crate) fn new(version: &str, copies: usize) -> Self {
        Self {
            version: version.to_owned(),
            copies: Mutex::new(vec![None; copies]),
            turn: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            quiet: Notify::new(),
        }
    }

    /// The copy answers at this address, or no longer.
    pub(crate) fn set(&self, copy: usize, address: Option<SocketAddr>) {
        if let Some(slot) = self.copies.lock().unwrap_or_else(PoisonError::into_inner).get_mut(copy) {
            *slot = address;
        }
    }

    /// The next copy in turn.
    pub(crate) fn pick(&self) -> Option<SocketAddr> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let up: Vec<SocketAddr> = copies.iter().flatten().copied().collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        up.get(turn.checked_rem(up.len())?).copied()
    }

    fn copies_up(&self) -> usize {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().count()
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Waits until no request is in flight.
    pub(crate) async fn quiet(&self) {
        loop {
            let mut notified = std::pin::pin!(self.quiet.notified());
            notified.as_mut().enable();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl InFlight {
    pub(super) fn upstream(&self) -> &Upstream {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

impl Route {
    /// Whether the version gets all or a share already.
    fn leads_to(&self, upstream: &Arc<Upstream>) -> bool {
        let trial = self.trial.as_ref().map(|trial| &trial.upstream);
        Arc::ptr_eq(&self.upstream, upstream) || trial.is_some_and(|trial| Arc::ptr_eq(trial, upstream))
    }

    /// The version whose turn it is: of n copies that serve and one on trial, the latter is every
    /// (n + 1)th. One on trial that is down has no turn.
    fn next(&self) -> &Arc<Upstream> {
        let Some(trial) = self.trial.as_ref().filter(|trial| trial.upstream.copies_up() > 0) else {
            return &self.upstream;
        };
        let serving = self.upstream.copies_up();
        let is_its_turn = trial.turn.fetch_add(1, Ordering::Relaxed) % (serving + 1) == serving;
        if is_its_turn { &trial.upstream } else { &self.upstream }
    }
}

impl Routes {
    /// Leads a host to a version, in one moment. A host of another stage is never taken over.
    pub(crate) fn set(
        &self,
        host: &str,
        stage: &StageId,
        service: &ServiceName,
        upstream: &Arc<Upstream>,
    ) -> Result<(), Taken> {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let key = host.to_ascii_lowercase();
        if let Some(other) = routes.get(&key).filter(|route| route.stage != *stage) {
            return Err(Taken(other.stage.clone()));
        }
        // A service whose host changed no longer answers at its old one.
        routes.retain(|_, route| !(route.stage == *stage && route.service == *service));
        let (stage, service, upstream) = (stage.clone(), service.clone(), Arc::clone(upstream));
        routes.insert(key, Route { stage, service, upstream, trial: None });
        Ok(())
    }

    /// Gives a version one copy's share of what a service gets, until its host leads elsewhere or
    /// [`Self::end_trial`]. Without a route there is nothing to share.
    pub(crate) fn try_out(&self, stage: &StageId, service: &ServiceName, upstream: &Arc<Upstream>) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let route = routes.values_mut().find(|route| route.stage == *stage && route.service == *service);
        let Some(route) = route.filter(|route| !route.leads_to(upstream)) else { return };
        route.trial = Some(Trial { upstream: Arc::clone(upstream), turn: AtomicUsize::new(0) });
    }

    /// All of what a service gets goes to the version that serves again.
    pub(crate) fn end_trial(&self, stage: &StageId, service: &ServiceName) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.values_mut().find(|route| route.stage == *stage && route.service == *service) {
            route.trial = None;
        }
    }

    /// Whose host it is.
    pub(crate) fn owner(&self, host: &str) -> Option<StageId> {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        routes.get(&host.to_ascii_lowercase()).map(|route| route.stage.clone())
    }

    /// Takes away the host of a service.
    pub(crate) fn remove(&self, stage: &StageId, service: &ServiceName) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|_, route| !(route.stage == *stage && route.service == *service));
    }

    /// Counts a request into the version that the host leads to.
    pub(super) fn enter(&self, host: &str) -> Option<InFlight> {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let upstream = routes.get(host)?.next();
        upstream.in_flight.fetch_add(1, Ordering::SeqCst);
        Some(InFlight(Arc::clone(upstream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str) -> StageId {
        StageId { repo: "acme/shop".parse().unwrap(), name: name.parse().unwrap() }
    }

    #[tokio::test]
    async fn a_request_counts_for_the_version_it_entered_until_it_ends() {
        let (routes, old, new) =
            (Routes::default(), Arc::new(Upstream::new("old", 1)), Arc::new(Upstream::new("new", 1)));
        let web: ServiceName = "web".parse().unwrap();
        routes.set("PR-1.localhost", &stage("pr-1"), &web, &old).unwrap();
        let request = routes.enter("pr-1.localhost").unwrap();
        routes.set("pr-1.localhost", &stage("pr-1"), &web, &new).unwrap();
        assert_eq!(request.upstream().version(), "old");
        assert_eq!(routes.enter("pr-1.localhost").unwrap().upstream().version(), "new");

        let mut quiet = tokio_test_pin(old.quiet());
        assert!(futures_util::poll!(quiet.as_mut()).is_pending());
        drop(request);
        assert!(futures_util::poll!(quiet.as_mut()).is_ready());
    }

    fn tokio_test_pin<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
        Box::pin(future)
    }

    #[test]
    fn a_host_of_another_stage_is_not_taken_over() {
        let (routes, upstream) = (Routes::default(), Arc::new(Upstream::new("v1", 1)));
        let web: ServiceName = "web".parse().unwrap();
        routes.set("pr-1.localhost", &stage("pr-1"), &web, &upstream).unwrap();
        assert_eq!(routes.set("pr-1.localhost", &stage("other"), &web, &upstream), Err(Taken(stage("pr-1"))));
        routes.set("new.localhost", &stage("pr-1"), &web, &upstream).unwrap();
        assert!(routes.enter("pr-1.localhost").is_none(), "the old host is gone");
        assert!(routes.enter("new.localhost").is_some());
    }

    #[test]
    fn a_version_on_trial_gets_one_copys_share_and_none_while_it_is_down() {
        let (routes, old, new) =
            (Routes::default(), Arc::new(Upstream::new("old", 3)), Arc::new(Upstream::new("new", 2)));
        let (stage, web): (_, ServiceName) = (stage("pr-1"), "web".parse().unwrap());
        let up = |upstream: &Upstream, copies| {
            (0..copies).for_each(|copy| upstream.set(copy, Some(SocketAddr::from(([127, 0, 0, 1], 1)))));
        };
        let of_new = || {
            let entered: Vec<_> = (0..40).filter_map(|_| routes.enter("pr-1.localhost")).collect();
            entered.iter().filter(|request| request.upstream().version() == "new").count()
        };
        routes.set("pr-1.localhost", &stage, &web, &old).unwrap();
        up(&old, 3);
        routes.try_out(&stage, &web, &new);
        assert_eq!(of_new(), 0, "it does not run yet");
        up(&new, 2);
        assert_eq!(of_new(), 10, "one of four, however many copies it has");
        routes.try_out(&stage, &web, &new);
        routes.end_trial(&stage, &web);
        assert_eq!(of_new(), 0);
        routes.try_out(&stage, &web, &new);
        routes.set("pr-1.localhost", &stage, &web, &new).unwrap();
        assert_eq!(of_new(), 40, "it has passed");
    }

    #[test]
    fn copies_take_turns_and_those_that_are_down_are_left_out() {
        let upstream = Upstream::new("v1", 3);
        assert_eq!(upstream.pick(), None);
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        upstream.set(0, Some(address(1)));
        upstream.set(2, Some(address(3)));
        let picked: Vec<_> = (0..4).filter_map(|_| upstream.pick()).map(|a| a.port()).collect();
        assert_eq!(picked.iter().filter(|port| **port == 1).count(), 2, "{picked:?}");
        assert_eq!(picked.iter().filter(|port| **port == 3).count(), 2, "{picked:?}");
    }
}
