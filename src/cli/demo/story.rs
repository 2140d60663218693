//! What happens to the pull request: each verb of a person, and everything that must come of it.
//!
//! Nothing is believed: the preview is fetched, the comment is read where a person would read it,
//! and what is left at the end is counted on the machine.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::fetch;
use super::ground::Ground;
use super::leftovers::{self, Scratch};
use super::load::{Load, Tally};
use super::shop::{self, Edition};
use super::teller::{Teller, Visit};
use crate::model::{CommitSha, PullNumber, StageId, StageName};
use crate::sandbox::NewPull;
use crate::view::{StagePhase, StageView, span};

/// How long a deploy may take on a slow machine.
const DEPLOY: Duration = Duration::from_mins(1);
/// How long the comment may take to say what is.
const COMMENT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(40);
/// Answers that visitors must have got from each version of a roll.
const ENOUGH: u64 = 25;

/// The story so far.
pub(super) struct Story<'a> {
    ground: &'a Ground,
    scratch: &'a Scratch,
    teller: &'a mut Teller,
    pull: PullNumber,
    stage: StageId,
    pub(super) url: Option<String>,
    /// What the branch was last right with.
    edition: Edition,
    /// What visitors see.
    serving: Option<(Edition, CommitSha)>,
    pub(super) is_open: bool,
    head_is_broken: bool,
}

impl<'a> Story<'a> {
    /// Opens the pull request: the first chapter.
    pub(super) async fn begin(
        ground: &'a Ground,
        scratch: &'a Scratch,
        teller: &'a mut Teller,
    ) -> anyhow::Result<Self> {
        teller.chapter("A pull request is opened");
        let (github, repo, edition) = (&ground.github, &ground.repo, Edition(1));
        let sha = github.commit(repo, shop::BRANCH, edition.files(), edition.message())?;
        let mut new = NewPull::new(shop::BRANCH, "Spring offers");
        new.body = "Jasmine tea for the season.".into();
        let pull = github.open(repo, new)?;
        teller.act(&format!("ada opens #{pull} \"Spring offers\" in {repo}"));
        teller.act(&format!("its page: {}", github.pull_url(repo, pull)));
        let stage = StageId { repo: repo.clone(), name: StageName::new(format!("pr-{pull}"))? };
        let mut story = Self {
            ground,
            scratch,
            teller,
            pull,
            stage,
            url: None,
            edition,
            serving: None,
            is_open: true,
            head_is_broken: false,
        };
        story.becomes_live(&sha).await?;
        story.something_is_there()?;
        let result = story.url.clone().unwrap_or_default();
        story.teller.end(result);
        Ok(story)
    }

    pub(super) fn holds(&self) -> bool {
        self.teller.holds()
    }

    pub(super) fn page(&self) -> String {
        self.ground.github.pull_url(&self.ground.repo, self.pull)
    }

    pub(super) fn say(&mut self, text: &str) {
        self.teller.say(text);
    }

    /// Pushes a commit that changes both services, under the eyes of visitors.
    pub(super) async fn push(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("A commit is pushed");
        let load = match (&self.url, &self.serving) {
            (Some(url), Some((_, sha))) => {
                self.teller.act("visitors come, and go on asking");
                let mut load = Load::start(url);
                load.answered(sha.short(), ENOUGH, COMMENT).await;
                Some(load)
            }
            _ => None,
        };
        self.edition = self.edition.next();
        let (files, message) = (self.edition.files(), self.edition.message());
        let sha = self.ground.github.push(&self.ground.repo, shop::BRANCH, files, message)?;
        self.head_is_broken = false;
        self.teller.act(&format!("ada pushes {} \"{message}\"", sha.short()));
        self.becomes_live(&sha).await?;
        let Some(mut load) = load else {
            self.teller.end("live again".into());
            return Ok(());
        };
        load.answered(sha.short(), ENOUGH, COMMENT).await;
        let tally = load.finish().await;
        let counts = format!("{} requests, {} failed", tally.requests, tally.failed);
        self.teller.check("no visitor noticed", unnoticed(&tally, sha.short(), &counts));
        self.teller.note(|chapter| chapter.requests = Some(tally));
        self.teller.end(counts);
        Ok(())
    }

