//! Deliveries made ahead: signed, distinct, as large and as shaped as GitHub's.
//!
//! The bodies come from the sandbox GitHub, one for each repository, with a description as long as
//! the size asks for. A delivery is one of them with a head commit of its own, wherever the body
//! names it.

use anyhow::Context as _;
use secrecy::SecretString;

use crate::app::SystemClock;
use crate::model::RepoName;
use crate::sandbox::{DeliveryMode, FileChange, NewPull, Sandbox, SandboxSettings, WebhookTarget};
use crate::wire;

const DIGITS: usize = 40;
/// What descriptions are made of.
const SENTENCE: &str = "It keeps the \"old\" way for those who ask for it, see #41.\r\n";

/// One repository's delivery, but for the commit.
struct Template {
    body: Vec<u8>,
    /// Where the commit's name stands.
    places: Vec<usize>,
}

/// One delivery to be made from a template.
pub(super) struct Letter {
    template: usize,
    sha: String,
    /// `X-GitHub-Delivery`
    pub(super) id: String,
    /// `X-Hub-Signature-256`
    pub(super) signature: String,
}

/// What deliveries are to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) count: usize,
    /// Of a body; the 23 kB that one has without any description are the least.
    pub(super) bytes: usize,
    /// How many repositories they are about in turn: as many lanes are rung.
    pub(super) repositories: usize,
    /// Tells runs on one database apart.
    pub(super) seed: u64,
}

/// Everything that is going to be sent.
pub(super) struct Mail {
    templates: Vec<Template>,
    pub(super) letters: Vec<Letter>,
}

impl Mail {
    /// Makes the deliveries and signs them.
    pub(super) async fn write(wish: Wish, secret: &SecretString) -> anyhow::Result<Self> {
        let Wish { count, bytes, repositories, seed } = wish;
        let templates = templates(bytes, repositories.max(1)).await?;
        let mut mail = Self { templates, letters: Vec::with_capacity(count) };
        let mut body = Vec::new();
        for number in 0..count {
            let template = number % mail.templates.len();
            let sha = format!("{seed:016x}{number:024x}");
            let id = format!("{:08x}-0000-4000-8000-{number:012x}", seed & 0xffff_ffff);
            let mut letter = Letter { template, sha, id, signature: String::new() };
            body.clear();
            mail.body(&letter).for_each(|piece| body.extend_from_slice(piece));
            letter.signature = wire::sign(&body, secret);
            mail.letters.push(letter);
        }
        Ok(mail)
    }

    /// The bytes of a delivery: pieces of its template, and the commit between them.
    pub(super) fn body<'a>(&'a self, letter: &'a Letter) -> impl Iterator<Item = &'a [u8]> {
        let template = &self.templates[letter.template];
        let starts = std::iter::once(0).chain(template.places.iter().map(|place| place + DIGITS));
        let ends = template.places.iter().copied().chain([template.body.len()]);
        let pieces = starts.zip(ends).map(|(start, end)| &template.body[start..end]);
        pieces.enumerate().flat_map(|(number, piece)| [if number == 0 { &[] } else { letter.sha.as_bytes() }, piece])
    }

    /// How many bytes [`Self::body`] has.
    pub(super) fn body_bytes(&self, letter: &Letter) -> usize {
        self.templates[letter.template].body.len()
    }
}

async fn templates(bytes: usize, repositories: usize) -> anyhow::Result<Vec<Template>> {
    let mut settings = SandboxSettings::new(std::sync::Arc::new(SystemClock));
    // Nothing is sent there: the deliveries are held back.
    let nowhere = WebhookTarget { url: "http://127.0.0.1/".into(), secret: SecretString::from("none") };
    settings.webhook = Some(nowhere);
    let github = Sandbox::start(settings).await.context("the sandbox GitHub does not start")?;
    github.set_delivery_mode(DeliveryMode::Hold);
    let sentence = serde_json::to_string(SENTENCE)?.len() - 2;
    let bare = open(&github, "greenroom-bench/sample", String::new())?.body.len();
    let text = SENTENCE.repeat(bytes.saturating_sub(bare) / sentence);
    (0..repositories).map(|number| open(&github, &format!("greenroom-bench/shop-{number}"), text.clone())).collect()
}

fn open(github: &Sandbox, repo: &str, description: String) -> anyhow::Result<Template> {
    let repo: RepoName = github.create_repo(repo, [FileChange::write("README.md", "A shop.")])?;
    let head = github.commit(&repo, "feature", [FileChange::write("app", "1")], "Change the app")?;
    github.open(&repo, NewPull { body: description, ..NewPull::new("feature", "Change the app") })?;
    let delivery = github.deliveries().pop().context("the sandbox GitHub tells nobody of a pull request")?;
    let body = delivery.body.to_vec();
    let places = places(&body, head.as_str().as_bytes());
    anyhow::ensure!(!places.is_empty(), "the delivery does not name its commit");
    Ok(Template { body, places })
}

fn places(text: &[u8], wanted: &[u8]) -> Vec<usize> {
    text.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::wire::{Parsed, Secrets};

    #[tokio::test]
    async fn every_delivery_is_signed_distinct_and_of_the_size() {
        let secret = SecretString::from("the secret of the bench");
        let mail = Mail::write(Wish { count: 60, bytes: 30_000, repositories: 20, seed: 7 }, &secret).await.unwrap();
        let secrets = Secrets::new(secret, None).unwrap();
        let mut bodies = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for letter in &mail.letters {
            let body = mail.body(letter).collect::<Vec<_>>().concat();
            assert_eq!(body.len(), mail.body_bytes(letter));
            assert!((29_700..=30_300).contains(&body.len()), "{} bytes", body.len());
            assert!(wire::verify(&body, Some(&letter.signature), &secrets).is_ok());
            let message = wire::parse(Some("pull_request"), Some(&letter.id), &body).unwrap();
            assert!(matches!(message.parsed, Parsed::Event(..)));
            assert!(ids.insert(letter.id.clone()) && bodies.insert(body));
        }
    }
}
