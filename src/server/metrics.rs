//! What the door counts, and the store's numbers at the moment of asking.

use prometheus::{Encoder, Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::model::Timestamp;
use crate::port::StoreCounts;

/// What became of a delivery, as a label's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrived, whatever came next.
    Received,
    /// Its signature held.
    Verified,
    Accepted,
    Duplicate,
    Ignored,
    Poison,
    /// Too large, too slow, unsigned or unreadable.
    Rejected,
    /// The store did not take it.
    Failed,
}

impl Fate {
    fn label(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Verified => "verified",
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Poison => "poison",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// The door's metrics, in a registry that others may add to.
pub struct DoorMetrics {
    registry: Registry,
    deliveries: IntCounterVec,
    latency: Histogram,
    store_up: IntGauge,
    inbox_waiting: IntGauge,
    inbox_poison: IntGauge,
    inbox_age: IntGauge,
    lanes_due: IntGauge,
    stages: IntGauge,
    deploys_running: IntGauge,
}

impl DoorMetrics {
    /// Registers everything. Fails when a name is taken in the registry.
    pub fn new(registry: Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let deliveries = IntCounterVec::new(
            Opts::new("greenroom_deliveries_total", "Webhook deliveries by event and by what became of them"),
            &["event", "fate"],
        )?;
        registry.register(Box::new(deliveries.clone()))?;
        let latency = Histogram::with_opts(
            HistogramOpts::new("greenroom_door_seconds", "From the end of a webhook's headers to its answer")
                .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
        )?;
        registry.register(Box::new(latency.clone()))?;
        Ok(Self {
            deliveries,
            latency,
            store_up: gauge("greenroom_store_up", "1 when the database answered this scrape")?,
            inbox_waiting: gauge("greenroom_inbox_waiting", "Deliveries that wait for their lane")?,
            inbox_poison: gauge("greenroom_inbox_poison", "Deliveries kept because they could not be handled")?,
            inbox_age: gauge("greenroom_inbox_oldest_seconds", "Age of the oldest waiting delivery")?,
            lanes_due: gauge("greenroom_lanes_due", "Lanes that could be worked on now")?,
            stages: gauge("greenroom_stages", "Stages known")?,
            deploys_running: gauge("greenroom_deploys_running", "Deploys that have not ended")?,
            registry,
        })
    }

    pub(super) fn count(&self, event: &str, fate: Fate) {
        self.deliveries.with_label_values(&[event, fate.label()]).inc();
    }

    pub(super) fn observe_latency(&self, seconds: f64) {
        self.latency.observe(seconds);
    }

    /// Takes over the store's numbers; `None` when it did not answer, which keeps the last ones.
    pub(super) fn set_counts(&self, counts: Option<StoreCounts>, now: Timestamp) {
        self.store_up.set(i64::from(counts.is_some()));
        if let Some(counts) = counts {
            self.inbox_waiting.set(counts.inbox_waiting);
            self.inbox_poison.set(counts.inbox_poison);
            self.inbox_age.set(counts.inbox_oldest.map_or(0, |oldest| now.since(oldest) / 1000));
            self.lanes_due.set(counts.lanes_due);
            self.stages.set(counts.stages);
            self.deploys_running.set(counts.deploys_running);
        }
    }

    /// The registry in Prometheus' text format.
    pub(super) fn render(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
