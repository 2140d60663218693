//! The app's webhook: what was sent, what came of it, and what is held back.
//!
//! GitHub: "Webhook events and payloads" for the headers, "Redelivering webhooks" for the rule that
//! a redelivery carries the `X-GitHub-Delivery` of the first attempt.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::mpsc::UnboundedSender;

use super::job::ACTIONS_BOT;
use super::serve::WebhookTarget;
use crate::model::Timestamp;

/// What becomes of new deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryMode {
    /// They are sent.
    Send,
    /// They are lost on the way: recorded as failed, never sent.
    Drop,
    /// They are sent twice under the same id.
    Duplicate,
    /// They wait for a release.
    Hold,
}

/// In which order held deliveries are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    AsHappened,
    Reversed,
    /// An order drawn from this seed.
    Shuffled(u64),
}

/// One attempt to deliver one event.
#[derive(Debug, Clone, PartialEq)]
pub struct HookDelivery {
    /// Of the attempt.
    pub id: u64,
    /// Of the event: the same for every attempt.
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub at: Timestamp,
    pub redelivery: bool,
    /// What the receiver answered, 502 where nobody did, 504 where it took too long; `None` while
    /// it is on its way or held back.
    pub status: Option<u16>,
    /// The exact bytes; empty where the recording keeps counts only and the delivery arrived.
    pub body: Arc<[u8]>,
    /// Whether workflows hear of it too: of what is done with the token of a job they do not.
    pub starts_workflows: bool,
    pub(super) installation: Option<u64>,
    pub(super) repository: Option<u64>,
}

/// What the postman carries.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) delivery: u64,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Arc<[u8]>,
}

/// A delivery before it has a number.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) event: &'static str,
    pub(super) guid: String,
    pub(super) body: Value,
}

#[derive(Debug)]
pub(super) struct Hooks {
    pub(super) target: Option<WebhookTarget>,
    pub(super) mode: DeliveryMode,
    pub(super) deliveries: Vec<HookDelivery>,
    pub(super) outbox: UnboundedSender<Letter>,
    /// Attempts on their way.
    pub(super) in_flight: usize,
    held: Vec<u64>,
    pub(super) keep_bodies: bool,
    /// What bodies lack, as a JSON pointer.
    pub(super) left_out: Option<&'static str>,
}

impl Hooks {
    pub(super) fn new(target: Option<WebhookTarget>, outbox: UnboundedSender<Letter>, keep_bodies: bool) -> Self {
        Self {
            target,
            mode: DeliveryMode::Send,
            deliveries: Vec::new(),
            outbox,
            in_flight: 0,
            held: Vec::new(),
            keep_bodies,
            left_out: None,
        }
    }

    /// Takes an event to the webhook, as the mode wants it. `ids` are the numbers of the attempts.
    pub(super) fn post(&mut self, mut draft: Draft, ids: [u64; 2], at: Timestamp) {
        if self.target.is_none() {
            return;
        }
        if let Some((parent, field)) = self.left_out.and_then(|pointer| pointer.rsplit_once('/'))
            && let Some(fields) = draft.body.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            fields.remove(field);
        }
        let number = |pointer: &str| draft.body.pointer(pointer).and_then(Value::as_u64);
        let delivery = HookDelivery {
            id: ids[0],
            guid: draft.guid,
            event: draft.event.to_owned(),
            action: draft.body.get("action").and_then(Value::as_str).map(str::to_owned),
            at,
            redelivery: false,
            status: None,
            starts_workflows: number("/sender/id") != Some(ACTIONS_BOT),
            installation: number("/installation/id"),
            repository: number("/repository/id"),
            // A value is always JSON.
            body: Arc::from(serde_json::to_vec(&draft.body).unwrap_or_default()),
        };
        match self.mode {
            DeliveryMode::Send => self.send(delivery),
            DeliveryMode::Drop => self.deliveries.push(HookDelivery { status: Some(502), ..delivery }),
            DeliveryMode::Duplicate => {
                self.send(delivery.clone());
                self.send(HookDelivery { id: ids[1], ..delivery });
            }
            DeliveryMode::Hold => {
                self.held.push(delivery.id);
                self.deliveries.push(delivery);
            }
        }
    }

    /// Sends an earlier event again: the same id and bytes, a new attempt. Answers whether there
    /// was such an attempt.
    pub(super) fn redeliver(&mut self, attempt: u64, id: u64, at: Timestamp) -> bool {
        let Some(earlier) = self.find(attempt).cloned() else { return false };
        self.send(HookDelivery { id, at, redelivery: true, status: None, ..earlier });
        true
    }

    /// Sends what was held back.
    pub(super) fn release(&mut self, order: Order) {
        let mut held = std::mem::take(&mut self.held);
        match order {
            Order::AsHappened => {}
            Order::Reversed => held.reverse(),
            Order::Shuffled(seed) => {
                held.sort_by_cached_key(|id| super::git::object_name(&[&seed.to_be_bytes(), &id.to_be_bytes()]));
            }
        }
        for id in held {
            if let Some(delivery) = self.find(id).cloned() {
                self.mail(&delivery);
            }
        }
    }

    /// Notes what came of an attempt.
    pub(super) fn arrived(&mut self, id: u64, status: u16) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let keep = self.keep_bodies;
        if let Some(delivery) = self.deliveries.iter_mut().rev().find(|delivery| delivery.id == id) {
            delivery.status = Some(status);
            if !keep && (200..300).contains(&status) {
                delivery.body = Arc::default();
            }
        }
    }

    pub(super) fn find(&self, attempt: u64) -> Option<&HookDelivery> {
        self.deliveries.iter().find(|delivery| delivery.id == attempt)
    }

    fn send(&mut self, delivery: HookDelivery) {
        self.mail(&delivery);
        self.deliveries.push(delivery);
    }

    fn mail(&mut self, delivery: &HookDelivery) {
        let Some(target) = &self.target else { return };
        let letter = Letter {
            delivery: delivery.id,
            url: target.url.clone(),
            headers: headers(delivery, &target.secret),
            body: delivery.body.clone(),
        };
        if self.outbox.send(letter).is_ok() {
            self.in_flight += 1;
        }
    }
}

/// The headers of a delivery, signed.
pub(super) fn headers(delivery: &HookDelivery, secret: &SecretString) -> HeaderMap {
    let app = super::world::APP_ID.to_string();
    let signature = sign(&delivery.body, secret);
    let fields = [
        ("content-type", "application/json"),
        ("user-agent", "GitHub-Hookshot/sandbox"),
        ("x-github-delivery", delivery.guid.as_str()),
        ("x-github-event", delivery.event.as_str()),
        ("x-github-hook-id", "1"),
        ("x-github-hook-installation-target-id", app.as_str()),
        ("x-github-hook-installation-target-type", "integration"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((http::HeaderName::from_static(name), value.parse().ok()?)))
        .collect()
}

/// `sha256=` and the HMAC of the body in hexadecimal.
fn sign(body: &[u8], secret: &SecretString) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return String::new() };
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
