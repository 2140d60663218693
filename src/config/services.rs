//! The services: each one read, its overrides laid over it, and what holds between them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::{
    Build, Health, HostLabel, LocalCommand, Migrate, Scale, Seconds, SecretRef, Service, ServiceName, Size, StageName,
    StagePattern, StageRule,
};

use super::complain::{code, listed, nearest};
use super::raw;
use super::sheet::Sheet;
use super::stages;
use super::text::{self, Scope};
use super::tree::{below, shown};

const AN_HOUR: Seconds = Seconds(3600);
const A_DAY: Seconds = Seconds(86_400);
/// Longest interval and timeout. Source: Elastic Load Balancing API, `CreateTargetGroup`.
const LONGEST_INTERVAL: Seconds = Seconds(300);
const LONGEST_TIMEOUT: Seconds = Seconds(120);

/// Where the parts of a service stand: in the override if it has them, else in the service.
struct Place {
    over: Option<String>,
    base: String,
}

impl Place {
    fn of(&self, sheet: &Sheet<'_>, keys: &[&str]) -> String {
        let under = |root: &str| keys.iter().fold(root.to_owned(), |pointer, key| below(&pointer, key));
        match self.over.as_deref().map(under) {
            Some(pointer) if sheet.document.has(&pointer) => pointer,
            Some(pointer) if !sheet.document.has(&under(&self.base)) => pointer,
            _ => under(&self.base),
        }
    }

    /// Whether nothing was wrong with the shape of a part, here and in the service itself.
    fn is_sound(&self, sheet: &Sheet<'_>, key: &str) -> bool {
        [Some(&self.base), self.over.as_ref()].into_iter().flatten().all(|root| sheet.is_sound(&below(root, key)))
    }
}

/// The services in the order of the file, those that are sound.
pub(super) fn services(sheet: &mut Sheet<'_>, rules: &[StageRule]) -> Vec<Service> {
    if sheet.bad.contains("/services") {
        return Vec::new();
    }
    let document = sheet.document;
    let names: Vec<&str> = document.keys("/services").iter().map(String::as_str).collect();
    let has_host = |name: &&str| document.has(&below(&below("/services", name), "host"));
    let with_url: Vec<&str> = names.iter().copied().filter(has_host).collect();
    let scope = Scope { with_url: &with_url, services: &names };
    let mut found = Vec::new();
    for name in &names {
        let pointer = below("/services", name);
        match ServiceName::new(*name) {
            Err(error) => sheet.key(&pointer, error.to_string()),
            Ok(name) => found.extend(with_overrides(sheet, &pointer, &name, &scope)),
        }
    }
    check_hosts(sheet, &names, rules);
    check_needs(sheet, &names);
    found
}

fn with_overrides(sheet: &mut Sheet<'_>, pointer: &str, name: &ServiceName, scope: &Scope<'_>) -> Option<Service> {
    let document = sheet.document;
    let mut value = sheet.pruned(pointer).filter(|_| !sheet.bad.contains(pointer))?;
    // A service without a kind was reported; the rest of it can be checked all the same.
    value.as_object_mut()?.entry("kind").or_insert_with(|| json!("ecs"));
    let changes = value.as_object_mut()?.remove("stages");
    let mut whole = service(sheet, &Place { over: None, base: pointer.to_owned() }, name, &value, scope)?;
    let stages = below(pointer, "stages");
    let known = stages::names(sheet);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    for stage in document.keys(&stages) {
        let at = below(&stages, stage);
        let (Ok(pattern), true) = (stages::pattern(stage), known.contains(&stage.as_str())) else {
            let hint = nearest(stage, &known).map_or_else(
                || format!("there is {}", listed(&known, "and")),
                |near| format!("did you mean `{near}`?"),
            );
            sheet.key(&at, format!("there is no stage {} under `stages`: {hint}", shown(stage)));
            continue;
        };
        let Some(change) = changes.as_ref().and_then(|changes| changes.get(stage)) else { continue };
        let mut merged = value.clone();
        merge(&mut merged, change);
        let place = Place { over: Some(at), base: pointer.to_owned() };
        if let Some(there) = service(sheet, &place, name, &merged, scope) {
            whole.overrides.push((pattern, Box::new(there)));
        }
    }
    Some(whole)
}

/// Lays a change over a value: mappings key by key, `null` takes away, anything else replaces.
fn merge(value: &mut Value, change: &Value) {
    let (Value::Object(map), Value::Object(changes)) = (&mut *value, change) else {
        *value = change.clone();
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key).or_insert(Value::Null), change);
        }
    }
}

