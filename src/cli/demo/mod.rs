//! `greenroom demo`: a pull request's whole life on this machine, with nothing but this program.
//!
//! Guarantees: only loopback is talked to; every claim is checked and a miss ends with status 1;
//! however it ends (also by Ctrl-C), what it started is ended and its folder goes, unless something
//! went wrong: then the logs stay and it says where.
//!
//! | file | purpose |
//! |---|---|
//! | `ground` | sandbox GitHub, server and local target in one process |
//! | `shop`, `program` | the app that is deployed: its commits, and what runs |
//! | `story` | what happens, and what must come of it |
//! | `teller`, `comment` | what is said and remembered |
//! | `load`, `fetch` | visitors |
//! | `keys` | the keyboard |
//! | `leftovers` | the folder, and the proof that nothing is left |

mod comment;
mod fetch;
mod ground;
mod keys;
mod leftovers;
mod load;
mod program;
mod shop;
mod story;
mod teller;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use console::style;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub(in crate::cli) use self::shop::OFFERS_FILE;

use self::ground::{Ground, Server};
use self::keys::Keys;
use self::leftovers::Scratch;
use self::story::Story;
use self::teller::{Chapter, Teller, summary};
use super::{ExitStatus, OutputFormat, Printer, Progress, ProgressStyle};
use crate::app;

pub(super) use self::program::DemoApp;

const LOG: &str = "server.log";
const DONE: &str = "Nothing of it is left on this machine.
Next: give your own repository its stages. README.md, \"Set up\", has the few steps.";

/// See a pull request get its stage, on this machine, with nothing to set up.
#[derive(Debug, Args)]
#[command(after_help = "\
It needs no Docker, no AWS, no GitHub and no network: a GitHub of its own, the real server and the
stage run on this machine, and nothing is left of them at the end.

Examples:
  greenroom demo            stays up and listens for keys
  greenroom demo --once     runs through; status 0 only if everything held
  greenroom demo --json     the same, with one JSON document at the end")]
pub(super) struct Demo {
    /// Run through without waiting for keys.
    #[arg(long)]
    once: bool,
}

/// The demo as it went.
#[derive(Serialize)]
struct Report {
    /// Whether everything that was expected held.
    held: bool,
    millis: i64,
    preview: Option<String>,
    pull_request: Option<String>,
    chapters: Vec<Chapter>,
    /// Where the logs are, if something went wrong.
    logs: Option<PathBuf>,
}

/// What the story leaves behind.
#[derive(Default)]
struct Addresses {
    preview: Option<String>,
    pull_request: Option<String>,
}

/// How the story ended.
enum Ending {
    Told,
    Interrupted,
    Broke(anyhow::Error),
}

impl Demo {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let stop = stop_signal()?;
        let mut teller = Teller::new(Progress::new(progress_style(printer.format())));
        let keys = if self.once || printer.format() == OutputFormat::Json { None } else { Keys::open()? };
        if keys.is_none() && !self.once {
            teller.say("There is no keyboard to listen to, so the demo runs through by itself.");
        }
        let mut scratch = Scratch::new()?;
        app::start_log_in(File::create(scratch.path().join(LOG))?, "warn")?;
        let mut addresses = Addresses::default();
        let interactive = keys.is_some();
        let ending = perform(&scratch, &mut teller, keys, &stop, &mut addresses).await;
        if matches!(ending, Ending::Interrupted) {
            teller.say("");
            teller.say("Interrupted: everything that was started is being stopped.");
        }
        let millis = teller.millis();
        let chapters = teller.finish();
        let all_held = chapters.iter().flat_map(|chapter| &chapter.checks).all(|check| check.held);
        let (held, error) = match ending {
            Ending::Told => (all_held, None),
            Ending::Interrupted => (all_held && interactive, None),
            Ending::Broke(error) => (false, Some(error)),
        };
        let keep = error.is_some() || !all_held;
        if keep {
            scratch.keep();
        }
        let folder = scratch.path().to_path_buf();
        // It waits for programs to end, which must not hold up anything else.
        tokio::task::spawn_blocking(move || drop(scratch)).await?;
        let Addresses { preview, pull_request } = addresses;
        let logs = keep.then_some(folder);
        let report = Report { held, millis, preview, pull_request, chapters, logs };
        if let Some(error) = error {
            let at = report.logs.unwrap_or_default().join(LOG);
            return Err(error.context(format!("the demo broke off; the server's log is {}", at.display())));
        }
        printer.result(&report, Report::text)?;
        Ok(if held { ExitStatus::Ok } else { ExitStatus::Failed })
    }
}

