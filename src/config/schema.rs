//! The JSON Schema of the file, made from the raw types, and the validator of it.
//!
//! The schema stands on one piece (no `$ref`), allows no `null`, and holds every default.

use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::{File, Service};

/// What a stage may change in a service.
const OVERRIDABLE: [&str; 8] = ["size", "scale", "health", "env", "secrets", "migrate", "drain", "canary"];

/// What `null` takes away there.
const NULLABLE: [&str; 2] = ["migrate", "canary"];

static SCHEMA: LazyLock<Value> = LazyLock::new(build);

static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| jsonschema::validator_for(&SCHEMA).ok());

/// The JSON Schema of `.github/greenroom.yml`.
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The same, borrowed.
pub(super) fn schema_ref() -> &'static Value {
    &SCHEMA
}

/// Checks values against the schema. `None` only if the schema itself were wrong, which a test
/// rules out.
pub(super) fn validator() -> Option<&'static Validator> {
    VALIDATOR.as_ref()
}

fn build() -> Value {
    let generator =
        || SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut root = generator().into_root_schema_for::<File>().to_value();
    let mut service = generator().into_root_schema_for::<Service>().to_value();
    tidy(&mut root);
    tidy(&mut service);
    if let Some(title) = root.get_mut("title") {
        *title = json!("Greenroom");
    }
    let place = root.pointer_mut("/properties/services/additionalProperties/properties/stages/additionalProperties");
    if let Some(place) = place {
        *place = override_of(&service);
    }
    root
}

/// A service of which every part may be missing, because the service itself has it.
fn override_of(service: &Value) -> Value {
    let mut properties = Map::new();
    for name in OVERRIDABLE {
        let Some(mut property) = service.pointer(&format!("/properties/{name}")).cloned() else { continue };
        strip(&mut property, &["default"]);
        if NULLABLE.contains(&name) {
            property["type"] = json!([property["type"], "null"]);
            property["description"] = json!("As in the service; `null` leaves it out in this stage.");
        }
        strip(&mut property, &["required"]);
        properties.insert(name.to_owned(), property);
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// Removes keywords from a schema and what is in it.
fn strip(schema: &mut Value, keywords: &[&str]) {
    if let Value::Object(map) = schema {
        for keyword in keywords {
            map.remove(*keyword);
        }
    }
    each_inner(schema, &mut |inner| strip(inner, keywords));
}

/// A key that is there has a value: takes `null` out of types, choices and defaults.
fn tidy(schema: &mut Value) {
    if let Value::Object(map) = schema {
        let without_null = |list: &Vec<Value>| -> Vec<Value> {
            list.iter()
                .filter(|item| !item.is_null() && **item != json!("null") && **item != json!({"type": "null"}))
                .cloned()
                .collect()
        };
        for keyword in ["type", "enum"] {
            if let Some(Value::Array(list)) = map.get(keyword) {
                let list = without_null(list);
                let only = if keyword == "type" && list.len() == 1 { list.first().cloned() } else { None };
                map.insert(keyword.to_owned(), only.unwrap_or(Value::Array(list)));
            }
        }
        if let Some(Value::Array(list)) = map.get("anyOf")
            && let [Value::Object(only)] = without_null(list).as_slice()
        {
            map.remove("anyOf");
            for (keyword, value) in only {
                map.entry(keyword.clone()).or_insert_with(|| value.clone());
            }
        }
        if map.get("default").is_some_and(Value::is_null) {
            map.remove("default");
        }
        if let Some(default) = map.get_mut("default") {
            drop_nulls(default);
        }
        // The pattern and the range say it better than Rust's own types.
        map.remove("format");
    }
    each_inner(schema, &mut tidy);
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, inner| !inner.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}

/// Visits the schemas that stand directly in this one.
fn each_inner(schema: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    let Value::Object(map) = schema else { return };
    for (keyword, inner) in map.iter_mut() {
        match (keyword.as_str(), inner) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(&mut *visit),
            ("additionalProperties" | "items", inner) => visit(inner),
            ("anyOf" | "oneOf", Value::Array(list)) => list.iter_mut().for_each(&mut *visit),
            _ => {}
        }
    }
}
