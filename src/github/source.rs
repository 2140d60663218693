//! The source of one commit, streamed.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::LOCATION;
use http::{Response, StatusCode, Uri};
use http_body_util::BodyExt;
use tokio_util::io::StreamReader;

use super::api::{Api, Who};
use super::cache::Freshness;
use super::path;
use super::transport::{Ask, Incoming};
use crate::model::{CommitSha, RepoName};
use crate::port::{PortError, PortResult, TarballStream};

/// From GitHub's API to its archive server, and one move there.
const MOST_HOPS: usize = 3;
/// A stream that sends nothing for so long is over.
const STALL: Duration = Duration::from_secs(30);

/// GitHub answers with a temporary address on another host, which carries its own key: our token
/// is never sent there.
///
/// Source: GitHub Docs, "Download a repository archive (tar)".
pub(super) async fn tarball(api: &Api, repo: &RepoName, sha: &CommitSha) -> PortResult<TarballStream> {
    let what = format!("the source of {} of {repo}", sha.short());
    let ask = Ask::get(path::repo(repo, &format!("/tarball/{sha}")));
    let answer = api.get(Who::on(repo), ask, Freshness::Always).await?;
    if answer.status.is_success() {
        return Ok(Box::pin(io::Cursor::new(answer.body)));
    }
    if answer.status != StatusCode::FOUND {
        answer.ok(&what)?;
        return Err(lost(&what));
    }
    let mut address = absolute(api, answer.header(LOCATION.as_str())).ok_or_else(|| lost(&what))?;
    for _ in 0..MOST_HOPS {
        let response = api.transport.fetch(address).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(reader(response));
        }
        if !status.is_redirection() {
            return Err(match status {
                StatusCode::NOT_FOUND => PortError::NotFound { what },
                _ => PortError::retry(format!("GitHub answered {} about {what}", status.as_u16())),
            });
        }
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        address = absolute(api, location).ok_or_else(|| lost(&what))?;
    }
    Err(lost(&what))
}

pub(super) fn absolute(api: &Api, location: Option<&str>) -> Option<Uri> {
    location?.parse().ok().filter(|address| api.transport.trusts(address))
}

fn lost(what: &str) -> PortError {
    PortError::retry(format!("GitHub sent us to no usable address for {what}"))
}

fn reader(response: Response<Incoming>) -> TarballStream {
    let chunks = stream::try_unfold(response.into_body(), |mut body| async move {
        loop {
            let frame = tokio::time::timeout(STALL, body.frame())
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the source stopped arriving"))?;
            // octocrab's own text carries a backtrace: only the kind of fault goes on.
            let broken = |_| io::Error::new(io::ErrorKind::UnexpectedEof, "the source ended early");
            match frame.transpose().map_err(broken)?.map(hyper::body::Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok::<Option<(Bytes, _)>, io::Error>(Some((data, body))),
                // Trailers.
                Some(Err(_)) => {}
            }
        }
    });
    Box::pin(StreamReader::new(Box::pin(chunks)))
}