    /// Pushes a commit that cannot start.
    pub(super) async fn break_it(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("A broken commit is pushed");
        let sha = self.ground.github.push(&self.ground.repo, shop::BRANCH, shop::broken(), shop::BROKEN_MESSAGE)?;
        self.head_is_broken = true;
        self.teller.act(&format!("ada pushes {} \"{}\"", sha.short(), shop::BROKEN_MESSAGE));
        self.teller.note(|chapter| chapter.commit = Some(sha.to_string()));
        let Some(view) = self.rest(Some(&sha)).await? else { return Ok(()) };
        let code = view.failure.as_ref().and_then(|failure| failure.exit_code);
        let failed = match (view.phase, code) {
            (StagePhase::Failed, Some(3)) => Ok("exit code 3".to_owned()),
            (phase, code) => Err(format!("{phase:?}, exit code {code:?}")),
        };
        self.teller.check("the deploy fails with the program's own exit code", failed);
        let comment = self.comment(&["failed", sha.short()]).await?;
        for (what, words) in [
            ("the comment names the exit code", "exit code 3".to_owned()),
            ("the comment shows the program's last line", format!("\"{}\" is not a price", shop::BROKEN_PRICE)),
        ] {
            self.teller.check(what, contains(&comment, &words));
        }
        if let Some((_, serving)) = self.serving.clone() {
            let found = contains(&comment, "still serves").and(contains(&comment, serving.short()));
            self.teller.check("the comment says what still serves", found.map(|_| serving.short().to_owned()));
            self.visit().await;
        }
        self.conclusion(&sha, "failure").await;
        self.teller.end("reported with its reason; the old version serves on".into());
        Ok(())
    }

    /// Opens the closed pull request again.
    pub(super) async fn reopen(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("The pull request is opened again");
        let (github, repo) = (&self.ground.github, &self.ground.repo);
        if self.head_is_broken {
            self.teller.act("ada takes the broken commit back first");
            github.commit(repo, shop::BRANCH, self.edition.files(), "Take mint tea back")?;
            self.head_is_broken = false;
        }
        github.reopen_pull(repo, self.pull)?;
        self.is_open = true;
        self.teller.act(&format!("ada opens #{} again", self.pull));
        let sha = github.branch_head(repo, shop::BRANCH).context("the branch is gone")?;
        self.becomes_live(&sha).await?;
        self.teller.end(self.url.clone().unwrap_or_default());
        Ok(())
    }

    /// Closes the pull request and looks for what is left.
    pub(super) async fn close(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("The pull request is closed");
        self.ground.github.close_pull(&self.ground.repo, self.pull)?;
        self.is_open = false;
        self.teller.act(&format!("ada closes #{}", self.pull));
        let Some(view) = self.rest(None).await? else { return Ok(()) };
        let total = view.gone.as_ref().map_or(0, |gone| gone.total);
        let words = format!("0 of {total} resources left");
        let gone = match view.phase {
            StagePhase::Destroyed if total > 0 => Ok(words.clone()),
            phase => Err(format!("{phase:?}, {total} resources")),
        };
        self.teller.check("the stage is gone", gone);
        let comment = self.comment(&[&words]).await?;
        self.teller.check("the comment says so", contains(&comment, &words).map(|_| String::new()));
        self.nothing_is_left().await?;
        self.serving = None;
        self.teller.end(words);
        Ok(())
    }

    /// What is looked for at the end is found while it is there.
    fn something_is_there(&mut self) -> anyhow::Result<()> {
        let programs = leftovers::programs(self.scratch.path())?.len();
        let files = leftovers::files(&self.scratch.path().join("data"))?.len();
        let seen = format!("{programs} processes and {files} files");
        let is_there = programs >= 2 && files > 0;
        self.teller.check("what the stage has on this machine", if is_there { Ok(seen) } else { Err(seen) });
        Ok(())
    }

