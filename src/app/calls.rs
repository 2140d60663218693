//! How often AWS was asked what, as a metric.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use crate::aws::AwsCloud;

/// Reads the adapter's own counts whenever the metrics are asked for.
pub(super) struct AwsCalls {
    cloud: Arc<AwsCloud>,
    empty: IntCounterVec,
}

impl AwsCalls {
    pub(super) fn new(cloud: Arc<AwsCloud>) -> prometheus::Result<Self> {
        Ok(Self { cloud, empty: counters()? })
    }
}

fn counters() -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new("greenroom_aws_calls_total", "Calls that were sent to AWS."), &["operation"])
}

impl Collector for AwsCalls {
    fn desc(&self) -> Vec<&Desc> {
        self.empty.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Its name and label were good when it was made first.
        let Ok(counters) = counters() else { return Vec::new() };
        for (operation, count) in self.cloud.calls() {
            counters.with_label_values(&[operation.as_str()]).inc_by(count);
        }
        counters.collect()
    }
}
