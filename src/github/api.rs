//! Calls with the right token, at the right pace, from memory where that is as good.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{Answer, next_page};
use super::cache::{Answers, Freshness, Kept};
use super::key::AppKey;
use super::pace::{Account, Pace, Payer, Weight};
use super::path;
use super::settings::{GitHubSettings, SetupError};
use super::token::{Installation, Minted, Scope, Token, Tokens, Whose};
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
    /// The installation on one repository.
    Repo(&'a RepoName, Scope),
    /// A whole installation, by a token made for the purpose.
    Listing(&'a Token),
}

impl<'a> Who<'a> {
    /// The installation on a repository for everything but the removal of environments.
    pub(super) fn on(repo: &'a RepoName) -> Self {
        Self::Repo(repo, Scope::Work)
    }
}

/// What a call is made with.
struct Pass {
    token: SecretString,
    account: Account,
    /// Which of the account's repositories it is for, if it is for one.
    payer: Option<Payer>,
    serial: u64,
}

/// GitHub's API as the App may use it.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) app_id: u64,
    pub(super) transport: Arc<Transport>,
    kept: Arc<Memory>,
    /// The one repository that calls are for, whoever has the name that they are made under.
    pub(super) only: Option<RepoId>,
}

/// What calls share.
struct Memory {
    key: AppKey,
    tokens: Tokens,
    serial: AtomicU64,
    pace: Pace,
    answers: Answers,
    /// Installations that cannot be listed, each with why: said once.
    left_out: Mutex<HashMap<u64, String>>,
    clock: Arc<dyn Clock>,
}

impl Api {
    pub(super) fn new(settings: &GitHubSettings, key: AppKey) -> Result<Self, SetupError> {
        let kept = Memory {
            key,
            tokens: Tokens::default(),
            serial: AtomicU64::new(0),
            pace: Pace::new(settings.write_limits, settings.seed),
            answers: Answers::new(CACHE_BYTES),
            left_out: Mutex::default(),
            clock: Arc::clone(&settings.clock),
        };
        let transport = Arc::new(Transport::new(settings)?);
        Ok(Self { app_id: settings.app_id, transport, kept: Arc::new(kept), only: None })
    }

    /// The same with tokens that speak for this repository alone.
    pub(super) fn only(&self, repo: RepoId) -> Self {
        Self { only: Some(repo), ..self.clone() }
    }

