//! Calls with the right token, at the right pace, from memory where that is as good.

use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{Answer, next_page};
use super::app::AppCredential;
use super::cache::{Answers, Freshness, Kept};
use super::job::JobToken;
use super::key::AppKey;
use super::pace::{Account, Pace, Payer, Weight};
use super::path;
use super::settings::{GitHubSettings, SetupError, TokenSettings};
use super::token::{Scope, Token};
use super::transport::{Ask, Transport};
use crate::model::{RepoId, RepoName, Timestamp};
use crate::port::{Clock, PortError, PortResult};

/// 16 MB of answers.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// A list is never followed further: 10,000 entries.
const MOST_PAGES: usize = 100;

/// As whom a call is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who<'a> {
    /// The App itself, by its key.
    App,
    /// One repository: the App's installation on it, or the job of which it is.
    Repo(&'a RepoName, Scope),
    /// A whole installation, by a token made for the purpose.
    Listing(&'a Token),
    /// The job itself, before it is known that its repository's name is its own.
    Job,
}

impl<'a> Who<'a> {
    /// One repository for everything but the removal of environments.
    pub(super) fn on(repo: &'a RepoName) -> Self {
        Self::Repo(repo, Scope::Work)
    }
}

/// What a call is made with.
pub(super) struct Pass {
    pub(super) token: SecretString,
    pub(super) account: Account,
    /// Which of the account's repositories it is for, if it is for one.
    pub(super) payer: Option<Payer>,
    /// Tells a refused token from the one that has replaced it since.
    pub(super) serial: u64,
}

/// What lets us in.
pub(super) enum Credential {
    /// The key of an App, which makes tokens for its installations.
    App(Box<AppCredential>),
    /// The token of one job.
    Job(JobToken),
}

/// GitHub's API as we may use it.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) transport: Arc<Transport>,
    kept: Arc<Memory>,
    /// The one repository that calls are for, whoever has the name that they are made under.
    pub(super) only: Option<RepoId>,
}

/// What calls share.
struct Memory {
    credential: Credential,
    pace: Pace,
    answers: Answers,
    clock: Arc<dyn Clock>,
}

impl Api {
    /// With the key of an App.
    pub(super) fn of_app(settings: &GitHubSettings, key: AppKey) -> Result<Self, SetupError> {
        let transport = Transport::new(&settings.api_url, settings.proxy.as_ref(), settings.call_time)?;
        let credential = Credential::App(Box::new(AppCredential::new(settings.app_id, key)));
        let pace = Pace::new(settings.write_limits, settings.seed);
        Ok(Self::new(transport, credential, pace, &settings.clock, None))
    }

    /// With the token of one job, for the one repository that it is for.
    pub(super) fn of_job(settings: &TokenSettings) -> Result<Self, SetupError> {
        let transport = Transport::new(&settings.api_url, settings.proxy.as_ref(), settings.call_time)?;
        let credential = Credential::Job(JobToken::new(settings)?);
        let pace = Pace::new(settings.write_limits, settings.seed);
        Ok(Self::new(transport, credential, pace, &settings.clock, Some(settings.repo.id)))
    }

    fn new(
        transport: Transport,
        credential: Credential,
        pace: Pace,
        clock: &Arc<dyn Clock>,
        only: Option<RepoId>,
    ) -> Self {
        let kept = Memory { credential, pace, answers: Answers::new(CACHE_BYTES), clock: Arc::clone(clock) };
        Self { transport: Arc::new(transport), kept: Arc::new(kept), only }
    }

    /// The same with tokens that speak for this repository alone.
    pub(super) fn only(&self, repo: RepoId) -> Self {
        Self { only: Some(repo), ..self.clone() }
    }

    pub(super) fn credential(&self) -> &Credential {
        &self.kept.credential
    }

    /// Reads the repository itself.
    pub(super) async fn itself(&self, repo: &RepoName) -> PortResult<Answer> {
        let look = || self.get(Who::on(repo), Ask::get(path::repo(repo, "")), Freshness::Conditional);
        match self.credential() {
            Credential::App(app) => self.look_twice(app, repo, look).await,
            Credential::Job(_) => look().await,
        }
    }

