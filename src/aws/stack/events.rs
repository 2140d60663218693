//! What CloudFormation is doing, and what failed first.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::types::StackEvent;

use super::super::clients::Clients;
use super::super::fault::fault;
use crate::port::PortResult;

/// The kind of a stack's own events.
const STACK: &str = "AWS::CloudFormation::Stack";

/// One event, without what nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) logical: String,
    pub(super) kind: String,
    /// `CREATE_IN_PROGRESS`, ...
    pub(super) status: String,
    pub(super) reason: String,
    /// Whether it is about the stack itself rather than about one of its resources.
    pub(super) is_of_stack: bool,
}

/// How far back to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The newest page: enough to say what CloudFormation is at.
    Page,
    /// To the beginning of the newest operation.
    Operation,
    /// All that CloudFormation has.
    All,
}

/// Events, newest first. Told apart by their ids: several may have the same time.
pub(super) async fn read(clients: &Clients, stack: &str, reach: Reach) -> PortResult<Vec<Event>> {
    let mut pages = clients.cloudformation.describe_stack_events().stack_name(stack).into_paginator().send();
    let (mut events, mut seen): (Vec<Event>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| fault("cloudformation:DescribeStackEvents", error))?;
        let page = page.stack_events.unwrap_or_default().into_iter().map(event);
        events.extend(page.filter(|event| seen.insert(event.id.clone())));
        let enough = match reach {
            Reach::Page => true,
            Reach::Operation => events.iter().any(begins_operation),
            Reach::All => false,
        };
        if enough {
            break;
        }
    }
    Ok(events)
}

fn event(event: StackEvent) -> Event {
    Event {
        is_of_stack: event.resource_type.as_deref() == Some(STACK) && event.physical_resource_id == event.stack_id,
        id: event.event_id.unwrap_or_default(),
        logical: event.logical_resource_id.unwrap_or_default(),
        kind: event.resource_type.unwrap_or_default(),
        status: event.resource_status.map(|status| status.to_string()).unwrap_or_default(),
        reason: event.resource_status_reason.unwrap_or_default(),
    }
}

fn begins_operation(event: &Event) -> bool {
    event.is_of_stack && ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"].contains(&&*event.status)
}

/// The events of the newest operation, newest first.
fn operation(events: &[Event]) -> &[Event] {
    let end = events.iter().position(begins_operation).map_or(events.len(), |at| at + 1);
    &events[..end]
}

/// The first resource that failed in the newest operation, not one that was only called off for it.
pub(super) fn first_failure(events: &[Event]) -> Option<&Event> {
    let failed = |event: &&Event| event.status.ends_with("_FAILED") && !event.reason.contains("cancelled");
    let operation = operation(events);
    operation
        .iter()
        .rev()
        .filter(|event| !event.is_of_stack)
        .find(failed)
        .or_else(|| operation.iter().rev().find(failed))
}

/// How many times deleting the stack has failed.
pub(super) fn failed_deletes(events: &[Event]) -> usize {
    events.iter().filter(|event| event.is_of_stack && event.status == "DELETE_FAILED").count()
}

/// What CloudFormation is at, in a few words; empty when it has not begun.
pub(super) fn note(events: &[Event]) -> String {
    let operation = operation(events);
    let mut settled = BTreeSet::new();
    for event in operation.iter().filter(|event| !event.is_of_stack) {
        if !settled.insert(event.logical.as_str()) {
            continue;
        }
        // The certificate waits for somebody to write this record into the zone.
        if event.kind == "AWS::CertificateManager::Certificate" && event.reason.contains("DNS Record") {
            return format!("waiting for the certificate: {}", event.reason);
        }
        if let Some(verb) = verb(&event.status) {
            return format!("{verb} {}", thing(&event.kind, &event.logical));
        }
    }
    String::new()
}

fn verb(status: &str) -> Option<&'static str> {
    match status {
        "CREATE_IN_PROGRESS" => Some("making"),
        "UPDATE_IN_PROGRESS" => Some("changing"),
        "DELETE_IN_PROGRESS" => Some("removing"),
        _ => None,
    }
}

