//! A judge of IAM's policies, written from AWS's own words and from nothing of ours.
//!
//! Source: IAM User Guide, "Policy evaluation logic", "IAM JSON policy elements: Resource",
//! "... Condition operators", "Multivalued context keys" and "Policy elements: variables and tags".
//! What it does not know it refuses to judge, so that no policy passes for want of understanding.

use std::collections::BTreeMap;

use serde_json::Value;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) action: String,
    pub(crate) resource: String,
    /// Values by the key in lower case: keys know no case, values do.
    pub(crate) keys: BTreeMap<String, Vec<String>>,
}

impl Request {
    pub(crate) fn new(action: &str, resource: &str) -> Self {
        Self { action: action.to_owned(), resource: resource.to_owned(), keys: BTreeMap::new() }
    }

    pub(crate) fn key(mut self, key: &str, values: &[&str]) -> Self {
        self.keys.insert(key.to_ascii_lowercase(), values.iter().map(|value| (*value).to_owned()).collect());
        self
    }

    fn values(&self, key: &str) -> Option<&[String]> {
        self.keys.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    /// By a statement that denies.
    Denied,
    /// By nobody's leave.
    Implicit,
}

/// What an identity with these policies may: an explicit denial beats all, then one leave is enough.
pub(crate) fn judge(policies: &[Value], request: &Request) -> Decision {
    let statements: Vec<&Value> = policies.iter().flat_map(|policy| list(&policy["Statement"])).collect();
    let applies = |effect: &str| statements.iter().any(|one| one["Effect"] == effect && matches(one, request));
    if applies("Deny") {
        Decision::Denied
    } else if applies("Allow") {
        Decision::Allowed
    } else {
        Decision::Implicit
    }
}

/// What an identity may that a boundary bounds: what both allow.
pub(crate) fn judge_bounded(policies: &[Value], boundary: &Value, request: &Request) -> Decision {
    match (judge(policies, request), judge(std::slice::from_ref(boundary), request)) {
        (Decision::Denied, _) | (_, Decision::Denied) => Decision::Denied,
        (Decision::Allowed, bounded) => bounded,
        (Decision::Implicit, _) => Decision::Implicit,
    }
}

/// One of something, or a list of it.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).into_iter().map(|value| value.as_str().unwrap_or_else(|| panic!("no text: {value}"))).collect()
}

fn matches(statement: &Value, request: &Request) -> bool {
    for element in statement.as_object().expect("a statement").keys() {
        let known = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        assert!(known.contains(&element.as_str()), "an element that this judge does not know: {element}");
    }
    let of_action = |element: &str| {
        texts(&statement[element]).into_iter().any(|pattern| {
            let pattern: Vec<Token> = pattern.to_ascii_lowercase().chars().map(Token::of).collect();
            glob(&pattern, &request.action.to_ascii_lowercase())
        })
    };
    let of_resource =
        |element: &str| texts(&statement[element]).into_iter().any(|pattern| is_resource(pattern, request));
    let action = if statement["NotAction"].is_null() { of_action("Action") } else { !of_action("NotAction") };
    let resource =
        if statement["NotResource"].is_null() { of_resource("Resource") } else { !of_resource("NotResource") };
    action && resource && conditions(&statement["Condition"], request)
}

fn is_resource(pattern: &str, request: &Request) -> bool {
    pattern == "*" || arn_like(pattern, &request.resource, request)
}

/// Part by part: a star does not reach over the colons that part an ARN.
fn arn_like(pattern: &str, arn: &str, request: &Request) -> bool {
    let Some(pattern) = tokens(pattern, request) else { return false };
    let (pattern, arn) = (split_tokens(&pattern), arn.splitn(6, ':').collect::<Vec<_>>());
    pattern.len() == arn.len() && pattern.iter().zip(arn).all(|(pattern, part)| glob(pattern, part))
}

fn split_tokens(tokens: &[Token]) -> Vec<Vec<Token>> {
    tokens.splitn(6, |token| *token == Token::Letter(':')).map(<[Token]>::to_vec).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Letter(char),
    Any,
    One,
}

impl Token {
    fn of(letter: char) -> Self {
        match letter {
            '*' => Self::Any,
            '?' => Self::One,
            letter => Self::Letter(letter),
        }
    }
}

/// A pattern with its variables filled in; `None` where one has no value. Stars in values are stars,
/// and none of the pattern's.
fn tokens(pattern: &str, request: &Request) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}').unwrap_or_else(|| panic!("a variable without end: {pattern}"));
        tokens.extend(before.chars().map(Token::of));
        match variable {
            "*" | "?" | "$" => tokens.extend(variable.chars().map(Token::Letter)),
            variable => {
                let (key, or) = match variable.split_once(',') {
                    Some((key, or)) => (key.trim(), Some(or.trim().trim_matches('\''))),
                    None => (variable, None),
                };
                // Only keys of one value are variables.
                let value = match request.values(key) {
                    Some([one]) => Some(one.as_str()),
                    _ => None,
                };
                tokens.extend(value.or(or)?.chars().map(Token::Letter));
            }
        }
        rest = after;
    }
    tokens.extend(rest.chars().map(Token::of));
    Some(tokens)
}

