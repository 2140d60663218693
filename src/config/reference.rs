//! The table of all keys for the README, made from the schema.

use serde_json::Value;

use super::complain::expected;
use super::schema::schema_ref;

/// A Markdown table: key, what it must be, default, meaning; one row for each key.
pub fn reference_table() -> String {
    let mut table = "| Key | Must be | Default | Meaning |\n|---|---|---|---|\n".to_owned();
    rows(schema_ref(), "", &mut table);
    table
}

fn rows(schema: &Value, path: &str, table: &mut String) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, rule) in properties {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let default = match rule.get("default") {
            // The parts of a mapping have rows and defaults of their own.
            Some(Value::Object(_)) if rule.get("properties").is_some() => String::new(),
            Some(Value::Object(map)) if map.is_empty() => "none".to_owned(),
            Some(Value::Array(list)) if list.is_empty() => "none".to_owned(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(default) => format!("`{default}`"),
            None if required.contains(&key.as_str()) => "required".to_owned(),
            None => String::new(),
        };
        let meaning = rule.get("description").and_then(Value::as_str).unwrap_or_default();
        let cells = [format!("`{path}`"), wanted(rule), default, meaning.to_owned()];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        table.extend(["| ", &cells.join(" | "), " |\n"]);
        rows(rule, &path, table);
        let named = rule.get("additionalProperties").filter(|inner| inner.is_object());
        // What a stage changes in a service has the keys of the service.
        if let Some(inner) = named.filter(|_| path != "services.<name>.stages") {
            rows(inner, &format!("{path}.<name>"), table);
        }
    }
}

fn wanted(rule: &Value) -> String {
    let items = rule.get("items").map(|items| format!("a list, each {}", expected(items)));
    items.unwrap_or_else(|| expected(rule))
}
