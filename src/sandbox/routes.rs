//! Every endpoint on one page: GitHub's template, the right it takes, who answers.
//!
//! The rights are those of GitHub's "Permissions required for GitHub Apps".

use http::Method;
use percent_encoding::percent_decode_str;

use super::api::{self, Handler};
use super::world::Level::{self, Read, Write};

/// What a caller must show.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry {
    /// Nothing.
    Open,
    /// A JSON Web Token signed with the app's key.
    App,
    /// An installation token.
    Token,
    /// An installation token for the repository with one of these permissions.
    Repo(&'static [(&'static str, Level)]),
    /// An installation token for the organisation with one of these permissions.
    Org(&'static [(&'static str, Level)]),
}

pub(super) struct Route {
    pub(super) method: Method,
    /// As GitHub's `OpenAPI` description writes it.
    pub(super) template: &'static str,
    pub(super) entry: Entry,
    pub(super) handler: Handler,
}

/// The parameters of a path, in its order.
pub(super) type Params = Vec<(&'static str, String)>;

const CONTENTS: Entry = Entry::Repo(&[("contents", Read)]);
const METADATA: Entry = Entry::Repo(&[("metadata", Read)]);
const PULLS: Entry = Entry::Repo(&[("pull_requests", Read)]);
const TALK: Entry = Entry::Repo(&[("issues", Read), ("pull_requests", Read)]);
const SAY: Entry = Entry::Repo(&[("issues", Write), ("pull_requests", Write)]);
const CHECKS: Entry = Entry::Repo(&[("checks", Read)]);
const CHECK: Entry = Entry::Repo(&[("checks", Write)]);
const STATUSES: Entry = Entry::Repo(&[("statuses", Read)]);
const REACT: Entry = Entry::Repo(&[("pull_requests", Write)]);
const MEMBERS: Entry = Entry::Org(&[("members", Read)]);
const DEPLOYMENTS: Entry = Entry::Repo(&[("deployments", Read)]);
const DEPLOY: Entry = Entry::Repo(&[("deployments", Write)]);
const ENVIRONMENTS: Entry = Entry::Repo(&[("actions", Read)]);
const RUNS: Entry = Entry::Repo(&[("actions", Read)]);
const RUN: Entry = Entry::Repo(&[("actions", Write)]);
const ADMINISTER: Entry = Entry::Repo(&[("administration", Write)]);

/// All of them.
pub(super) fn table() -> Vec<Route> {
    let mut table = of_the_app();
    table.extend(of_the_source());
    table.extend(of_the_conversation());
    table.extend(of_the_reviews());
    table.extend(of_the_people());
    table.extend(of_the_deployments());
    table.extend(of_the_runs());
    table
}

fn route(method: Method, template: &'static str, entry: Entry, handler: Handler) -> Route {
    Route { method, template, entry, handler }
}

fn of_the_app() -> Vec<Route> {
    use api::app;
    let (get, post) = (Method::GET, Method::POST);
    let tokens = "/app/installations/{installation_id}/access_tokens";
    let attempts = "/app/hook/deliveries/{delivery_id}/attempts";
    vec![
        route(get.clone(), "/rate_limit", Entry::Open, app::rate_limit),
        route(get.clone(), "/app", Entry::App, app::show),
        route(get.clone(), "/app/installations", Entry::App, app::installations),
        route(post.clone(), tokens, Entry::App, app::access_token),
        route(get.clone(), "/repos/{owner}/{repo}/installation", Entry::App, app::repo_installation),
        route(get.clone(), "/installation/repositories", Entry::Token, app::repositories),
        route(get.clone(), "/app/hook/deliveries", Entry::App, app::deliveries),
        route(get, "/app/hook/deliveries/{delivery_id}", Entry::App, app::delivery),
        route(post, attempts, Entry::App, app::redeliver),
    ]
}

fn of_the_source() -> Vec<Route> {
    use api::source;
    let permission = "/repos/{owner}/{repo}/collaborators/{username}/permission";
    let checks = "/repos/{owner}/{repo}/commits/{ref}/check-runs";
    [
        ("/repos/{owner}/{repo}", METADATA, source::repo as Handler),
        (permission, METADATA, source::permission),
        ("/repos/{owner}/{repo}/branches/{branch}", CONTENTS, source::branch),
        ("/repos/{owner}/{repo}/git/ref/{ref}", CONTENTS, source::reference),
        (checks, CHECKS, api::checks::list),
        ("/repos/{owner}/{repo}/commits/{ref}/statuses", STATUSES, api::checks::statuses),
        ("/repos/{owner}/{repo}/commits/{ref}", CONTENTS, source::commit),
        ("/repos/{owner}/{repo}/git/commits/{commit_sha}", CONTENTS, api::trees::commit),
        ("/repos/{owner}/{repo}/git/trees/{tree_sha}", CONTENTS, api::trees::show),
        ("/repos/{owner}/{repo}/contents/{path}", CONTENTS, source::contents),
        ("/repos/{owner}/{repo}/compare/{basehead}", CONTENTS, source::compare),
        ("/repos/{owner}/{repo}/tarball/{ref}", CONTENTS, source::tarball),
        ("/codeload/{owner}/{repo}/legacy.tar.gz/{ref}", Entry::Open, source::codeload),
        ("/repos/{owner}/{repo}/pulls", PULLS, source::pulls),
        ("/repos/{owner}/{repo}/pulls/{pull_number}", PULLS, source::pull),
    ]
    .map(|(template, entry, handler)| route(Method::GET, template, entry, handler))
    .into()
}

fn of_the_conversation() -> Vec<Route> {
    use api::{checks, comments};
    let (get, post, patch, delete) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    let list = "/repos/{owner}/{repo}/issues/{issue_number}/comments";
    let one = "/repos/{owner}/{repo}/issues/comments/{comment_id}";
    let reactions = "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions";
    let reaction = "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions/{reaction_id}";
    let run = "/repos/{owner}/{repo}/check-runs/{check_run_id}";
    vec![
        route(get.clone(), list, TALK, comments::list),
        route(post.clone(), list, SAY, comments::create),
        route(get.clone(), one, TALK, comments::show),
        route(patch.clone(), one, SAY, comments::edit),
        route(delete.clone(), one, SAY, comments::delete),
        route(get.clone(), reactions, TALK, comments::reactions),
        route(post.clone(), reactions, SAY, comments::react),
        route(delete, reaction, SAY, comments::unreact),
        route(post, "/repos/{owner}/{repo}/check-runs", CHECK, checks::create),
        route(patch, run, CHECK, checks::update),
        route(get, run, CHECKS, checks::show),
    ]
}

fn of_the_reviews() -> Vec<Route> {
    use api::{comments, reviews};
    let get = Method::GET;
    let list = "/repos/{owner}/{repo}/pulls/{pull_number}/reviews";
    let one = "/repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}";
    let comment = "/repos/{owner}/{repo}/pulls/comments/{comment_id}";
    let reactions = "/repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions";
    let reaction = "/repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions/{reaction_id}";
    vec![
        route(get.clone(), list, PULLS, reviews::list),
        route(get.clone(), one, PULLS, reviews::show),
        route(get.clone(), "/repos/{owner}/{repo}/pulls/{pull_number}/comments", PULLS, reviews::comments),
        route(get.clone(), comment, PULLS, reviews::comment),
        route(get, reactions, PULLS, comments::line_reactions),
        route(Method::POST, reactions, REACT, comments::react_to_line),
        route(Method::DELETE, reaction, REACT, comments::unreact_to_line),
    ]
}

fn of_the_people() -> Vec<Route> {
    use api::people;
    [
        ("/users/{username}", Entry::Token, people::user as Handler),
        ("/orgs/{org}/teams/{team_slug}", MEMBERS, people::team),
        ("/orgs/{org}/teams/{team_slug}/memberships/{username}", MEMBERS, people::membership),
    ]
    .map(|(template, entry, handler)| route(Method::GET, template, entry, handler))
    .into()
}

fn of_the_deployments() -> Vec<Route> {
    use api::deployments;
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let (all, one) = ("/repos/{owner}/{repo}/deployments", "/repos/{owner}/{repo}/deployments/{deployment_id}");
    let statuses = "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses";
    let environment = "/repos/{owner}/{repo}/environments/{environment_name}";
    vec![
        route(get.clone(), all, DEPLOYMENTS, deployments::list),
        route(post.clone(), all, DEPLOY, deployments::create),
        route(get.clone(), one, DEPLOYMENTS, deployments::show),
        route(delete.clone(), one, DEPLOY, deployments::delete),
        route(get.clone(), statuses, DEPLOYMENTS, deployments::statuses),
        route(post, statuses, DEPLOY, deployments::add_status),
        route(get, "/repos/{owner}/{repo}/environments", ENVIRONMENTS, deployments::environments),
        route(delete, environment, ADMINISTER, deployments::delete_environment),
    ]
}

fn of_the_runs() -> Vec<Route> {
    use api::actions;
    let (get, post) = (Method::GET, Method::POST);
    let dispatches = "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches";
    let cancel = "/repos/{owner}/{repo}/actions/runs/{run_id}/cancel";
    let force_cancel = "/repos/{owner}/{repo}/actions/runs/{run_id}/force-cancel";
    vec![
        route(post.clone(), dispatches, RUN, actions::dispatch),
        route(get.clone(), "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/runs", RUNS, actions::list),
        route(get.clone(), "/repos/{owner}/{repo}/actions/runs/{run_id}", RUNS, actions::show),
        route(post.clone(), cancel, RUN, actions::cancel),
        route(post, force_cancel, RUN, actions::force_cancel),
        route(get.clone(), "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", RUNS, actions::jobs),
        route(get.clone(), "/repos/{owner}/{repo}/actions/jobs/{job_id}/logs", RUNS, actions::log),
        route(get, "/codeload/{owner}/{repo}/job-logs/{job_id}", Entry::Open, actions::log_text),
    ]
}

/// The first route that fits.
pub(super) fn find<'a>(table: &'a [Route], method: &Method, path: &str) -> Option<(&'a Route, Params)> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    table.iter().filter(|route| route.method == method).find_map(|route| {
        let pattern: Vec<&'static str> = route.template.trim_start_matches('/').split('/').collect();
        let mut params = Vec::new();
        fits(&pattern, &segments, &mut params).then_some((route, params))
    })
}