fn glob(pattern: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Which beginnings of the text the pattern so far matches.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in pattern {
        let mut next = vec![false; text.len() + 1];
        match token {
            Token::Any => {
                let first = reached.iter().position(|reached| *reached).unwrap_or(next.len());
                next[first..].fill(true);
            }
            Token::One | Token::Letter(_) => {
                for (place, letter) in text.iter().enumerate() {
                    next[place + 1] = reached[place] && (*token == Token::One || *token == Token::Letter(*letter));
                }
            }
        }
        reached = next;
    }
    reached[text.len()]
}

/// All operators, all of their keys; of the values of a key, one.
fn conditions(condition: &Value, request: &Request) -> bool {
    let Some(operators) = condition.as_object() else { return true };
    operators.iter().all(|(operator, keys)| {
        let keys = keys.as_object().expect("keys");
        keys.iter().all(|(key, wanted)| holds(operator, key, &texts(wanted), request))
    })
}

fn holds(operator: &str, key: &str, wanted: &[&str], request: &Request) -> bool {
    let (set, name) = match operator.split_once(':') {
        Some((set, name)) => (Some(set), name),
        None => (None, operator),
    };
    let (name, if_exists) = match name.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let actual = request.values(key);
    if name == "Null" {
        return wanted.iter().any(|wanted| *wanted == actual.is_none().to_string());
    }
    let (plain, is_negated) = match name {
        "StringNotEquals" => ("StringEquals", true),
        "StringNotLike" => ("StringLike", true),
        "ArnNotEquals" | "ArnNotLike" => ("ArnLike", true),
        "ArnEquals" => ("ArnLike", false),
        name => (name, false),
    };
    let of_value = |actual: &str| {
        let is_one = wanted.iter().any(|wanted| compare(plain, wanted, actual, request));
        is_one != is_negated
    };
    match (set, actual) {
        (Some("ForAllValues"), None) => true,
        (Some("ForAnyValue"), None) => if_exists,
        (None, None) => if_exists || is_negated,
        (Some("ForAllValues"), Some(actual)) => actual.iter().all(|actual| of_value(actual)),
        (Some("ForAnyValue"), Some(actual)) => actual.iter().any(|actual| of_value(actual)),
        // An operator for one value says nothing of several.
        (None, Some(actual)) => actual.len() == 1 && of_value(&actual[0]),
        (Some(other), _) => panic!("a set operator that this judge does not know: {other}"),
    }
}

