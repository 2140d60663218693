//! The rules of stages: what makes them, how they are named, and that no two of them can ever
//! claim the same event or the same name.

use std::collections::BTreeMap;

use crate::model::{Cors, Seconds, StageName, StagePattern, StageRule, Trigger, is_same_label};

use super::branches;
use super::limits::Ceilings;
use super::overlap::{Token, can_be_equal};
use super::policy::stage_policy;
use super::raw::{self, On, Stage};
use super::sheet::Sheet;
use super::tree::{below, shown};

/// A year: the longest life of a stage.
const LONGEST_LIFE: Seconds = Seconds(366 * 86_400);
/// Browsers remember a CORS answer for a day at most. Source: Fetch standard; Firefox's cap.
const LONGEST_CORS: Seconds = Seconds(86_400);
/// Digits that a pull request's number may grow to.
const NUMBER_DIGITS: usize = 10;
/// A stage's name is at most this long; see `StageName`.
const LONGEST_NAME: usize = 40;
/// What is left at least for a branch in the name of its stage.
const BRANCH_ROOM: usize = 10;

/// The rules in the order of the file, those that are sound.
pub(super) fn rules(sheet: &mut Sheet<'_>) -> Vec<StageRule> {
    let mut rules = Vec::new();
    if !sheet.document.has("/stages") {
        for (name, stage) in default_stages() {
            rules.extend(rule(sheet, "/stages", &name, &stage));
        }
        return rules;
    }
    if sheet.bad.contains("/stages") {
        return rules;
    }
    let document = sheet.document;
    let mut placed = Vec::new();
    for name in document.keys("/stages") {
        let pointer = below("/stages", name);
        let pattern = pattern(name).map_err(|message| sheet.key(&pointer, message));
        if let (Ok(_), Some(stage)) = (pattern, sheet.read::<Stage>(&pointer))
            && let Some(rule) = rule(sheet, &pointer, name, &stage)
        {
            placed.push((name.as_str(), pointer, rule));
        }
    }
    // A rule that makes no sense alone would only add noise.
    let sensible: Vec<_> =
        placed.iter().filter(|(_, _, rule)| mismatch(&rule.pattern, &rule.trigger).is_none()).collect();
    check_between(sheet, &sensible);
    rules.extend(placed.into_iter().map(|(_, _, rule)| rule));
    rules
}

/// What a file without `stages` gets: previews of pull requests and nothing else.
pub(super) fn default_stages() -> BTreeMap<String, Stage> {
    let pull_request = raw::PullRequest { drafts: raw::default_drafts(), forks: raw::default_forks(), label: None };
    let stage = Stage {
        on: On { push: None, pull_request: Some(pull_request), manual: None },
        apex: false,
        protect: false,
        retain: false,
        expires: Some(raw::span("7d")),
        max: Some(20),
        limits: Ceilings::default(),
        cors: None,
        allow: BTreeMap::new(),
    };
    BTreeMap::from([("pr-{number}".to_owned(), stage)])
}

/// The names of all rules as they are written.
pub(super) fn names(sheet: &Sheet<'_>) -> Vec<String> {
    if sheet.document.has("/stages") {
        sheet.document.keys("/stages").to_vec()
    } else {
        default_stages().into_keys().collect()
    }
}

/// Reads the key of a rule.
pub(super) fn pattern(text: &str) -> Result<StagePattern, String> {
    let fixed = |prefix: &str, suffix: &str, room: usize| {
        let fits = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits(prefix) || !fits(suffix) || prefix.starts_with('-') || suffix.ends_with('-') {
            return Err(format!("{} does not make a stage's name: a-z, 0-9 and '-', not at either end", shown(text)));
        }
        if prefix.len() + suffix.len() + room > LONGEST_NAME {
            let most = LONGEST_NAME - room;
            return Err(format!("{} is too long: at most {most} characters beside the placeholder", shown(text)));
        }
        Ok((prefix.to_owned(), suffix.to_owned()))
    };
    if let Some((prefix, suffix)) = text.split_once("{number}") {
        return fixed(prefix, suffix, NUMBER_DIGITS)
            .map(|(prefix, suffix)| StagePattern::PullRequest { prefix, suffix });
    }
    if let Some((prefix, suffix)) = text.split_once("{branch}") {
        return fixed(prefix, suffix, BRANCH_ROOM).map(|(prefix, suffix)| StagePattern::Branch { prefix, suffix });
    }
    if text.contains(['{', '}']) {
        return Err(format!("{} has an unknown placeholder: there are `{{number}}` and `{{branch}}`", shown(text)));
    }
    StageName::new(text).map(StagePattern::Named).map_err(|error| error.to_string())
}

fn rule(sheet: &mut Sheet<'_>, pointer: &str, name: &str, stage: &Stage) -> Option<StageRule> {
    let pattern = pattern(name).ok()?;
    let trigger = trigger(sheet, pointer, &stage.on)?;
    if let Some(message) = mismatch(&pattern, &trigger) {
        sheet.value(&below(pointer, "on"), message);
    }
    let expires =
        stage.expires.as_ref().map(|span| sheet.positive_span(&below(pointer, "expires"), span, LONGEST_LIFE));
    if !pattern.is_ephemeral() {
        let is_limited = sheet.document.has(&below(pointer, "limits"));
        for (key, is_set) in [("expires", expires.is_some()), ("max", stage.max.is_some()), ("limits", is_limited)] {
            if is_set {
                sheet.key(
                    &below(pointer, key),
                    format!("`{key}` is for stages that come and go; `{name}` is permanent"),
                );
            }
        }
    } else if stage.apex {
        sheet.key(&below(pointer, "apex"), "only a permanent stage can answer at the zone itself");
    }
    if stage.apex && !sheet.document.has("/domain") {
        sheet.key(&below(pointer, "apex"), "`apex` needs a `domain` with a `zone`");
    }
    let cors = stage.cors.as_ref().map(|cors| Cors {
        origins: cors.origins.iter().map(|origin| origin.0.clone()).collect(),
        max_age: sheet.span(&below(&below(pointer, "cors"), "max_age"), &cors.max_age, LONGEST_CORS),
    });
    let limits = stage.limits.into();
    let allow = stage_policy(sheet, pointer, &stage.allow);
    let (apex, protect, retain, max) = (stage.apex, stage.protect, stage.retain, stage.max);
    Some(StageRule { pattern, trigger, apex, protect, retain, expires, max, limits, cors, allow })
}

