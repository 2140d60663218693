//! Holds what was said over HTTP against GitHub's own `OpenAPI` description.
//!
//! # Guarantees
//!
//! - An exchange passes only if the description has its path and method, every query parameter and
//!   every field of the request's body is known and of the right type, the status is documented, and
//!   the answer's body conforms.
//! - The statuses that GitHub documents once for all endpoints (301, 307, 401, 403, 404, 422, 429, 5xx) pass
//!   on each of them, with the body of an error; so do 304 and no answer at all (status 0), without one.
//! - Without the description the test fails and says how to get it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use greenroom::sandbox::Exchange;
use jsonschema::{Draft, Registry, Validator};
use serde_json::{Value, json};

const VARIABLE: &str = "GREENROOM_TEST_OPENAPI";
const BASE: &str = "urn:github:rest";
/// Documented once for all: "Best practices for using the REST API", "Follow redirects"; "Troubleshooting the
/// REST API", "Rate limits for the REST API".
const ANYWHERE: [u16; 10] = [301, 307, 401, 403, 404, 422, 429, 500, 502, 503];

/// What is also had in other media types, which are not kept.
const OTHER_FORMS: [&str; 2] = ["/repos/{owner}/{repo}/contents/{path}", "/repos/{owner}/{repo}/commits/{ref}"];

/// GitHub's description, read once for all tests of a process.
pub(crate) struct Description {
    document: Value,
    registry: Registry<'static>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Description {
    /// The description that the environment names.
    pub(crate) fn load() -> &'static Self {
        static LOADED: OnceLock<Description> = OnceLock::new();
        LOADED.get_or_init(|| {
            #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the file is")]
            let path = std::env::var(VARIABLE).ok();
            let missing = "GitHub's OpenAPI description is missing: run the tests with the README's test command, or \
                           `npm pack @octokit/openapi`, unpack it and set GREENROOM_TEST_OPENAPI to its \
                           generated/api.github.com.json";
            let text = path.and_then(|path| std::fs::read(path).ok()).expect(missing);
            let mut document: Value = serde_json::from_slice(&text).expect("the description is JSON");
            correct(&mut document);
            make_json_schema(&mut document);
            let registry = Registry::new()
                .draft(Draft::Draft4)
                .add(BASE, document.clone())
                .and_then(jsonschema::RegistryBuilder::prepare)
                .expect("the description can be registered");
            Self { document, registry, validators: Mutex::default() }
        })
    }

    /// What is wrong with an exchange, in words; empty when it conforms.
    pub(crate) fn problems(&self, exchange: &Exchange) -> Vec<String> {
        let title = format!("{} {} -> {}", exchange.method, exchange.path, exchange.status);
        let method = exchange.method.as_str().to_ascii_lowercase();
        let path = exchange.template.replace('~', "~0").replace('/', "~1");
        let place = format!("/paths/{path}/{method}");
        let Some(operation) = self.document.pointer(&place) else {
            return vec![format!("{title}: the description knows no {method} {:?}", exchange.template)];
        };
        let mut problems = self.query_problems(operation, exchange);
        problems.extend(self.request_problems(operation, &place, exchange));
        problems.extend(self.response_problems(operation, &place, exchange));
        problems.into_iter().map(|problem| format!("{title}: {problem}")).collect()
    }

    /// What is wrong with the body of a webhook event, in words.
    pub(crate) fn webhook_problems(&self, event: &str, action: Option<&str>, body: &Value) -> Vec<String> {
        let name = action.map_or_else(|| event.to_owned(), |action| format!("{event}-{action}")).replace('_', "-");
        let pointer = format!("/x-webhooks/{name}/post/requestBody/content/application~1json/schema");
        if self.document.pointer(&pointer).is_none() {
            return vec![format!("the description knows no event {name}")];
        }
        self.check(&pointer, body, &name)
    }

    fn query_problems(&self, operation: &Value, exchange: &Exchange) -> Vec<String> {
        let list = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let known: Vec<&Value> = list.iter().map(|one| self.resolve(one)).filter(|one| one["in"] == "query").collect();
        let problem = |(name, text): &(String, String)| {
            let Some(parameter) = known.iter().find(|one| one["name"] == name.as_str()) else {
                return Some(format!("there is no query parameter {name}"));
            };
            let schema = self.resolve(&parameter["schema"]);
            let value = match schema["type"].as_str() {
                Some("integer") => text.parse::<i64>().map_or_else(|_| text.as_str().into(), Value::from),
                Some("boolean") => text.parse::<bool>().map_or_else(|_| text.as_str().into(), Value::from),
                _ => text.as_str().into(),
            };
            let valid = jsonschema::options()
                .with_draft(Draft::Draft4)
                .with_registry(&self.registry)
                .with_base_uri(BASE)
                .build(schema)
                .is_ok_and(|validator| validator.is_valid(&value));
            (!valid).then(|| format!("query parameter {name} cannot be {text:?}"))
        };
        exchange.query.iter().filter_map(problem).collect()
    }

    fn request_problems(&self, operation: &Value, place: &str, exchange: &Exchange) -> Vec<String> {
        let schema = operation.pointer("/requestBody/content/application~1json/schema");
        let required = operation.pointer("/requestBody/required") == Some(&Value::Bool(true));
        match (schema, &exchange.request) {
            (None, Some(_)) => vec!["the request has a body where none belongs".into()],
            (Some(_), None) if required => vec!["the request has no body".into()],
            // What is refused may be wrong: that is why.
            (Some(_), Some(_)) if exchange.status == 422 => Vec::new(),
            (Some(schema), Some(body)) => {
                let pointer = format!("{place}/requestBody/content/application~1json/schema");
                let mut problems = self.check(&pointer, body, "request");
                let mut known = BTreeSet::new();
                self.fields(schema, &mut known);
                let names = body.as_object().into_iter().flat_map(|fields| fields.keys());
                let unknown = names.filter(|name| !known.is_empty() && !known.contains(*name));
                problems.extend(unknown.map(|name| format!("request: there is no field {name}")));
                problems
            }
            (None | Some(_), None) => Vec::new(),
        }
    }

    fn response_problems(&self, operation: &Value, place: &str, exchange: &Exchange) -> Vec<String> {
        if [0, 304].contains(&exchange.status) {
            let empty = exchange.response.is_none();
            return if empty { Vec::new() } else { vec!["an answer without content has some".into()] };
        }
        let status = exchange.status.to_string();
        let Some(response) = operation["responses"].get(&status) else {
            if !ANYWHERE.contains(&exchange.status) {
                return vec!["this status is not documented".into()];
            }
            let nothing = Value::Null;
            let body = exchange.response.as_ref().unwrap_or(&nothing);
            let form = if exchange.status == 422 { "validation-error" } else { "basic-error" };
            return self.check(&format!("/components/schemas/{form}"), body, "error");
        };
        let place = match response["$ref"].as_str() {
            Some(reference) => reference.trim_start_matches('#').to_owned(),
            None => format!("{place}/responses/{status}"),
        };
        let content = self.document.pointer(&place).and_then(|response| response.get("content"));
        let as_json = content.and_then(|content| content.get("application/json")).is_some();
        match &exchange.response {
            Some(body) if as_json => self.check(&format!("{place}/content/application~1json/schema"), body, "response"),
            // GitHub documents some errors without their body; it is the same everywhere.
            Some(body) if exchange.status >= 400 => self.check("/components/schemas/basic-error", body, "error"),
            Some(_) => vec!["the response has a body where none belongs".into()],
            None if content.is_none() || OTHER_FORMS.contains(&exchange.template) => Vec::new(),
            None => vec!["the response has no body".into()],
        }
    }

    fn check(&self, pointer: &str, value: &Value, what: &str) -> Vec<String> {
        let validator = self.validator(pointer);
        validator
            .iter_errors(value)
            .take(5)
            .map(|error| format!("{what} at {}: {error:.200}", error.instance_path()))
            .collect()
    }

    fn validator(&self, pointer: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let build = || {
            let reference = pointer.replace('{', "%7B").replace('}', "%7D");
            let validator = jsonschema::options()
                .with_draft(Draft::Draft4)
                .with_registry(&self.registry)
                .should_validate_formats(true)
                .build(&json!({ "$ref": format!("{BASE}#{reference}") }))
                .expect("a schema of the description can be compiled");
            Arc::new(validator)
        };
        validators.entry(pointer.to_owned()).or_insert_with(build).clone()
    }

    /// The names of every field that a schema mentions at its top.
    fn fields(&self, schema: &Value, known: &mut BTreeSet<String>) {
        let schema = self.resolve(schema);
        known.extend(schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned()));
        for word in ["allOf", "anyOf", "oneOf"] {
            for part in schema[word].as_array().into_iter().flatten() {
                self.fields(part, known);
            }
        }
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        target.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(value)
    }
}

