//! How often each operation of AWS was called.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Counts of the calls that were sent, by operation: `ecs:UpdateService`.
#[derive(Debug, Default)]
pub(super) struct Calls {
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Calls {
    /// Notes a call.
    pub(super) fn count(&self, operation: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(operation) {
            Some(count) => *count += 1,
            None => {
                counts.insert(operation.to_owned(), 1);
            }
        }
    }

    /// The counts since the program began.
    pub(super) fn snapshot(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a request asks for, as an extension of the request: `ecs:UpdateService`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operation(pub(super) String);

/// Writes each request's operation on it, so that what sends it can count it.
#[derive(Debug)]
pub(super) struct Naming {
    /// IAM's name of the service: `elasticloadbalancing`.
    pub(super) service: &'static str,
}

impl Intercept for Naming {
    fn name(&self) -> &'static str {
        "Naming"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(metadata) = cfg.load::<Metadata>() {
            let operation = Operation(format!("{}:{}", self.service, metadata.name()));
            context.request_mut().add_extension(operation);
        }
        Ok(())
    }
}
