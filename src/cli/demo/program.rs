//! The hidden verb `demo-app`: what runs as `web` and `api` in the demo's stage.
//!
//! It serves HTTP on `PORT`, reads what it is from the files in its working folder, prints what it
//! does, and ends with the demo: when that is gone, it goes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::{Args, ValueEnum};
use http::{StatusCode, header};
use minijinja::{Environment, context};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::fetch;
use super::shop::{OFFERS_FILE, TITLE_FILE};
use crate::cli::ExitStatus;
use crate::local;

const TEMPLATE: &str = include_str!("../../../templates/web/shop.html.j2");
/// The status of this program when it cannot start from its files. Its number is 3.
const BAD_FILES: ExitStatus = ExitStatus::Environment;

/// One service of the demo's app.
#[derive(Debug, Args)]
pub(in crate::cli) struct DemoApp {
    service: ServiceRole,
    /// The process that must live on for this one to do so.
    #[arg(long)]
    demo: i32,
    #[arg(long, env = "PORT")]
    port: u16,
    /// Where the api answers, for `web`.
    #[arg(long, env = "API_URL")]
    api_url: Option<String>,
    #[arg(long, env = "GREENROOM_STAGE", default_value = "")]
    stage: String,
    #[arg(long, env = "GREENROOM_SHA", default_value = "")]
    sha: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ServiceRole {
    Web,
    Api,
}

/// What a service needs to answer.
struct Service {
    /// The page's heading, or the offers as lines of `name price`.
    words: String,
    api_url: String,
    stage: String,
    commit: String,
}

impl DemoApp {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitStatus> {
        let (name, file) = match self.service {
            ServiceRole::Web => ("web", TITLE_FILE),
            ServiceRole::Api => ("api", OFFERS_FILE),
        };
        log(&format!("{name}: reading {file}"));
        let words = match (std::fs::read_to_string(file), self.service) {
            (Ok(text), ServiceRole::Web) => Ok(text.trim().to_owned()),
            (Ok(text), ServiceRole::Api) => offers(&text),
            (Err(error), _) => Err(error.to_string()),
        };
        let words = match words {
            Ok(words) => words,
            Err(wrong) => {
                log(&format!("{name}: cannot start: {file}: {wrong}"));
                return Ok(BAD_FILES);
            }
        };
        let commit = self.sha.get(..7).unwrap_or_default().to_owned();
        let service = Service { words, api_url: self.api_url.unwrap_or_default(), stage: self.stage, commit };
        let page = match self.service {
            ServiceRole::Web => get(web),
            ServiceRole::Api => get(api),
        };
        let router = Router::new().route("/health", get(|| async { "ok\n" })).route("/", page);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.context("cannot listen on PORT")?;
        log(&format!("{name}: listening on port {}", self.port));
        let router = router.with_state(Arc::new(service));
        axum::serve(listener, router).with_graceful_shutdown(end(name, self.demo)).await.context("cannot serve")?;
        Ok(ExitStatus::Ok)
    }
}

/// The api's data as it is sent, or which line is wrong.
fn offers(text: &str) -> Result<String, String> {
    let mut lines = String::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}", index + 1);
        let (name, price) = line.split_once(" = ").ok_or_else(|| wrong("not `name = price`"))?;
        let price: f64 = price.parse().map_err(|_| wrong(&format!("\"{price}\" is not a price")))?;
        writeln!(lines, "{name} {price:.2}").map_err(|error| error.to_string())?;
    }
    Ok(lines)
}

async fn api(State(service): State<Arc<Service>>) -> String {
    log("api: GET / 200");
    service.words.clone()
}

async fn web(State(service): State<Arc<Service>>) -> Response {
    let offers = match fetch::get(&service.api_url).await {
        Ok(answer) if answer.status == 200 => answer.body,
        Ok(answer) => return unavailable(&format!("the api answered {}", answer.status)),
        Err(error) => return unavailable(&format!("{error:#}")),
    };
    match page(&service, &offers) {
        Ok(html) => {
            log("web: GET / 200");
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], [("x-shop-commit", service.commit.clone())], html)
                .into_response()
        }
        Err(error) => unavailable(&error.to_string()),
    }
}

fn unavailable(why: &str) -> Response {
    log(&format!("web: GET / 502: {why}"));
    (StatusCode::BAD_GATEWAY, format!("{why}\n")).into_response()
}

fn page(service: &Service, offers: &str) -> Result<String, minijinja::Error> {
    let split = |line: &str| line.rsplit_once(' ').map(|(name, price)| (name.to_owned(), price.to_owned()));
    let offers: Vec<(String, String)> = offers.lines().filter_map(split).collect();
    let mut environment = Environment::new();
    environment.add_template("shop.html.j2", TEMPLATE)?;
    environment.get_template("shop.html.j2")?.render(context! {
        title => &service.words,
        offers,
        stage => &service.stage,
        commit => &service.commit,
    })
}

/// Waits until this program should end: it is told so, or the demo that started it is gone.
async fn end(name: &str, demo: i32) {
    match signal(SignalKind::terminate()) {
        Ok(mut told) => tokio::select! {
            _ = told.recv() => {}
            () = local::gone(demo) => {}
        },
        Err(_) => local::gone(demo).await,
    }
    log(&format!("{name}: stopping"));
}

/// A line of the program's own output, which is its log.
fn log(line: &str) {
    // Nobody is left to tell when even this fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_that_is_none_is_named_with_its_line() {
        assert_eq!(offers("Green tea = 4.2\n"), Ok("Green tea 4.20\n".into()));
        assert_eq!(
            offers("Green tea = 4.2\nMint tea = two for one\n"),
            Err("line 2: \"two for one\" is not a price".into())
        );
        assert_eq!(BAD_FILES.code(), 3);
    }

    #[test]
    fn the_page_shows_its_heading_and_escapes_what_it_was_told() {
        let service =
            Service { words: "A & B".into(), api_url: String::new(), stage: "pr-1".into(), commit: "abc1234".into() };
        let html = page(&service, "Green tea 4.20\n<b> 1.00\n").expect("a page");
        assert!(html.contains("<title>A &amp; B · &lt;b&gt; 1.00</title>"), "{html}");
        assert!(html.contains("Green tea") && html.contains("abc1234"), "{html}");
    }
}