/// A resource in words.
pub(super) fn thing(kind: &str, logical: &str) -> String {
    let words = match kind {
        "AWS::ElasticLoadBalancingV2::LoadBalancer" => "the load balancer",
        "AWS::ElasticLoadBalancingV2::Listener" => "the load balancer's listener",
        "AWS::ElasticLoadBalancingV2::ListenerCertificate" => "the load balancer's certificates",
        "AWS::ElasticLoadBalancingV2::ListenerRule" => "the listener rule",
        "AWS::ElasticLoadBalancingV2::TargetGroup" => "the target group",
        "AWS::CertificateManager::Certificate" => "the certificate",
        "AWS::ECS::Cluster" => "the cluster",
        "AWS::ECS::Service" => "the service",
        "AWS::EC2::NatGateway" => "the NAT gateway",
        "AWS::EC2::VPC" => "the network",
        "AWS::IAM::Role" => "the roles",
        "AWS::Logs::LogGroup" => "the log group",
        "AWS::Route53::RecordSet" => "the DNS record",
        _ => return format!("{logical} ({})", kind.trim_start_matches("AWS::")),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `logical kind status reason`, oldest first as they happen.
    fn story(lines: &[&str]) -> Vec<Event> {
        let event = |(at, line): (usize, &&str)| {
            let mut words = line.splitn(4, ' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            let (logical, kind, status, reason) = (word(), word(), word(), word());
            Event { id: at.to_string(), is_of_stack: kind == STACK, logical, kind, status, reason }
        };
        let mut events: Vec<Event> = lines.iter().enumerate().map(event).collect();
        events.reverse();
        events
    }

    #[test]
    fn the_first_failure_of_the_newest_operation_is_the_cause() {
        let events = story(&[
            "s AWS::CloudFormation::Stack UPDATE_IN_PROGRESS User Initiated",
            "Old AWS::EC2::EIP CREATE_FAILED an old story",
            "s AWS::CloudFormation::Stack UPDATE_ROLLBACK_COMPLETE",
            "s AWS::CloudFormation::Stack UPDATE_IN_PROGRESS User Initiated",
            "Web AWS::ECS::Service UPDATE_FAILED Resource update cancelled",
            "Rule AWS::ElasticLoadBalancingV2::ListenerRule CREATE_FAILED Priority '7' is currently in use",
            "Db AWS::RDS::DBInstance CREATE_FAILED Resource creation cancelled",
            "s AWS::CloudFormation::Stack UPDATE_ROLLBACK_IN_PROGRESS The following resource(s) failed",
            "Rule AWS::ElasticLoadBalancingV2::ListenerRule DELETE_FAILED later",
        ]);
        let first = first_failure(&events).expect("a failure");
        assert_eq!((first.logical.as_str(), first.reason.as_str()), ("Rule", "Priority '7' is currently in use"));
        assert_eq!(first_failure(&story(&["s AWS::CloudFormation::Stack CREATE_IN_PROGRESS User Initiated"])), None);
    }

    #[test]
    fn a_note_says_what_is_under_way() {
        let begun = "s AWS::CloudFormation::Stack CREATE_IN_PROGRESS User Initiated";
        let balancer = "LoadBalancer1 AWS::ElasticLoadBalancingV2::LoadBalancer CREATE_IN_PROGRESS";
        let certificate =
            "C AWS::CertificateManager::Certificate CREATE_IN_PROGRESS Content of DNS Record is: {Name: _a}";
        assert_eq!(note(&story(&[begun])), "");
        assert_eq!(note(&story(&[begun, balancer])), "making the load balancer");
        let done = "Vpc AWS::EC2::VPC CREATE_COMPLETE";
        assert_eq!(note(&story(&[begun, balancer, done])), "making the load balancer");
        let asked = note(&story(&[begun, certificate, done]));
        assert_eq!(asked, "waiting for the certificate: Content of DNS Record is: {Name: _a}");
    }

    #[test]
    fn failed_deletes_are_counted_over_all_operations() {
        let lines = ["s AWS::CloudFormation::Stack DELETE_FAILED a", "X AWS::S3::Bucket DELETE_FAILED b"];
        assert_eq!(failed_deletes(&story(&lines)), 1);
        assert_eq!(failed_deletes(&story(&[lines[0], lines[0], lines[1]])), 2);
    }
}