    /// Reads the repository itself.
    ///
    /// What a token does not see may be there all the same: the token speaks for the repository that had the
    /// name when it was made. So it is asked once more with a new one, and then believed for a while.
    pub(super) async fn itself(&self, repo: &RepoName) -> PortResult<Answer> {
        let (who, ask, whose) = (Who::on(repo), Ask::get(path::repo(repo, "")), self.whose(repo));
        let began = self.kept.serial.load(Ordering::Relaxed);
        let answer = self.get(who, ask.clone(), Freshness::Conditional).await?;
        if answer.status != StatusCode::NOT_FOUND || !self.kept.tokens.doubt(&whose, began, self.now()).await {
            return Ok(answer);
        }
        let answer = self.get(who, ask, Freshness::Conditional).await?;
        if answer.status == StatusCode::NOT_FOUND {
            self.kept.tokens.believe(&whose, self.now()).await;
        }
        Ok(answer)
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

    /// A token for all repositories of an installation that can only list them.
    pub(super) async fn listing_token(&self, installation: u64) -> PortResult<Token> {
        self.mint(installation, &json!({ "permissions": { "metadata": "read" } })).await
    }

    /// Says of an installation once why it is left out, and that it is no longer.
    pub(super) fn leave_out(&self, installation: u64, why: Option<String>) {
        let mut left_out = self.kept.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(why) = why else {
            if left_out.remove(&installation).is_some() {
                tracing::info!(installation, "the repositories of installation {installation} can be listed again");
            }
            return;
        };
        if left_out.get(&installation) != Some(&why) {
            tracing::warn!(installation, "installation {installation} is left out: {why}");
            left_out.insert(installation, why);
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.kept.clock.now()
    }

    fn whose(&self, repo: &RepoName) -> Whose {
        Whose { name: repo.clone(), id: self.only }
    }

    /// Under what an answer is kept: what one repository was told is nothing to the next that has its name.
    fn place(&self, who: Who<'_>, path: &str) -> String {
        match (who, self.only) {
            (Who::Repo(..), Some(id)) => format!("{id} {path}"),
            _ => path.to_owned(),
        }
    }

    /// One call: admitted, sent, and judged. A refused token is renewed once.
    async fn call(&self, who: Who<'_>, ask: &Ask, weight: Weight) -> PortResult<Answer> {
        let pass = self.pass(who).await?;
        let answer = self.attempt(&pass, ask, weight).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.forget(who, &pass).await;
        let pass = self.pass(who).await?;
        let answer = self.attempt(&pass, ask, weight).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(PortError::retry(format!("GitHub does not accept our credentials: {}", answer.complaint())));
        }
        Ok(answer)
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

    async fn pass(&self, who: Who<'_>) -> PortResult<Pass> {
        let of = |token: &Token, payer: Option<Payer>| Pass {
            token: token.value.clone(),
            account: Account::Installation(token.installation),
            payer,
            serial: token.serial,
        };
        let key = &self.kept.key;
        match who {
            Who::App => Ok(Pass { token: key.token(self.now())?, account: Account::App, payer: None, serial: 0 }),
            Who::Listing(token) => Ok(of(token, None)),
            Who::Repo(repo, scope) => {
                let payer = self.only.map_or_else(|| Payer::Name(repo.clone()), Payer::Number);
                let slot = self.kept.tokens.slot(&self.whose(repo), scope, self.now());
                let mut place = slot.lock().await;
                if let Some(token) = place.token.as_ref().filter(|token| token.is_good(self.now())) {
                    return Ok(of(token, Some(payer)));
                }
                if let Some(reason) = place.refusal(self.now()) {
                    return Err(PortError::Denied { reason: reason.to_owned() });
                }
                let installation = self.installation(repo).await.inspect_err(|error| {
                    if let PortError::Denied { reason } = error {
                        place.refuse(reason, self.now());
                    }
                })?;
                let token = self.repo_token(repo, scope, &installation).await?;
                let pass = of(&token, Some(payer));
                place.token = Some(token);
                Ok(pass)
            }
        }
    }

    /// Throws a refused token away, unless somebody has replaced it already.
    async fn forget(&self, who: Who<'_>, pass: &Pass) {
        match who {
            Who::App => self.kept.key.forget(),
            Who::Listing(_) => {}
            Who::Repo(repo, scope) => {
                let slot = self.kept.tokens.slot(&self.whose(repo), scope, self.now());
                let mut place = slot.lock().await;
                if place.token.as_ref().is_some_and(|token| token.serial == pass.serial) {
                    place.token = None;
                }
            }
        }
    }

    async fn installation(&self, repo: &RepoName) -> PortResult<Installation> {
        let path = path::repo(repo, "/installation");
        // Boxed: the App's own calls need no token, so this goes one level deep.
        let answer = Box::pin(self.call(Who::App, &Ask::get(path), Weight::Read)).await?;
        if matches!(answer.status, StatusCode::NOT_FOUND) {
            let reason = format!("the app is not installed on {repo}: install it there");
            return Err(PortError::Denied { reason });
        }
        let installation: Installation = answer.json(&format!("the installation on {repo}"))?;
        if installation.suspended_at.is_some() {
            let reason = format!("the app's installation on {repo} is suspended: its owner can take it up again");
            return Err(PortError::Denied { reason });
        }
        Ok(installation)
    }

    async fn repo_token(&self, repo: &RepoName, scope: Scope, installation: &Installation) -> PortResult<Token> {
        let permissions = scope.permissions(repo, &installation.permissions)?;
        let body = match self.only {
            Some(id) => json!({ "repository_ids": [id], "permissions": permissions }),
            None => json!({ "repositories": [repo.name()], "permissions": permissions }),
        };
        self.mint(installation.id, &body).await
    }

    async fn mint(&self, installation: u64, body: &Value) -> PortResult<Token> {
        let path = format!("/app/installations/{installation}/access_tokens");
        let ask = Ask::send(Method::POST, path, Some(body.clone()));
        let answer = Box::pin(self.call(Who::App, &ask, Weight::Read)).await?;
        let minted: Minted = answer.json("an installation token")?;
        let expires_at = timestamp(&minted.expires_at)?;
        let serial = self.kept.serial.fetch_add(1, Ordering::Relaxed);
        Ok(Token { value: minted.token, installation, expires_at, serial })
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
        Answer { status: StatusCode::OK, headers, body: self.body.clone() }
    }
}

/// A time as GitHub writes it: `2026-11-20T05:04:00Z`.
pub(super) fn timestamp(text: &str) -> PortResult<Timestamp> {
    jiff::Timestamp::from_str(text)
        .map(|at| Timestamp(at.as_millisecond()))
        .map_err(|error| PortError::bug("reading a time in GitHub's answer", error))
}
