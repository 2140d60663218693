//! The README says of the Action what `action.yml` says.

use crate::action::{Entry, entries};
use crate::world::read;

/// What stands between `<!-- name -->` and `<!-- /name -->`.
fn part(name: &str) -> String {
    let page = read("README.md");
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let inner = page.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map(|(inner, _)| inner);
    inner.unwrap_or_else(|| panic!("the README has no part between {begin:?} and {end:?}")).trim().to_owned()
}

#[test]
fn the_inputs_are_those_of_the_action() {
    let row = |(name, keys): Entry| {
        let default = match keys["default"].as_str() {
            "" => String::new(),
            "${{ github.token }}" => "the job's own".to_owned(),
            default => format!("`{default}`"),
        };
        format!("| `{name}` | {default} | {} |", keys["description"])
    };
    let expected: Vec<String> = entries("inputs").into_iter().map(row).collect();
    assert_eq!(part("inputs").lines().skip(2).collect::<Vec<_>>(), expected);
}

#[test]
fn the_outputs_are_those_of_the_action() {
    let row = |(name, keys): Entry| format!("| `{name}` | {} |", keys["description"]);
    let expected: Vec<String> = entries("outputs").into_iter().map(row).collect();
    assert_eq!(part("outputs").lines().skip(2).collect::<Vec<_>>(), expected);
}

/// Whoever copies the ten lines has the rights and the events of the workflow that they are short for.
#[test]
fn the_ten_lines_are_short_for_the_preview() {
    let page = read("README.md");
    let (_, rest) = page.split_once("## In a workflow\n").expect("the Action is the second thing that a reader meets");
    let (_, code) = rest.split_once("```yaml\n").expect("its lines");
    let (code, _) = code.split_once("```").expect("their end");
    assert!(code.trim().lines().count() <= 15, "{code}");
    let workflow = read("workflows/preview.yml");
    let plain = |line: &str| line.split(" # ").next().unwrap_or_default().trim().to_owned();
    let known: Vec<String> = workflow.lines().map(plain).collect();
    let words = code.replace(['{', '}'], " ");
    for right in words.lines().find(|line| line.trim().starts_with("permissions:")).expect("rights").split(',') {
        let right = right.replace("permissions:", "").trim().to_owned();
        assert!(known.contains(&right), "{right:?} is none of the workflow's rights");
    }
    let types = known.iter().find(|line| line.starts_with("types:")).expect("the events");
    assert!(code.contains(types.as_str()), "{types}");
    assert!(code.contains("uses: greenroom-dev/greenroom@v1"), "{code}");
}
