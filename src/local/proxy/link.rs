//! A connection to the program that a host leads to.
//!
//! Every request gets one of its own. On loopback that costs tens of microseconds, and it rules out the
//! request that is lost on a kept connection which the program is just closing. Nothing of a request is
//! sent before its connection stands, so one that cannot be made is tried again on the version that the
//! host leads to by then; a request of which anything was sent is never sent again.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::routes::{InFlight, Routes};
use crate::port::is_own_exhaustion;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Tried this often; between two tries there is a pause of 20 ms, 40 ms, 80 ms, ...
const TRIES: u32 = 6;

/// Why a request does not reach a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoWay {
    Unknown,
    Down,
    /// We have no connection left for it.
    Busy,
}

/// Connects to the version that the host leads to, trying again on what it leads to by then.
pub(super) async fn connect(routes: &Routes, host: &str) -> Result<(InFlight, TcpStream), NoWay> {
    let mut pause = Duration::from_millis(20);
    let mut why = NoWay::Down;
    for attempt in 1..=TRIES {
        let counted = routes.enter(host).ok_or(NoWay::Unknown)?;
        if let Some(address) = counted.upstream().pick() {
            match open(address).await {
                Ok(stream) => return Ok((counted, stream)),
                Err(error) => {
                    tracing::debug!(%error, host, attempt, "there is no connection to a program");
                    why = if is_own_exhaustion(&error) { NoWay::Busy } else { NoWay::Down };
                }
            }
        }
        drop(counted);
        if attempt < TRIES {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    Err(why)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
