//! What was asked and answered, for the tests to read and the benchmarks to count.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use crate::model::Timestamp;

/// How much of each exchange is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Everything but tokens.
    Full,
    /// Only the counts.
    Counts,
}

/// One request with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    pub method: Method,
    /// As GitHub's `OpenAPI` description writes it: `/repos/{owner}/{repo}/deployments`. Empty where
    /// no endpoint of the sandbox matched.
    pub template: &'static str,
    pub path: String,
    /// Decoded, in the order of the request.
    pub query: Vec<(String, String)>,
    /// `None` where there was none, or no JSON.
    pub request: Option<Value>,
    pub status: u16,
    /// `None` where there was none, or no JSON. Tokens are blotted out.
    pub response: Option<Value>,
    /// By the sandbox's clock.
    pub at: Timestamp,
}

/// How often each endpoint was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestCounts {
    pub by_endpoint: BTreeMap<(String, &'static str), u64>,
}

impl RequestCounts {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.by_endpoint.values().sum()
    }

    /// Those that write something to a repository: all but reads and token requests.
    pub fn writes(&self) -> u64 {
        self.sum(|method, template| method != "GET" && template.starts_with("/repos/"))
    }

    /// Those whose template contains `part`.
    pub fn of(&self, method: &Method, part: &str) -> u64 {
        self.sum(|of, template| of == method.as_str() && template.contains(part))
    }

    fn sum(&self, counts: impl Fn(&str, &str) -> bool) -> u64 {
        self.by_endpoint.iter().filter(|((method, template), _)| counts(method, template)).map(|(_, n)| n).sum()
    }
}

#[derive(Debug)]
pub(super) struct Transcript {
    pub(super) recording: Recording,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) counts: RequestCounts,
}

impl Transcript {
    pub(super) fn new(recording: Recording) -> Self {
        Self { recording, exchanges: Vec::new(), counts: RequestCounts::default() }
    }

    pub(super) fn count(&mut self, method: &Method, template: &'static str) {
        *self.counts.by_endpoint.entry((method.to_string(), template)).or_default() += 1;
    }

    pub(super) fn keep(&mut self, mut exchange: Exchange) {
        if let Some(Value::Object(body)) = &mut exchange.response
            && let Some(token) = body.get_mut("token")
        {
            *token = Value::from("ghs_***");
        }
        self.exchanges.push(exchange);
    }
}
