//! Carries deliveries to the webhook, one after the other or some at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc::UnboundedReceiver;

use super::hook::Letter;
use super::serve::Shared;

/// GitHub: "Your server should respond with a 2XX response within 10 seconds".
const PATIENCE: Duration = Duration::from_secs(10);

type Carrier = Client<HttpConnector, Full<Bytes>>;

/// Runs until the world is gone.
pub(super) async fn run(letters: UnboundedReceiver<Letter>, shared: Arc<Shared>, at_once: usize) {
    let carrier: Carrier = Client::builder(TokioExecutor::new()).build_http();
    let letters = futures_util::stream::unfold(letters, |mut letters| async move {
        letters.recv().await.map(|letter| (letter, letters))
    });
    letters
        .for_each_concurrent(at_once, |letter| {
            let (carrier, shared) = (&carrier, &shared);
            async move {
                let delivery = letter.delivery;
                let status = carry(carrier, letter).await;
                shared.world().hooks.arrived(delivery, status);
                shared.quiet.notify_waiters();
            }
        })
        .await;
}

/// The status that the receiver answered, 502 where none did, 504 where it took too long.
async fn carry(carrier: &Carrier, letter: Letter) -> u16 {
    let mut request = Request::new(Full::new(Bytes::from_owner(letter.body)));
    *request.method_mut() = http::Method::POST;
    *request.headers_mut() = letter.headers;
    let Ok(uri) = letter.url.parse() else { return 502 };
    *request.uri_mut() = uri;
    match tokio::time::timeout(PATIENCE, carrier.request(request)).await {
        Ok(Ok(answer)) => answer.status().as_u16(),
        Ok(Err(_)) => 502,
        Err(_) => 504,
    }
}