    /// Reads the machine and GitHub for anything that the stage could have left.
    async fn nothing_is_left(&mut self) -> anyhow::Result<()> {
        let programs = leftovers::programs(self.scratch.path())?;
        self.teller.check("no process is left", none(&programs, |pid| format!("process {pid}")));
        let files = leftovers::files(&self.scratch.path().join("data"))?;
        self.teller.check("no file is left", none(&files, Clone::clone));
        if let Some(url) = &self.url {
            let answered = match fetch::get(url).await {
                Ok(answer) if answer.status == 404 => Ok("404".to_owned()),
                Ok(answer) => Err(format!("{url} answers {}", answer.status)),
                Err(error) => Err(format!("{error:#}")),
            };
            self.teller.check("its address leads nowhere", answered);
        }
        let environments = || self.ground.github.environments(&self.ground.repo);
        let left = soon(|| none(&environments(), |one| one.name.clone())).await;
        self.teller.check("GitHub has no environment of it", left);
        Ok(())
    }

    /// Everything that makes a commit live: its stage, its address, its comment, its check run.
    async fn becomes_live(&mut self, sha: &CommitSha) -> anyhow::Result<()> {
        self.teller.note(|chapter| chapter.commit = Some(sha.to_string()));
        let Some(view) = self.rest(Some(sha)).await? else { return Ok(()) };
        let took = view.times.as_ref().map_or(0, |times| times.total);
        let live = match view.phase {
            StagePhase::Live => Ok(span(took)),
            phase => Err(format!("it is {phase:?}")),
        };
        let is_live = live.is_ok();
        self.teller.check("the stage is live", live);
        if is_live {
            self.url.clone_from(&view.url);
            self.serving = Some((self.edition, sha.clone()));
            self.visit().await;
        }
        let comment = self.comment(&["is live", sha.short()]).await?;
        let url = self.url.clone().unwrap_or_else(|| "http".into());
        let told = contains(&comment, "is live").and(contains(&comment, sha.short())).and(contains(&comment, &url));
        self.teller.check("the comment says so, with the address", told.map(|_| String::new()));
        self.conclusion(sha, "success").await;
        Ok(())
    }

