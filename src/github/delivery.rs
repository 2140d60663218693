//! The webhook deliveries as GitHub remembers them.

use std::ops::ControlFlow;

use http::Method;
use serde::Deserialize;

use super::api::{Api, Who, timestamp};
use crate::model::Timestamp;
use crate::port::{DeliveryReport, PortResult};

/// So many pages of a hundred are read at most: on a busy server older ones are left to the next look,
/// instead of a share of the App's own rate limit.
const MOST_PAGES: usize = 20;

#[derive(Deserialize)]
struct Delivery {
    id: u64,
    guid: String,
    delivered_at: String,
    status_code: u16,
}

/// The attempts since a time, the newest if there are very many; GitHub lists the newest first.
pub(super) async fn list(api: &Api, since: Timestamp) -> PortResult<Vec<DeliveryReport>> {
    let mut all: Vec<Delivery> = Vec::new();
    let mut pages = 0;
    // A time that cannot be read does not end the list: it is reported after the last page.
    let is_old = |delivery: &Delivery| timestamp(&delivery.delivered_at).is_ok_and(|at| at < since);
    api.pages(
        Who::App,
        "/app/hook/deliveries?per_page=100".into(),
        "the webhook's deliveries",
        |page: Vec<Delivery>| {
            pages += 1;
            let past = page.last().is_some_and(is_old);
            all.extend(page.into_iter().filter(|delivery| !is_old(delivery)));
            if past || pages == MOST_PAGES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    )
    .await?;
    all.into_iter()
        .map(|delivery| {
            let arrived = (200..300).contains(&delivery.status_code);
            Ok(DeliveryReport { id: delivery.id, guid: delivery.guid, arrived, at: timestamp(&delivery.delivered_at)? })
        })
        .collect()
}

pub(super) async fn redeliver(api: &Api, id: u64) -> PortResult<()> {
    let path = format!("/app/hook/deliveries/{id}/attempts");
    api.send(Who::App, Method::POST, path, None).await?.ok(&format!("delivery {id}")).map(drop)
}
