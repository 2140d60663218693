//! The two directions of a connection.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// What is read at a time at most, in bytes.
const READ: usize = 16 * 1024;
/// A client without a word is asked after so long, so often and so many times whether it is still there:
/// one that has left is gone within a minute, even if it has said before that it only listens.
const STILL_THERE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// What comes in: what has been read and not been used yet, and more.
#[derive(Debug)]
pub(super) struct Source<'a> {
    half: ReadHalf<'a>,
    pub(super) input: BytesMut,
}

impl<'a> Source<'a> {
    pub(super) fn new(half: ReadHalf<'a>) -> Self {
        Self { half, input: BytesMut::new() }
    }

    /// Reads more, at most `READ` bytes of it; none at the end. Nothing is lost when it is not waited for.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        self.input.reserve(READ);
        self.half.read_buf(&mut self.input).await
    }

    /// Waits until the other side is gone for good: it neither sends nor takes anything any more.
    pub(super) async fn gone(&self) {
        if self.half.ready(Interest::ERROR).await.is_err() {
            // There is no way to know: it will show when something is sent.
            std::future::pending::<()>().await;
        }
    }
}

/// Both directions of a change of protocol, until both have ended or one is broken. That one of them has
/// ended is passed on like everything else.
pub(super) async fn join(
    client: (&mut Source<'_>, &mut WriteHalf<'_>),
    program: (&mut Source<'_>, &mut WriteHalf<'_>),
) -> io::Result<()> {
    tokio::try_join!(pass(client.0, program.1), pass(program.0, client.1)).map(|((), ())| ())
}

async fn pass(from: &mut Source<'_>, to: &mut WriteHalf<'_>) -> io::Result<()> {
    loop {
        to.write_all_buf(&mut from.input).await?;
        if from.fill().await? == 0 {
            return to.shutdown().await;
        }
    }
}

/// Small packets are sent at once, and it is noticed when nobody is there any more.
pub(super) fn prepare(stream: &TcpStream) {
    use rustix::net::sockopt;
    let (idle, interval, count) = STILL_THERE;
    let prepared = stream.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, idle)?;
        sockopt::set_tcp_keepintvl(stream, interval)?;
        sockopt::set_tcp_keepcnt(stream, count)?;
        Ok(())
    });
    if let Err(error) = prepared {
        tracing::debug!(%error, "a connection stays as the system makes it");
    }
}