    /// Waits until the stage is at rest with this commit, or gone where none is given, showing
    /// each step on the way.
    async fn rest(&mut self, wanted: Option<&CommitSha>) -> anyhow::Result<Option<StageView>> {
        let begun = Instant::now();
        while begun.elapsed() < DEPLOY {
            if let Some(view) = self.ground.view(&self.stage).await? {
                let gone = matches!(view.phase, StagePhase::Destroyed | StagePhase::Stuck);
                // What is gone and was opened again is not news before it is on its way.
                if !gone || wanted.is_none() {
                    self.teller.show(&view);
                }
                let meant = match wanted {
                    Some(sha) => view.phase.is_final() && !gone && view.sha.as_ref() == Some(sha),
                    None => gone,
                };
                if meant {
                    return Ok(Some(view));
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        let saw = format!("it does not after {}", span(i64::try_from(DEPLOY.as_millis()).unwrap_or(i64::MAX)));
        self.teller.check("the stage comes to rest", Err(saw));
        Ok(None)
    }

    /// Fetches the preview's address as a visitor would.
    async fn visit(&mut self) {
        let (Some(url), Some((edition, _))) = (self.url.clone(), self.serving.clone()) else { return };
        let what = format!("GET {url}");
        let answer = match fetch::get(&url).await {
            Ok(answer) => answer,
            Err(error) => return self.teller.check(what, Err(format!("{error:#}"))),
        };
        let title = title(&answer.body);
        let millis = u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX);
        let seen = format!("{} in {millis} ms, \"{title}\"", answer.status);
        let right = answer.status == 200 && title == format!("{} · {}", edition.title(), edition.offer());
        self.teller.check(what, if right { Ok(seen) } else { Err(seen) });
        self.teller.note(|chapter| chapter.answer = Some(Visit { url, status: answer.status, millis, title }));
    }

    /// The comment once it has these words, or as it stands after a while.
    async fn comment(&mut self, words: &[&str]) -> anyhow::Result<String> {
        let begun = Instant::now();
        loop {
            let comments = self.ground.github.comments(&self.ground.repo, self.pull);
            let text =
                comments.first().and_then(|comment| comment.body.split_once('\n')).map(|(_, shown)| shown.trim());
            let told = text.is_some_and(|text| words.iter().all(|word| text.contains(word)));
            if told || begun.elapsed() > COMMENT {
                let text = text.unwrap_or_default().to_owned();
                self.teller.comment(&text);
                let one = if comments.len() == 1 { Ok(String::new()) } else { Err(comments.len().to_string()) };
                self.teller.check("there is one comment", one);
                return Ok(text);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the commit's check run comes to.
    async fn conclusion(&mut self, sha: &CommitSha, wanted: &str) {
        let seen = soon(|| {
            let checks = self.ground.github.checks(&self.ground.repo, sha);
            let words: Vec<&str> =
                checks.iter().map(|check| check.conclusion.as_deref().unwrap_or("none yet")).collect();
            let seen = words.join(", ");
            if seen == wanted { Ok(seen) } else { Err(seen) }
        });
        let seen = seen.await;
        self.teller.check("the check run of the commit", seen);
    }
}

/// Looks until it holds, for what GitHub is told after the comment; as it stands after a while.
async fn soon(look: impl Fn() -> Result<String, String>) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let seen = look();
        if seen.is_ok() || begun.elapsed() > COMMENT {
            return seen;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn contains(text: &str, words: &str) -> Result<String, String> {
    if text.contains(words) { Ok(words.to_owned()) } else { Err(format!("it does not have \"{words}\"")) }
}

fn none<T>(found: &[T], name: impl Fn(&T) -> String) -> Result<String, String> {
    if found.is_empty() { Ok(String::new()) } else { Err(found.iter().map(name).collect::<Vec<_>>().join(", ")) }
}

/// No request failed, and the new version answered enough of them to be sure.
fn unnoticed(tally: &Tally, new: &str, counts: &str) -> Result<String, String> {
    if let Some(failure) = &tally.failure {
        return Err(format!("{counts}; the first: {failure}"));
    }
    match tally.by_commit.get(new) {
        Some(answers) if *answers >= ENOUGH => {
            let parts: Vec<String> =
                tally.by_commit.iter().map(|(commit, count)| format!("{count} by {commit}")).collect();
            Ok(format!("{counts} ({})", parts.join(", ")))
        }
        answers => Err(format!("{counts}, but only {} by {new}", answers.unwrap_or(&0))),
    }
}

fn title(html: &str) -> String {
    let inside = html.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    inside.map_or_else(|| html.lines().next().unwrap_or_default().to_owned(), |(title, _)| title.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(failed: u64, new: u64) -> Tally {
        Tally {
            requests: 100,
            failed,
            failure: (failed > 0).then(|| "502: gone".into()),
            by_commit: [("old".into(), 60), ("new".into(), new)].into(),
        }
    }

    #[test]
    fn one_failed_request_is_noticed_and_so_is_a_version_that_hardly_answered() {
        let seen = |tally| unnoticed(&tally, "new", "100 requests");
        assert_eq!(seen(tally(0, 40)), Ok("100 requests (40 by new, 60 by old)".into()));
        assert_eq!(seen(tally(1, 40)), Err("100 requests; the first: 502: gone".into()));
        assert_eq!(seen(tally(0, 3)), Err("100 requests, but only 3 by new".into()));
    }

    #[test]
    fn what_is_left_is_named() {
        assert_eq!(none(&[7, 8], |pid| format!("process {pid}")), Err("process 7, process 8".into()));
        assert_eq!(none(&Vec::<u8>::new(), u8::to_string), Ok(String::new()));
        assert!(contains("0 of 6 left", "0 of 7").is_err());
    }

    #[test]
    fn a_page_is_known_by_its_title() {
        assert_eq!(title("<html><title> Tea · 4.20 </title>"), "Tea · 4.20");
        assert_eq!(title("the api answered 500\n"), "the api answered 500");
    }
}