fn compare(operator: &str, wanted: &str, actual: &str, request: &Request) -> bool {
    match operator {
        "StringEquals" => {
            let exact = |tokens: Vec<Token>| {
                let wanted: String = tokens
                    .into_iter()
                    .map(|token| match token {
                        Token::Letter(letter) => letter,
                        Token::Any => '*',
                        Token::One => '?',
                    })
                    .collect();
                wanted == actual
            };
            tokens(wanted, request).is_some_and(exact)
        }
        "StringLike" => tokens(wanted, request).is_some_and(|tokens| glob(&tokens, actual)),
        "ArnLike" => arn_like(wanted, actual, request),
        "Bool" => wanted.eq_ignore_ascii_case(actual),
        other => panic!("an operator that this judge does not know: {other}"),
    }
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (judge, judge_bounded);
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(statement: &Value) -> Value {
        json!({ "Version": "2012-10-17", "Statement": statement })
    }

    fn says(statement: &Value, request: &Request) -> Decision {
        judge(&[policy(statement)], request)
    }

    fn allow(resource: &str, condition: &Value) -> Value {
        json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": resource, "Condition": condition })
    }

    fn get(resource: &str) -> Request {
        Request::new("s3:GetObject", resource)
    }

    #[test]
    fn a_denial_beats_every_leave_and_silence_is_none() {
        let all = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
        let not_this = json!({ "Effect": "Deny", "Action": "S3:get*", "Resource": "arn:aws:s3:::a/*" });
        let both = json!([all, not_this]);
        assert_eq!(says(&both, &get("arn:aws:s3:::a/b")), Decision::Denied);
        assert_eq!(says(&both, &get("arn:aws:s3:::b/b")), Decision::Allowed);
        assert_eq!(says(&json!([]), &get("arn:aws:s3:::b/b")), Decision::Implicit);
        let but = json!({ "Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::a/*" });
        assert_eq!(says(&but, &get("arn:aws:s3:::b/b")), Decision::Allowed);
        assert_eq!(says(&but, &get("arn:aws:s3:::a/b")), Decision::Implicit);
        assert_eq!(says(&but, &Request::new("iam:PassRole", "*")), Decision::Implicit);
        let bounded = |action: &str| {
            judge_bounded(&[policy(&all)], &policy(&allow("*", &json!({}))), &Request::new(action, "arn:aws:s3:::a/b"))
        };
        assert_eq!((bounded("s3:GetObject"), bounded("iam:CreateUser")), (Decision::Allowed, Decision::Implicit));
    }

    #[test]
    fn a_star_stays_within_its_part_of_an_arn() {
        for (pattern, arn, expected) in [
            ("arn:aws:ecs:*:*:cluster/a-*", "arn:aws:ecs:eu-west-1:1:cluster/a-b", true),
            ("arn:aws:ecs:*:cluster/a-*", "arn:aws:ecs:eu-west-1:1:cluster/a-b", false),
            ("arn:aws:logs:*:*:log-group:/a/*", "arn:aws:logs:eu-west-1:1:log-group:/a/b:log-stream:c", true),
            ("arn:aws:ecs:*:*:cluster/A-*", "arn:aws:ecs:eu-west-1:1:cluster/a-b", false),
            ("arn:aws:ecs:*:*:cluster/a-?", "arn:aws:ecs:eu-west-1:1:cluster/a-bc", false),
            ("*", "*", true),
            ("arn:aws:ecs:*:*:cluster/a-*", "*", false),
        ] {
            assert_eq!(is_resource(pattern, &get(arn)), expected, "{pattern} {arn}");
        }
    }

    #[test]
    fn variables_are_filled_in_and_without_a_value_match_nothing() {
        let home = allow("arn:aws:s3:::b/${aws:PrincipalTag/team}/*", &json!({}));
        let file = get("arn:aws:s3:::b/red/x");
        assert_eq!(says(&home, &file), Decision::Implicit);
        assert_eq!(says(&home, &file.clone().key("aws:principaltag/TEAM", &["red"])), Decision::Allowed);
        assert_eq!(says(&home, &file.clone().key("aws:PrincipalTag/team", &["blue"])), Decision::Implicit);
        // A star in a value is no pattern.
        assert_eq!(says(&home, &file.clone().key("aws:PrincipalTag/team", &["*"])), Decision::Implicit);
        let or = allow("arn:aws:s3:::b/${aws:PrincipalTag/team, 'red'}/*", &json!({}));
        assert_eq!(says(&or, &file), Decision::Allowed);
        assert_eq!(says(&allow("arn:aws:s3:::b/${*}/x", &json!({})), &get("arn:aws:s3:::b/*/x")), Decision::Allowed);
        assert_eq!(says(&allow("arn:aws:s3:::b/${*}/x", &json!({})), &file), Decision::Implicit);
    }

    #[test]
    fn operators_mean_what_they_say_of_values_that_are_there_or_not() {
        let bare = get("arn:aws:s3:::b/x");
        let one = bare.clone().key("aws:ResourceTag/a", &["red"]);
        let two = bare.clone().key("aws:TagKeys", &["a", "b"]);
        let (yes, no) = (Decision::Allowed, Decision::Implicit);
        for (operator, key, wanted, request, expected) in [
            ("StringEquals", "aws:ResourceTag/a", json!(["blue", "red"]), &one, yes),
            ("StringEquals", "aws:ResourceTag/a", json!("r*"), &one, no),
            ("StringLike", "aws:ResourceTag/a", json!("r*"), &one, yes),
            ("StringEquals", "aws:ResourceTag/a", json!("red"), &bare, no),
            ("StringEqualsIfExists", "aws:ResourceTag/a", json!("red"), &bare, yes),
            ("StringEqualsIfExists", "aws:ResourceTag/a", json!("blue"), &one, no),
            ("StringNotEquals", "aws:ResourceTag/a", json!(["blue", "red"]), &one, no),
            ("StringNotEquals", "aws:ResourceTag/a", json!("red"), &bare, yes),
            ("Null", "aws:ResourceTag/a", json!("true"), &bare, yes),
            ("Null", "aws:ResourceTag/a", json!("true"), &one, no),
            ("Null", "aws:ResourceTag/a", json!("false"), &one, yes),
            ("ForAllValues:StringEquals", "aws:TagKeys", json!(["a", "b", "c"]), &two, yes),
            ("ForAllValues:StringEquals", "aws:TagKeys", json!("a"), &two, no),
            ("ForAllValues:StringEquals", "aws:TagKeys", json!("a"), &bare, yes),
            ("ForAnyValue:StringEquals", "aws:TagKeys", json!("a"), &two, yes),
            ("ForAnyValue:StringEquals", "aws:TagKeys", json!("a"), &bare, no),
            ("ForAllValues:StringNotEquals", "aws:TagKeys", json!("c"), &two, yes),
            ("ForAllValues:StringNotEquals", "aws:TagKeys", json!("b"), &two, no),
            ("StringEquals", "aws:TagKeys", json!("a"), &two, no),
            ("ArnLike", "aws:ResourceTag/a", json!("arn:aws:iam::*:policy/b"), &one, no),
        ] {
            let statement = allow("*", &json!({ operator: { key: wanted } }));
            assert_eq!(says(&statement, request), expected, "{operator} {key}");
        }
    }
}
