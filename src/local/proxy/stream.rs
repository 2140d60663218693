//! The two directions of a connection.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

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
        gone(&self.half).await;
    }
}

async fn gone(half: &ReadHalf<'_>) {
    if half.ready(Interest::ERROR).await.is_err() {
        // There is no way to know: it will show when something is sent.
        std::future::pending::<()>().await;
    }
}

/// Both directions of a change of protocol, until both have ended or the client is gone. That one of them has
/// ended is passed on like everything else.
pub(super) async fn join(
    client: (&mut Source<'_>, &mut WriteHalf<'_>),
    program: (&mut Source<'_>, &mut WriteHalf<'_>),
) -> io::Result<()> {
    let ((source, sink), (from, to)) = (client, program);
    let has_answered = CancellationToken::new();
    let answers = async {
        let answered = to_client(from, sink).await;
        has_answered.cancel();
        answered
    };
    tokio::try_join!(to_program(source, to, &has_answered), answers).map(|((), ())| ())
}

/// Ends well where the program takes nothing any more: what it said before is still on its way to the client.
async fn to_program(
    client: &mut Source<'_>,
    program: &mut WriteHalf<'_>,
    has_answered: &CancellationToken,
) -> io::Result<()> {
    loop {
        let Source { half, input } = &mut *client;
        let written = tokio::select! {
            biased;
            written = program.write_all_buf(input) => written,
            // A program that does not read would never show it.
            () = gone(half) => return Err(left()),
        };
        if written.is_err() {
            return Ok(());
        }
        if client.fill().await? == 0 {
            // One that takes nothing any more does not need to be told.
            let _ = program.shutdown().await;
            return tokio::select! {
                () = has_answered.cancelled() => Ok(()),
                () = client.gone() => Err(left()),
            };
        }
    }
}

fn left() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

async fn to_client(program: &mut Source<'_>, client: &mut WriteHalf<'_>) -> io::Result<()> {
    loop {
        client.write_all_buf(&mut program.input).await?;
        if program.fill().await? == 0 {
            return client.shutdown().await;
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

/// Both ends of a connection.
#[cfg(test)]
pub(super) async fn pair() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.expect("a connection"), theirs.expect("a connection").0)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Longer than anything here takes, even on a busy machine.
    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn what_a_program_has_said_arrives_although_it_takes_nothing_any_more() {
        const SAID: usize = 20_000_000;
        let ((mut client, mut at_client), (mut at_program, mut program)) = (pair().await, pair().await);
        // To write to it is an error from now on.
        at_program.shutdown().await.expect("a connection");
        client.write_all(b"ping").await.expect("somebody listens");
        let ((theirs, mut sink), (ours, mut to)) = (at_client.split(), at_program.split());
        let (mut source, mut from) = (Source::new(theirs), Source::new(ours));
        let says = async {
            program.write_all(&vec![b'x'; SAID]).await.expect("somebody listens");
            drop(program);
        };
        let hears = async {
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.map(|_| heard.len())
        };
        let joined = join((&mut source, &mut sink), (&mut from, &mut to));
        let all = timeout(PATIENCE, async { tokio::join!(joined, says, hears) }).await.expect("it ends");
        assert!(all.0.is_ok(), "{:?}", all.0);
        assert_eq!(all.2.expect("an end that is none of an error"), SAID);
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_while_the_program_reads_nothing() {
        let ((mut client, mut at_client), (mut at_program, _program)) = (pair().await, pair().await);
        let ((theirs, mut sink), (ours, mut to)) = (at_client.split(), at_program.split());
        let (mut source, mut from) = (Source::new(theirs), Source::new(ours));
        let leaves = async move {
            // More than fits on the way.
            let said = vec![b'x'; 64 * 1024 * 1024];
            let _ = timeout(Duration::from_millis(300), client.write_all(&said)).await;
            client.set_zero_linger().expect("a connection");
        };
        let joined = timeout(PATIENCE, join((&mut source, &mut sink), (&mut from, &mut to)));
        let (joined, ()) = tokio::join!(joined, leaves);
        assert!(matches!(joined, Ok(Err(_))), "{joined:?}");
    }

    #[tokio::test]
    async fn a_client_that_says_no_more_and_leaves_is_noticed_while_the_program_says_nothing() {
        let ((mut client, mut at_client), (mut at_program, mut program)) = (pair().await, pair().await);
        let ((theirs, mut sink), (ours, mut to)) = (at_client.split(), at_program.split());
        let (mut source, mut from) = (Source::new(theirs), Source::new(ours));
        let leaves = async {
            client.shutdown().await.expect("somebody listens");
            let mut said = [0; 9];
            assert_eq!(program.read(&mut said).await.expect("an end"), 0);
            client.set_zero_linger().expect("a connection");
            drop(client);
        };
        let joined = timeout(PATIENCE, join((&mut source, &mut sink), (&mut from, &mut to)));
        let (joined, ()) = tokio::join!(joined, leaves);
        assert!(matches!(joined, Ok(Err(_))), "{joined:?}");
    }
}