impl Report {
    fn text(&self) -> String {
        let text = summary(&self.chapters, self.millis);
        let last = match &self.logs {
            Some(logs) => format!("\n\nThe server's log is {}", logs.join(LOG).display()),
            None if self.held => format!("\n\n{DONE}"),
            None => String::new(),
        };
        text + &last
    }
}

/// Starts everything, tells the story and stops the server again, whatever happens on the way.
async fn perform(
    scratch: &Scratch,
    teller: &mut Teller,
    keys: Option<Keys>,
    stop: &CancellationToken,
    addresses: &mut Addresses,
) -> Ending {
    let opened = tokio::select! {
        () = stop.cancelled() => return Ending::Interrupted,
        opened = ground::open(scratch.path()) => opened,
    };
    let (ground, mut server): (Ground, Server) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ending::Broke(error),
    };
    teller
        .say(&format!("{} A GitHub, the server and the stages, all on this machine.", style("Greenroom demo.").bold()));
    let ending = tokio::select! {
        () = stop.cancelled() => Ending::Interrupted,
        error = server.ended() => Ending::Broke(error),
        told = tell(&ground, scratch, teller, keys, addresses) => match told {
            Ok(()) => Ending::Told,
            Err(error) => Ending::Broke(error),
        },
    };
    server.stop().await;
    ending
}

async fn tell(
    ground: &Ground,
    scratch: &Scratch,
    teller: &mut Teller,
    keys: Option<Keys>,
    addresses: &mut Addresses,
) -> anyhow::Result<()> {
    let mut story = Story::begin(ground, scratch, teller).await?;
    addresses.preview.clone_from(&story.url);
    addresses.pull_request = Some(story.page());
    match keys {
        Some(keys) => by_keys(&mut story, keys).await,
        None => through(&mut story).await,
    }
}

/// The rest of the story by itself, as far as everything holds.
async fn through(story: &mut Story<'_>) -> anyhow::Result<()> {
    if story.holds() {
        story.push().await?;
    }
    if story.holds() {
        story.break_it().await?;
    }
    story.close().await
}

/// The rest of the story as somebody wishes.
async fn by_keys(story: &mut Story<'_>, mut keys: Keys) -> anyhow::Result<()> {
    loop {
        keys.forget();
        story.say("");
        story.say(&help(story));
        match next_wish(story, &mut keys).await {
            Wish::Push => story.push().await?,
            Wish::Break => story.break_it().await?,
            Wish::Close => story.close().await?,
            Wish::Reopen => story.reopen().await?,
            Wish::Quit => break,
        }
    }
    if story.is_open {
        story.close().await?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Wish {
    Push,
    Break,
    Close,
    Reopen,
    Quit,
}

/// The next key that means something now. A terminal that went away wants no more.
async fn next_wish(story: &Story<'_>, keys: &mut Keys) -> Wish {
    loop {
        match (keys.next().await, story.is_open) {
            (Some('n'), true) => return Wish::Push,
            (Some('b'), true) => return Wish::Break,
            (Some('c'), true) => return Wish::Close,
            (Some('o'), false) => return Wish::Reopen,
            (Some('q') | None, _) => return Wish::Quit,
            (Some(_), _) => {}
        }
    }
}

fn help(story: &Story<'_>) -> String {
    let keys: &[(&str, &str)] = if story.is_open {
        &[("n", "push a commit"), ("b", "push a broken one"), ("c", "close the pull request"), ("q", "quit")]
    } else {
        &[("o", "open the pull request again"), ("q", "quit")]
    };
    let keys: Vec<String> = keys.iter().map(|(key, what)| format!("{} {what}", style(key).bold().cyan())).collect();
    let preview = story.url.as_deref().filter(|_| story.is_open);
    let preview = preview.map_or_else(String::new, |url| format!("Preview       {url}\n"));
    format!("{preview}Pull request  {}\n{}", story.page(), keys.join("   "))
}

/// Asked to stop by Ctrl-C, by the system, or by the terminal's end.
fn stop_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = app::stop_on_signal()?;
    let (token, mut hangup) = (stop.clone(), signal(SignalKind::hangup())?);
    tokio::spawn(async move {
        hangup.recv().await;
        token.cancel();
    });
    Ok(stop)
}

/// The story is the result, so it goes to standard output where that is no terminal.
fn progress_style(format: OutputFormat) -> ProgressStyle {
    match format {
        OutputFormat::Json => ProgressStyle::Silent,
        OutputFormat::Human if io::stdout().is_terminal() && io::stderr().is_terminal() => ProgressStyle::Terminal,
        OutputFormat::Human => ProgressStyle::Lines(Box::new(io::stdout())),
    }
}