fn service(
    sheet: &mut Sheet<'_>,
    place: &Place,
    name: &ServiceName,
    value: &Value,
    scope: &Scope<'_>,
) -> Option<Service> {
    let raw = match raw::Service::deserialize(value) {
        Ok(raw) => raw,
        Err(error) => {
            let at = place.over.as_deref().unwrap_or(&place.base).to_owned();
            sheet.key(&at, format!("with what the service itself has, this is not complete: {error}"));
            return None;
        }
    };
    check_alone(sheet, place, &raw);
    let size = Size { cpu: raw.size.cpu, memory: raw.size.memory };
    if let Some(message) = text::fargate(size.cpu, size.memory).filter(|_| place.is_sound(sheet, "size")) {
        sheet.value(&place.of(sheet, &["size"]), message);
    }
    let env = variables(sheet, place, &["env"], raw.env, scope);
    let secrets = secrets(sheet, place, raw.secrets, &env, scope);
    let migrate = raw.migrate.map(|migrate| Migrate {
        command: words(migrate.command),
        timeout: sheet.positive_span(&place.of(sheet, &["migrate", "timeout"]), &migrate.timeout, A_DAY),
    });
    for (index, glob) in raw.paths.iter().enumerate() {
        if let Some(message) = text::glob(glob) {
            sheet.value(&place.of(sheet, &["paths", &index.to_string()]), message);
        }
    }
    let build = raw.build.map(|build| self::build(sheet, place, build, scope));
    Some(Service {
        name: name.clone(),
        kind: raw.kind,
        build,
        host: raw.host.map(|host| if host == "@" { HostLabel::Root } else { HostLabel::Label(host) }),
        port: raw.port,
        size,
        scale: scale(sheet, place, &raw.scale),
        health: health(sheet, place, raw.health),
        env,
        secrets,
        migrate,
        paths: raw.paths,
        needs: raw.needs.into_iter().filter_map(|name| ServiceName::new(name).ok()).collect(),
        local: raw.local.map(|local| LocalCommand { command: words(local.command) }),
        drain: sheet.span(&place.of(sheet, &["drain"]), &raw.drain, AN_HOUR),
        canary: raw.canary.map(|span| sheet.positive_span(&place.of(sheet, &["canary"]), &span, A_DAY)),
        overrides: Vec::new(),
    })
}

/// What a service must have for what it has.
fn check_alone(sheet: &mut Sheet<'_>, place: &Place, raw: &raw::Service) {
    if sheet.has_bad_key(&place.base) {
        return;
    }
    if raw.host.is_some() && raw.port.is_none() {
        sheet.key(&place.of(sheet, &["host"]), "a service with a `host` needs the `port` that it listens on");
    }
    if raw.build.is_none() && raw.local.is_none() {
        let message = "the service cannot be made: it needs `build` (`build: {}` builds the repository's `Dockerfile`)";
        sheet.key(&place.base.clone(), message);
    }
}

fn words(words: Vec<raw::Word>) -> Vec<String> {
    words.into_iter().map(|word| word.0).collect()
}

fn variables(
    sheet: &mut Sheet<'_>,
    place: &Place,
    keys: &[&str],
    values: BTreeMap<String, String>,
    scope: &Scope<'_>,
) -> BTreeMap<String, String> {
    for (name, value) in &values {
        let at = place.of(sheet, &[keys, &[name.as_str()]].concat());
        if let Some(message) = text::variable(name) {
            sheet.key(&at, message);
        }
        if let Some(message) = text::placeholders(value, scope) {
            sheet.value(&at, message);
        }
    }
    values
}

fn secrets(
    sheet: &mut Sheet<'_>,
    place: &Place,
    values: BTreeMap<String, String>,
    env: &BTreeMap<String, String>,
    scope: &Scope<'_>,
) -> BTreeMap<String, SecretRef> {
    let mut secrets = BTreeMap::new();
    for (name, value) in values {
        let at = place.of(sheet, &["secrets", &name]);
        if let Some(message) = text::variable(&name) {
            sheet.key(&at, message);
        }
        if env.contains_key(&name) {
            sheet.key(&at, format!("`{name}` stands under `env` too: keep one"));
        }
        match text::secret(&value, scope) {
            Ok(secret) => drop(secrets.insert(name, secret)),
            Err(message) => sheet.value(&at, message),
        }
    }
    secrets
}

fn build(sheet: &mut Sheet<'_>, place: &Place, build: raw::Build, scope: &Scope<'_>) -> Build {
    let mut inside = |key: &str, path: String| {
        text::inside(&path).unwrap_or_else(|message| {
            sheet.value(&place.of(sheet, &["build", key]), message);
            path
        })
    };
    let (context, dockerfile) = (inside("context", build.context), inside("dockerfile", build.dockerfile));
    if dockerfile == "." {
        sheet.value(&place.of(sheet, &["build", "dockerfile"]), "this is a folder: name the Dockerfile in it");
    }
    let args = variables(sheet, place, &["build", "args"], build.args, scope);
    Build { context, dockerfile, target: build.target, platform: build.platform, args }
}

