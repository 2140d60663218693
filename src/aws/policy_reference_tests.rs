//! The tables of calls and of policies, held against the Service Authorization Reference: nothing
//! is asked of a thing or by a key that AWS would not know there.

use std::sync::LazyLock;

use super::*;
use crate::aws::policy_world::Thing;

/// Made by `tests/data/iam.py`.
static REFERENCE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../tests/data/iam.json")).unwrap());

/// Where the reference names a thing that the call as we make it does not have: no instances run
/// what Fargate runs. Source: Amazon ECS developer guide, "Identity-based policy examples",
/// "List or describe tasks".
const WITHOUT_A_THING: [&str; 1] = ["ecs:ListTasks"];

/// What the handlers of a type may do, by `CloudFormation`'s schema.
pub(super) fn schema(name: &str) -> Vec<String> {
    let permissions = REFERENCE["types"][name]["permissions"].as_array();
    let permissions = permissions.unwrap_or_else(|| panic!("{name} is not in tests/data/iam.json: make it again"));
    permissions.iter().map(|permission| permission.as_str().unwrap().to_owned()).collect()
}

/// What the reference says of an action.
pub(super) struct Action {
    name: String,
    entry: &'static Value,
}

impl Action {
    pub(super) fn of(name: &str) -> Self {
        let entry = REFERENCE["actions"].get(name);
        let entry = entry.unwrap_or_else(|| panic!("{name} is no action of tests/data/iam.json: make it again"));
        Self { name: name.to_owned(), entry }
    }

    fn types(&self) -> impl Iterator<Item = (&'static str, &'static Value)> {
        self.entry["types"].as_object().unwrap().iter().map(|(name, entry)| (name.as_str(), entry))
    }

    fn of_type(&self, kind: &str) -> &'static Value {
        let service = self.name.split(':').next().unwrap();
        &REFERENCE["resources"][format!("{service}:{kind}")]
    }

    /// With stars for all that differs.
    fn arn_of(&self, kind: &str) -> String {
        let arn = self.of_type(kind)["arn"].as_str().unwrap();
        without_variables(arn)
    }

    /// The kinds of things that the pattern may mean.
    fn kinds(&self, pattern: &str) -> Vec<&'static str> {
        self.types().map(|(kind, _)| kind).filter(|kind| overlap(&self.arn_of(kind), pattern)).collect()
    }

    /// Whether AWS knows the key when the action is judged on things of these kinds.
    fn knows(&self, key: &str, kinds: &[&str]) -> bool {
        let is_global = ["aws:PrincipalTag/", "aws:PrincipalAccount"].iter().any(|global| key.starts_with(global));
        let mut lists = vec![&self.entry["keys"]];
        for kind in kinds {
            lists.push(&self.entry["types"][*kind]["keys"]);
            lists.push(&self.of_type(kind)["keys"]);
        }
        let known = lists.into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        is_global || known.into_iter().any(|known| known == key || known.ends_with('/') && key.starts_with(known))
    }

    fn needs_things(&self) -> bool {
        self.types().any(|(_, entry)| entry["required"] == true) && !WITHOUT_A_THING.contains(&self.name.as_str())
    }
}

/// Whether some ARN matches both patterns, part by part.
fn overlap(one: &str, other: &str) -> bool {
    fn meet(one: &[u8], other: &[u8], memory: &mut BTreeMap<(usize, usize), bool>) -> bool {
        let key = (one.len(), other.len());
        if let Some(known) = memory.get(&key) {
            return *known;
        }
        let met = match (one, other) {
            ([], []) => true,
            ([b'*', rest @ ..], _) if meet(rest, other, memory) => true,
            (_, [b'*', rest @ ..]) if meet(one, rest, memory) => true,
            ([b'*', ..], [_, rest @ ..]) => meet(one, rest, memory),
            ([_, rest @ ..], [b'*', ..]) => meet(rest, other, memory),
            ([a, one @ ..], [b, other @ ..]) if a == b => meet(one, other, memory),
            _ => false,
        };
        memory.insert(key, met);
        met
    }
    let parts = |pattern: &str| pattern.splitn(6, ':').map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (parts(one), parts(other));
    let met = |(one, other): (&String, &String)| meet(one.as_bytes(), other.as_bytes(), &mut BTreeMap::new());
    one.len() == other.len() && one.iter().zip(&other).all(met)
}

/// A variable may be anything.
fn without_variables(pattern: &str) -> String {
    static VARIABLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{[^}]+\}").unwrap());
    VARIABLE.replace_all(pattern, "*").into_owned()
}

#[test]
fn each_call_touches_what_aws_says_and_is_told_by_keys_that_aws_knows() {
    let world = world("acme/shop/pr-42", StageKind::Ephemeral);
    for call in every_call().into_iter().chain(of_programs(&world, "previews")) {
        let action = Action::of(call.action);
        let mut met = BTreeSet::new();
        for Thing { arn, keys } in &call.things {
            let kinds = if arn == "*" { Vec::new() } else { action.kinds(arn) };
            assert_eq!(kinds.is_empty(), arn == "*", "{} knows no {arn}", call.action);
            for (key, _) in keys {
                assert!(action.knows(key, &kinds), "{} on {arn} knows no {key}", call.action);
            }
            met.extend(kinds.iter().map(|kind| kind.split('/').next().unwrap()));
        }
        // `listener/app` and `listener/net` are one or the other.
        let required = action.types().filter(|(_, entry)| entry["required"] == true && action.needs_things());
        for (kind, _) in required {
            assert!(met.contains(kind.split('/').next().unwrap()), "{} touches a {kind} too", call.action);
        }
    }
}

#[test]
fn each_statement_speaks_of_things_and_keys_that_its_actions_know() {
    for which in ALL {
        for statement in document(which, Sessions::Tagged)["Statement"].as_array().unwrap() {
            let at = format!("{} {}", which.word(), statement["Sid"]);
            let texts = |element: &str| -> Vec<String> {
                statement[element].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
            };
            let resources = texts("Resource");
            for name in texts("Action") {
                let action = Action::of(&name);
                let kinds: Vec<&str> =
                    resources.iter().flat_map(|pattern| action.kinds(&without_variables(pattern))).collect();
                let is_everything = resources == ["*"];
                assert!(!is_everything || !action.needs_things(), "{at}: {name} knows what it is done to");
                assert!(is_everything || !kinds.is_empty(), "{at}: {name} knows none of {resources:?}");
                let operators = statement["Condition"].as_object().into_iter().flatten();
                let keys = operators.flat_map(|(_, keys)| keys.as_object().unwrap().keys());
                for key in keys {
                    let kinds = if is_everything { &[][..] } else { &kinds[..] };
                    assert!(action.knows(key, kinds), "{at}: {name} knows no {key}");
                }
            }
        }
    }
}

#[test]
fn patterns_meet_where_an_arn_matches_both() {
    for (one, other, expected) in [
        ("a*", "*b", true),
        ("arn:*:ec2:*:*:vpc/*", "arn:aws:ec2:*:*:*/*", true),
        ("arn:*:ec2:*:*:vpc/*", "arn:aws:ec2:*:*:subnet/*", false),
        ("a", "a", true),
        ("a", "b", false),
        ("*", "", true),
    ] {
        assert_eq!(overlap(one, other), expected, "{one} {other}");
    }
}