    /// Reads a path.
    pub(super) async fn get(&self, who: Who<'_>, ask: Ask, freshness: Freshness) -> PortResult<Answer> {
        let place = self.place(who, &ask.path);
        let kept = if freshness == Freshness::Always { None } else { self.kept.answers.get(&place) };
        if let (Freshness::Immutable, Some(kept)) = (freshness, &kept) {
            return Ok(kept.answer());
        }
        let etag = kept.as_ref().and_then(|kept| kept.etag.clone());
        let ask = Ask { etag, ..ask };
        let answer = self.call(who, &ask, Weight::Read).await?;
        match (answer.status, kept) {
            (StatusCode::NOT_MODIFIED, Some(kept)) => Ok(kept.answer()),
            (StatusCode::OK, _) if freshness != Freshness::Always => {
                self.kept.answers.keep(&place, Kept::of(&answer));
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    /// Changes something.
    pub(super) async fn send(
        &self,
        who: Who<'_>,
        method: Method,
        path: String,
        body: Option<Value>,
    ) -> PortResult<Answer> {
        self.call(who, &Ask::send(method, path, body), Weight::Write).await
    }

    /// Reads a list page by page until `visit` has seen enough.
    pub(super) async fn pages<P: DeserializeOwned>(
        &self,
        who: Who<'_>,
        first: String,
        what: &str,
        mut visit: impl FnMut(P) -> ControlFlow<()> + Send,
    ) -> PortResult<()> {
        let mut path = first;
        for _ in 0..MOST_PAGES {
            let answer = self.get(who, Ask::get(path), Freshness::Always).await?;
            let next = next_page(&answer.headers).and_then(|address| self.transport.relative(address));
            if visit(answer.json(what)?).is_break() {
                return Ok(());
            }
            match next {
                Some(next) => path = next,
                None => return Ok(()),
            }
        }
        // Half a list taken for the whole could end in a removal.
        Err(PortError::Bug { context: format!("{what}: more than {MOST_PAGES} pages"), source: None })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.kept.clock.now()
    }

    /// Under what an answer is kept: what one repository was told is nothing to the next that has its name.
    fn place(&self, who: Who<'_>, path: &str) -> String {
        match (who, self.only) {
            (Who::Repo(..) | Who::Job, Some(id)) => format!("{id} {path}"),
            _ => path.to_owned(),
        }
    }

    /// One call: admitted, sent, and judged. A refused token is renewed once, where that can be.
    pub(super) async fn call(&self, who: Who<'_>, ask: &Ask, weight: Weight) -> PortResult<Answer> {
        let pass = self.pass(who).await?;
        let mut answer = self.attempt(&pass, ask, weight).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.forget(who, &pass).await;
            let pass = self.pass(who).await?;
            answer = self.attempt(&pass, ask, weight).await?;
        }
        match answer.status {
            StatusCode::UNAUTHORIZED => Err(self.unaccepted(&answer)),
            StatusCode::FORBIDDEN => Ok(Answer { hint: self.way_out(who, &answer), ..answer }),
            _ => Ok(answer),
        }
    }

    async fn pass(&self, who: Who<'_>) -> PortResult<Pass> {
        match self.credential() {
            Credential::App(app) => self.app_pass(app, who).await,
            Credential::Job(job) => self.job_pass(job, who).await,
        }
    }

    /// Throws a refused token away where another one can be had.
    async fn forget(&self, who: Who<'_>, pass: &Pass) {
        match self.credential() {
            Credential::App(app) => self.forget_token(app, who, pass).await,
            Credential::Job(_) => {}
        }
    }

    fn unaccepted(&self, answer: &Answer) -> PortError {
        match self.credential() {
            Credential::App(_) => {
                PortError::retry(format!("GitHub does not accept our credentials: {}", answer.complaint()))
            }
            Credential::Job(job) => job.is_over(&answer.complaint(), self.now()),
        }
    }

    /// What would grant what was refused.
    fn way_out(&self, who: Who<'_>, answer: &Answer) -> Option<String> {
        match (self.credential(), who) {
            (Credential::App(_), Who::Repo(_, scope)) => scope.way_out(),
            (Credential::Job(_), Who::Repo(_, scope)) => Some(JobToken::way_out(scope, answer)),
            _ => None,
        }
    }

    async fn attempt(&self, pass: &Pass, ask: &Ask, weight: Weight) -> PortResult<Answer> {
        let pace = &self.kept.pace;
        pace.admit(pass.account, pass.payer.as_ref(), weight, self.now())?;
        let answer = self.transport.exchange(ask, &pass.token).await?;
        let now = self.now();
        if let Some(until) = answer.limited_until(now) {
            pace.hold(pass.account, until);
            tracing::warn!(path = ask.path, wait_millis = until.since(now), "GitHub limits our requests");
            return Err(pace.wait("GitHub limits our requests", now, until));
        }
        if answer.is_server_fault() {
            let reason = format!("GitHub answered {}", answer.status.as_u16());
            return Err(match answer.retry_after(now) {
                Some(until) => pace.wait(reason, now, until),
                None => PortError::retry(reason),
            });
        }
        Ok(answer)
    }
}

impl Kept {
    fn of(answer: &Answer) -> Self {
        Self {
            etag: answer.header("etag").map(str::to_owned),
            content_type: answer.header("content-type").map(str::to_owned),
            body: answer.body.clone(),
        }
    }

    fn answer(&self) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(kind) = self.content_type.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok()) {
            headers.insert(http::header::CONTENT_TYPE, kind);
        }
        Answer { status: StatusCode::OK, headers, body: self.body.clone(), hint: None }
    }
}

/// A time as GitHub writes it: `2026-11-20T05:04:00Z`.
pub(super) fn timestamp(text: &str) -> PortResult<Timestamp> {
    jiff::Timestamp::from_str(text)
        .map(|at| Timestamp(at.as_millisecond()))
        .map_err(|error| PortError::bug("reading a time in GitHub's answer", error))
}