fn scale(sheet: &mut Sheet<'_>, place: &Place, raw: &raw::Scale) -> Scale {
    let max = raw.max.unwrap_or(raw.min);
    if raw.min > max && place.is_sound(sheet, "scale") {
        let message = format!("`min` is {} but `max` is {max}: at least as many as `min`", raw.min);
        sheet.value(&place.of(sheet, &["scale", "max"]), message);
    }
    Scale { min: raw.min, max, cpu: raw.cpu, memory: raw.memory }
}

fn health(sheet: &mut Sheet<'_>, place: &Place, raw: raw::Health) -> Health {
    let at = |sheet: &Sheet<'_>, key: &str| place.of(sheet, &["health", key]);
    let interval = sheet.positive_span(&at(sheet, "interval"), &raw.interval, LONGEST_INTERVAL);
    let timeout = sheet.positive_span(&at(sheet, "timeout"), &raw.timeout, LONGEST_TIMEOUT);
    let grace = sheet.span(&at(sheet, "grace"), &raw.grace, AN_HOUR);
    if timeout > interval && place.is_sound(sheet, "health") {
        let message = format!(
            "an answer may take {} but is asked for every {}: `timeout` is at most `interval`",
            raw.timeout.0, raw.interval.0
        );
        sheet.value(&at(sheet, "timeout"), message);
    }
    if sheet.document.has("/aws") {
        // Source: Elastic Load Balancing API, `CreateTargetGroup`, application load balancers.
        let limits = [
            ("interval", interval.0, 5, "5s"),
            ("timeout", timeout.0, 2, "2s"),
            ("healthy", u64::from(raw.healthy), 2, "2"),
            ("unhealthy", u64::from(raw.unhealthy), 2, "2"),
        ];
        for (key, value, least, shown) in limits {
            if value < least {
                sheet.value(&at(sheet, key), format!("a load balancer of AWS wants `{key}` to be at least {shown}"));
            }
        }
    }
    let (path, status, healthy, unhealthy) = (raw.path, raw.status, raw.healthy, raw.unhealthy);
    Health { path, status, interval, timeout, healthy, unhealthy, grace }
}

fn check_hosts(sheet: &mut Sheet<'_>, names: &[&str], rules: &[StageRule]) {
    let document = sheet.document;
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    let apex = rules.iter().find(|rule| rule.apex);
    for name in names {
        let at = below(&below("/services", name), "host");
        let Some(host) = document.value.pointer(&at).and_then(Value::as_str) else { continue };
        if let Some(other) = taken.insert(host, name) {
            sheet.value(&at, format!("the host {} is already that of the service {}", shown(host), code(other)));
        }
        let stage = rules.iter().find(|rule| stages::can_be_named(rule, host));
        if let (Some(apex), Some(stage)) = (apex.and_then(named), stage) {
            let other = named(stage)
                .map_or_else(|| "a stage that comes and goes".to_owned(), |name| format!("the stage `{name}`"));
            sheet.value(&at, format!("in the stage `{apex}` (apex) this host would have the address of {other}"));
        }
    }
}

fn named(rule: &StageRule) -> Option<&StageName> {
    match &rule.pattern {
        StagePattern::Named(name) => Some(name),
        StagePattern::PullRequest { .. } | StagePattern::Branch { .. } => None,
    }
}

fn check_needs(sheet: &mut Sheet<'_>, names: &[&str]) {
    let document = sheet.document;
    let needs_of = |name: &str| -> Vec<&str> {
        let list = document.value.pointer(&below(&below("/services", name), "needs")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    };
    for name in names {
        let at = below(&below("/services", name), "needs");
        let mut seen = BTreeSet::new();
        for (index, need) in needs_of(name).into_iter().enumerate() {
            let at = below(&at, &index.to_string());
            if !names.contains(&need) {
                let hint = nearest(need, names).map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
                sheet.value(&at, format!("there is no service {}{hint}", shown(need)));
            } else if !seen.insert(need) {
                sheet.value(&at, format!("{} stands twice in this list", code(need)));
            } else if let Some(circle) = circle(name, need, &needs_of) {
                sheet.value(&at, format!("services need each other in a circle: {circle}"));
            }
        }
    }
}

/// The way from `need` back to `name`, if there is one.
fn circle<'a>(name: &'a str, need: &'a str, needs_of: &dyn Fn(&str) -> Vec<&'a str>) -> Option<String> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = vec![need];
    while let Some(next) = open.pop() {
        if next == name {
            let mut way = vec![name];
            let mut step = came_from.get(name).copied();
            while let Some(service) = step {
                way.push(service);
                step = if service == need { None } else { came_from.get(service).copied() };
            }
            way.push(name);
            way.reverse();
            way.dedup();
            let shown: Vec<String> = way.iter().map(|service| code(service)).collect();
            return Some(if shown.len() == 1 { format!("{0} needs {0}", shown[0]) } else { shown.join(" needs ") });
        }
        for after in needs_of(next) {
            if after == name || !came_from.contains_key(after) {
                came_from.entry(after).or_insert(next);
                open.push(after);
            }
        }
    }
    None
}