/// Names and paths of git may hold slashes, in the middle of a template too.
fn fits(pattern: &[&'static str], segments: &[&str], params: &mut Params) -> bool {
    let (Some((first, pattern)), Some((segment, rest))) = (pattern.split_first(), segments.split_first()) else {
        return pattern.is_empty() && segments.is_empty();
    };
    let Some(name) = first.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
        return first == segment && fits(pattern, rest, params);
    };
    let longest = if ["ref", "path", "branch", "basehead"].contains(&name) { segments.len() } else { 1 };
    (1..=longest).any(|length| {
        let mark = params.len();
        let text = segments[..length].join("/");
        params.push((name, percent_decode_str(&text).decode_utf8_lossy().into_owned()));
        let found = fits(pattern, &segments[length..], params);
        if !found {
            params.truncate(mark);
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_template() {
        let table = table();
        let cases = [
            ("/repos/acme/shop/branches/feature/x", "branches/{branch}", "feature/x"),
            ("/repos/acme/shop/branches/feature%2Fx", "branches/{branch}", "feature/x"),
            ("/repos/acme/shop/commits/a/b/check-runs", "commits/{ref}/check-runs", "a/b"),
            ("/repos/acme/shop/commits/a/b/statuses", "commits/{ref}/statuses", "a/b"),
            ("/repos/acme/shop/commits/main", "commits/{ref}", "main"),
            ("/repos/acme/shop/pulls/comments/7/reactions", "pulls/comments/{comment_id}/reactions", "7"),
            ("/repos/acme/shop/pulls/7/comments", "pulls/{pull_number}/comments", "7"),
            ("/repos/acme/shop/git/ref/heads/a/b", "git/ref/{ref}", "heads/a/b"),
            ("/repos/acme/shop/contents/.github/greenroom.yml", "contents/{path}", ".github/greenroom.yml"),
        ];
        for (path, template, value) in cases {
            let (route, params) = find(&table, &Method::GET, path).expect(path);
            assert!(route.template.ends_with(template), "{path} found {}", route.template);
            assert_eq!(params.last().map(|(_, value)| value.as_str()), Some(value), "{path}");
        }
        for path in ["/repos/acme", "/repos/acme/shop/branches", "/nothing", "/"] {
            assert!(find(&table, &Method::GET, path).is_none(), "{path}");
        }
    }
}