/// Of an installation's account the description of this one endpoint says that it is a user *and* an
/// enterprise; everywhere else it is one of them.
fn correct(document: &mut Value) {
    let place = "/paths/~1app~1installations/get/responses/200/content/application~1json/schema/items";
    let items = document.pointer_mut(place).expect("the description has the app's installations");
    *items = json!({ "$ref": "#/components/schemas/installation" });
}

/// `OpenAPI` 3.0 says `nullable` where JSON Schema says so in the type.
fn make_json_schema(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(make_json_schema),
        Value::Object(fields) => {
            fields.remove("example");
            fields.remove("examples");
            fields.values_mut().for_each(make_json_schema);
            // An address that may be left out is written as "", which is none.
            if fields.get("default") == Some(&Value::from("")) {
                fields.remove("format");
            }
            if fields.get("nullable") != Some(&Value::Bool(true)) {
                return;
            }
            fields.remove("nullable");
            if let Some(Value::Array(values)) = fields.get_mut("enum") {
                values.push(Value::Null);
            }
            if let Some(Value::String(kind)) = fields.get("type").cloned() {
                fields.insert("type".into(), json!([kind, "null"]));
            }
            if ["allOf", "anyOf", "oneOf", "$ref"].iter().any(|word| fields.contains_key(*word)) {
                let inner = Value::Object(std::mem::take(fields));
                *value = json!({ "anyOf": [{ "type": "null" }, inner] });
            }
        }
        _ => {}
    }
}
