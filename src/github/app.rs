//! Calls as an App: by its key, and by the tokens of its installations.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::Answer;
use super::api::{Api, Credential, Pass, Who, timestamp};
use super::key::AppKey;
use super::pace::{Account, Payer, Weight};
use super::path;
use super::token::{Installation, Minted, Scope, Token, Tokens, Whose};
use super::transport::Ask;
use crate::model::RepoName;
use crate::port::{PortError, PortResult};

/// The App, and the tokens that were made for it.
pub(super) struct AppCredential {
    pub(super) app_id: u64,
    key: AppKey,
    tokens: Tokens,
    serial: AtomicU64,
    /// Installations that cannot be listed, each with why: said once.
    left_out: Mutex<HashMap<u64, String>>,
}

impl AppCredential {
    pub(super) fn new(app_id: u64, key: AppKey) -> Self {
        Self { app_id, key, tokens: Tokens::default(), serial: AtomicU64::new(0), left_out: Mutex::default() }
    }

    /// Says of an installation once why it is left out, and that it is no longer.
    pub(super) fn leave_out(&self, installation: u64, why: Option<String>) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
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
}

impl Api {
    /// The App, for what only an App can ask.
    pub(super) fn app(&self) -> PortResult<&AppCredential> {
        match self.credential() {
            Credential::App(app) => Ok(app),
            Credential::Job(_) => Err(no_app()),
        }
    }

    /// Asks about the repository itself.
    ///
    /// What a token does not see may be there all the same: the token speaks for the repository that had the
    /// name when it was made. So it is asked once more with a new one, and then believed for a while.
    pub(super) async fn look_twice<L: Future<Output = PortResult<Answer>>>(
        &self,
        app: &AppCredential,
        repo: &RepoName,
        look: impl Fn() -> L,
    ) -> PortResult<Answer> {
        let whose = self.whose(repo);
        let began = app.serial.load(Ordering::Relaxed);
        let answer = look().await?;
        if answer.status != StatusCode::NOT_FOUND || !app.tokens.doubt(&whose, began, self.now()).await {
            return Ok(answer);
        }
        let answer = look().await?;
        if answer.status == StatusCode::NOT_FOUND {
            app.tokens.believe(&whose, self.now()).await;
        }
        Ok(answer)
    }

    /// A token for all repositories of an installation that can only list them.
    pub(super) async fn listing_token(&self, installation: u64) -> PortResult<Token> {
        self.mint(self.app()?, installation, &json!({ "permissions": { "metadata": "read" } })).await
    }

    pub(super) async fn app_pass(&self, app: &AppCredential, who: Who<'_>) -> PortResult<Pass> {
        let of = |token: &Token, payer: Option<Payer>| Pass {
            token: token.value.clone(),
            account: Account::Installation(token.installation),
            payer,
            serial: token.serial,
        };
        match who {
            Who::App => Ok(Pass { token: app.key.token(self.now())?, account: Account::App, payer: None, serial: 0 }),
            Who::Listing(token) => Ok(of(token, None)),
            Who::Job => Err(PortError::Bug { context: "an App is no job".into(), source: None }),
            Who::Repo(repo, scope) => {
                let payer = self.only.map_or_else(|| Payer::Name(repo.clone()), Payer::Number);
                let slot = app.tokens.slot(&self.whose(repo), scope, self.now());
                let mut place = slot.lock().await;
                if let Some(token) = place.token.as_ref().filter(|token| token.is_good(self.now())) {
                    return Ok(of(token, Some(payer)));
                }
                if let Some(reason) = place.refusal.now(self.now()) {
                    return Err(PortError::Denied { reason: reason.to_owned() });
                }
                let installation = self.installation(repo).await.inspect_err(|error| {
                    if let PortError::Denied { reason } = error {
                        place.refusal.note(reason, self.now());
                    }
                })?;
                let token = self.repo_token(app, repo, scope, &installation).await?;
                let pass = of(&token, Some(payer));
                place.token = Some(token);
                Ok(pass)
            }
        }
    }

    /// Throws a refused token away, unless somebody has replaced it already.
    pub(super) async fn forget_token(&self, app: &AppCredential, who: Who<'_>, pass: &Pass) {
        match who {
            Who::App => app.key.forget(),
            Who::Listing(_) | Who::Job => {}
            Who::Repo(repo, scope) => {
                let slot = app.tokens.slot(&self.whose(repo), scope, self.now());
                let mut place = slot.lock().await;
                if place.token.as_ref().is_some_and(|token| token.serial == pass.serial) {
                    place.token = None;
                }
            }
        }
    }

    fn whose(&self, repo: &RepoName) -> Whose {
        Whose { name: repo.clone(), id: self.only }
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

    async fn repo_token(
        &self,
        app: &AppCredential,
        repo: &RepoName,
        scope: Scope,
        installation: &Installation,
    ) -> PortResult<Token> {
        let permissions = scope.permissions(repo, &installation.permissions)?;
        let body = match self.only {
            Some(id) => json!({ "repository_ids": [id], "permissions": permissions }),
            None => json!({ "repositories": [repo.name()], "permissions": permissions }),
        };
        self.mint(app, installation.id, &body).await
    }

    async fn mint(&self, app: &AppCredential, installation: u64, body: &Value) -> PortResult<Token> {
        let path = format!("/app/installations/{installation}/access_tokens");
        let ask = Ask::send(Method::POST, path, Some(body.clone()));
        let answer = Box::pin(self.call(Who::App, &ask, Weight::Read)).await?;
        let minted: Minted = answer.json("an installation token")?;
        let expires_at = timestamp(&minted.expires_at)?;
        let serial = app.serial.fetch_add(1, Ordering::Relaxed);
        Ok(Token { value: minted.token, installation, expires_at, serial })
    }
}

pub(super) fn no_app() -> PortError {
    PortError::Denied { reason: "the token of a job is not an App: it has no installations and no webhook".into() }
}
