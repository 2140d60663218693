//! What stages on AWS share, as somebody finds it who asks: where, what, how many, and what is left to do.

use serde::Serialize;

use super::Dns;

/// A foundation, there or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundationReport {
    /// Twelve digits.
    pub account: String,
    pub region: String,
    /// The name of its stack.
    pub stack: String,
    /// `None` where it was not made yet.
    pub live: Option<LiveFoundation>,
}

/// One that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveFoundation {
    /// As CloudFormation calls it: `UPDATE_COMPLETE`.
    pub status: String,
    pub template: TemplateAge,
    /// The host names of its load balancers; records lead to the first.
    pub doors: Vec<String>,
    pub zones: Vec<FoundationZone>,
    /// What stands on it.
    pub stages: Vec<String>,
}

/// Which release's template it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateAge {
    /// This one's.
    Current,
    /// Another one's.
    Other,
    /// It was never complete, and says nothing of it.
    Unknown,
}

/// Names under which stages answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundationZone {
    /// What all hosts end in.
    pub base: String,
    pub dns: Dns,
    /// The ARN of one that was given; `None` where one is made, or there is none.
    pub certificate: Option<String>,
    /// Records that nobody makes here.
    pub records: Vec<DnsRecord>,
}

/// A record that somebody has to make by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    pub name: String,
    /// `CNAME`; `ALIAS` where a zone's own name can have none.
    pub kind: &'static str,
    pub value: String,
}