fn trigger(sheet: &mut Sheet<'_>, pointer: &str, on: &On) -> Option<Trigger> {
    let on_pointer = below(pointer, "on");
    match (&on.push, &on.pull_request, on.manual) {
        (Some(push), None, None) => {
            let branches = branches::filter(sheet, &below(&on_pointer, "push"), push);
            Some(Trigger::Push { branches })
        }
        (None, Some(pull), None) => {
            Some(Trigger::PullRequest { drafts: pull.drafts, forks: pull.forks, label: pull.label.clone() })
        }
        (None, None, Some(_)) => Some(Trigger::Manual),
        _ => {
            sheet.value(&on_pointer, "`on` takes exactly one of `push`, `pull_request` and `manual`");
            None
        }
    }
}

fn mismatch(pattern: &StagePattern, trigger: &Trigger) -> Option<String> {
    match (pattern, trigger) {
        (_, Trigger::Push { branches }) if branches.wanted().next().is_none() => {
            Some("every pattern leaves out: begin with one that asks for branches, such as `*`".to_owned())
        }
        (StagePattern::PullRequest { .. }, Trigger::PullRequest { .. })
        | (StagePattern::Branch { .. }, Trigger::Push { .. })
        | (StagePattern::Named(_), Trigger::Manual) => None,
        (StagePattern::PullRequest { .. }, _) => {
            Some("`{number}` in the stage's name needs `on: { pull_request: {} }`".to_owned())
        }
        (StagePattern::Branch { .. }, _) => Some("`{branch}` in the stage's name needs `on: { push: … }`".to_owned()),
        (StagePattern::Named(name), Trigger::PullRequest { .. }) => {
            Some(format!("all pull requests would share the stage `{name}`: put `{{number}}` into its name"))
        }
        (StagePattern::Named(name), Trigger::Push { branches }) => branches.only().is_none().then(|| {
            format!("many branches would share the stage `{name}`: name one branch, or put `{{branch}}` into its name")
        }),
    }
}

fn check_between(sheet: &mut Sheet<'_>, rules: &[&(&str, String, StageRule)]) {
    let mut apex: Option<&str> = None;
    for (index, (name, pointer, rule)) in rules.iter().enumerate() {
        if rule.apex {
            if let Some(first) = apex {
                sheet.key(&below(pointer, "apex"), format!("only one stage can be at the zone itself: `{first}` is"));
            }
            apex = apex.or(Some(name));
        }
        for (earlier_name, _, earlier) in &rules[..index] {
            if takes_all(&earlier.trigger, &rule.trigger) {
                let message =
                    format!("the stage `{earlier_name}` above takes every event of this one: the first rule wins");
                sheet.value(&below(pointer, "on"), message);
                break;
            } else if names_of(rule).iter().any(|names| can_have(earlier, names)) {
                let message = format!("a stage of `{name}` could get the name of a stage of `{earlier_name}`");
                sheet.key(pointer, format!("{message}: begin one of them with a word of its own"));
                break;
            }
        }
    }
}

/// Whether the first trigger leaves nothing to the second.
fn takes_all(first: &Trigger, second: &Trigger) -> bool {
    match (first, second) {
        (Trigger::Push { branches: first }, Trigger::Push { branches: second }) => {
            branches::leaves_nothing(first, second)
        }
        (
            // A rule that skips drafts or forks still claims them: to skip is its answer.
            Trigger::PullRequest { label: first, .. },
            Trigger::PullRequest { label: second, .. },
        ) => match (first, second) {
            (None, _) => true,
            (Some(first), Some(second)) => is_same_label(first, second),
            (Some(_), None) => false,
        },
        _ => false,
    }
}

/// Whether a stage of the rule can have this name.
pub(super) fn can_be_named(rule: &StageRule, name: &str) -> bool {
    let name: Vec<Token> = name.chars().map(Token::Char).collect();
    can_have(rule, &name)
}

/// Whether a stage of the rule can have one of these names.
fn can_have(rule: &StageRule, names: &[Token]) -> bool {
    names_of(rule).iter().any(|own| can_be_equal(own, names))
}

/// All names that stages of the rule can have, by what makes them.
fn names_of(rule: &StageRule) -> Vec<Vec<Token>> {
    let text = |text: &str| text.chars().map(Token::Char).collect::<Vec<_>>();
    match (&rule.pattern, &rule.trigger) {
        (StagePattern::Named(name), _) => vec![text(name.as_str())],
        (StagePattern::PullRequest { prefix, suffix }, _) => {
            vec![[text(prefix), vec![Token::Digits], text(suffix)].concat()]
        }
        (StagePattern::Branch { prefix, suffix }, Trigger::Push { branches }) => {
            let names = |pattern| [text(prefix), branches::slugs_of(pattern), text(suffix)].concat();
            branches.wanted().map(names).collect()
        }
        (StagePattern::Branch { .. }, _) => Vec::new(),
    }
}
