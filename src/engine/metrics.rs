//! What the engine counts, for `/metrics`.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Counters of one process.
pub struct EngineMetrics {
    registry: Registry,
    pub(super) activations: IntCounter,
    pub(super) lane_faults: IntCounter,
    pub(super) lane_panics: IntCounter,
    pub(super) healed: IntCounter,
    pub(super) surfaces_refused: IntCounter,
    pub(super) outcomes: IntCounterVec,
    pub(super) steps: IntCounterVec,
}

impl EngineMetrics {
    /// The registry that holds them, to be shown beside the door's.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Default for EngineMetrics {
    fn default() -> Self {
        let registry = Registry::new();
        Self {
            activations: counter(&registry, "greenroom_lane_activations_total", "Lanes brought on."),
            lane_faults: counter(&registry, "greenroom_lane_faults_total", "Activations that ended in an error."),
            lane_panics: counter(&registry, "greenroom_lane_panics_total", "Activations that panicked."),
            healed: counter(
                &registry,
                "greenroom_deliveries_healed_total",
                "Deliveries that never arrived and were asked for again.",
            ),
            surfaces_refused: counter(
                &registry,
                "greenroom_surfaces_refused_total",
                "Things that GitHub would not show.",
            ),
            outcomes: counters(&registry, "greenroom_deploys_total", "Deploys that ended.", "outcome"),
            steps: counters(&registry, "greenroom_steps_total", "Steps that ended.", "result"),
            registry,
        }
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    let made = IntCounter::new(name, help);
    register(registry, made)
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), &[label]))
}

#[expect(clippy::expect_used, reason = "the names are constants above; a bad one fails every test")]
fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect("a valid metric name");
    registry.register(Box::new(made.clone())).expect("a metric name used once");
    made
}
