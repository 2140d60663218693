//! Rules for texts: placeholders, names of variables, paths inside the repository, secrets.
//!
//! Every function says what is wrong with a text, or nothing.

use crate::model::{PathFilter, SecretRef};

use super::complain::{code, listed};
use super::tree::shown;

/// The longest glob, in bytes, and how many braces may stand in each other in it: who compiles it goes as
/// deep as they do.
const MOST_GLOB: usize = 500;
const MOST_BRACES: usize = 5;

/// What a text may refer to.
pub(super) struct Scope<'a> {
    /// The services that have a public address.
    pub(super) with_url: &'a [&'a str],
    /// All services.
    pub(super) services: &'a [&'a str],
}

/// Checks `{...}` in a value. `{{` and `}}` stand for the braces themselves.
pub(super) fn placeholders(text: &str, scope: &Scope<'_>) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (brace, tail) = rest[at..].split_at(1);
        if let Some(tail) = tail.strip_prefix(brace) {
            rest = tail;
        } else if brace == "}" {
            return Some("a `}` closes nothing here: write `}}` for the brace itself".to_owned());
        } else {
            let Some((name, tail)) = tail.split_once('}') else {
                return Some("a `{` is not closed: write `{{` for the brace itself".to_owned());
            };
            if let Some(problem) = placeholder(name, scope) {
                return Some(problem);
            }
            rest = tail;
        }
    }
    None
}

fn placeholder(name: &str, scope: &Scope<'_>) -> Option<String> {
    match name.split_once('.') {
        None if matches!(name, "stage" | "sha" | "pr") => None,
        None if name == "url" && !scope.with_url.is_empty() => None,
        None if name == "url" => Some("`{url}` means nothing: no service has a `host`".to_owned()),
        Some(("urls", service)) if scope.with_url.contains(&service) => None,
        Some(("urls", service)) if scope.services.contains(&service) => {
            Some(format!("this has no address: the service {} has no `host`", code(service)))
        }
        Some(("urls", service)) if scope.with_url.is_empty() => {
            Some(format!("`{{urls.…}}` means nothing: there is no service {} with a `host`", shown(service)))
        }
        Some(("urls", service)) => {
            Some(format!("there is no service {}: `urls` has {}", shown(service), listed(scope.with_url, "and")))
        }
        _ => Some(format!(
            "unknown placeholder {}: there are `{{stage}}`, `{{sha}}`, `{{pr}}`, `{{url}}` and `{{urls.<service>}}`; \
             write `{{{{` for a brace itself",
            shown(&format!("{{{name}}}"))
        )),
    }
}

/// Checks the name of an environment variable or build argument.
pub(super) fn variable(name: &str) -> Option<String> {
    if !is_variable(name) {
        return Some(format!("{} is not the name of a variable: letters, digits and `_`, no digit first", shown(name)));
    }
    name.starts_with("GREENROOM_")
        .then(|| format!("`{name}` is Greenroom's own: names with `GREENROOM_` are set by it"))
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A path inside the repository in its shortest form: no `.` and no `/` at the end.
pub(super) fn inside(path: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("{} {why}", shown(path)));
    if path.is_empty() {
        return refuse("is empty: write `.` for the whole repository");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return refuse("is not a path: separate folders with `/`");
    }
    if path.starts_with('/') || path.get(1..2) == Some(":") {
        return refuse("is absolute: write it from the top of the repository");
    }
    if path.starts_with('-') {
        return refuse("begins with `-` and would be taken for an option: write `./` before it");
    }
    if path.split('/').any(|part| part == "..") {
        return refuse("leaves the repository: `..` is not allowed");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match parts.first() {
        None => Ok(".".to_owned()),
        Some(first) if first.starts_with('-') => Ok(format!("./{}", parts.join("/"))),
        Some(_) => Ok(parts.join("/")),
    }
}

/// Checks a pattern of `paths`.
pub(super) fn glob(text: &str) -> Option<String> {
    let own = text.strip_prefix('!').unwrap_or(text);
    if own.is_empty() {
        return Some("an empty glob matches nothing: take it out".to_owned());
    }
    if own.split('/').any(|part| part == "..") {
        return Some(format!("{} leaves the repository: write it from its top, without `..`", shown(text)));
    }
    if own.len() > MOST_GLOB || braces(own) > MOST_BRACES {
        return Some(format!(
            "{} is no glob that is followed: at most {MOST_GLOB} bytes, and {MOST_BRACES} braces in each other",
            shown(text)
        ));
    }
    // Before a letter it escapes nothing, and what was meant matches nothing.
    let ends_folder = own.split('\\').skip(1).any(|rest| rest.is_empty() || rest.starts_with(char::is_alphanumeric));
    if ends_folder {
        return Some(format!("{} separates folders with `\\`, as no path here does: write `/`", shown(text)));
    }
    PathFilter::new(&[text]).err().map(|error| format!("{} is not a glob: {}", shown(text), error.kind()))
}

/// How many braces stand in each other at most; those that stand for themselves count as well.
fn braces(glob: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in glob.bytes() {
        match byte {
            b'{' => open += 1,
            b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// Where a secret lies.
pub(super) fn secret(text: &str, scope: &Scope<'_>) -> Result<SecretRef, String> {
    let Some((store, name)) = text.split_once(':') else {
        // The text may be the secret itself, so it is not repeated.
        return Err("a secret says where it lies: `secretsmanager:<name>`, `ssm:<name>` or `env:<NAME>`".to_owned());
    };
    let checked = |chars: &str| {
        if let Some(problem) = placeholders(name, scope) {
            return Err(problem);
        }
        let bare = name.replace(['{', '}'], "");
        let fits = |c: char| c.is_ascii_alphanumeric() || chars.contains(c);
        if name.is_empty() || name.len() > 512 || !bare.chars().all(fits) {
            return Err(format!("`{store}:` wants a name of letters, digits and {}", listed_chars(chars)));
        }
        Ok(name.to_owned())
    };
    match store {
        // Source: AWS Secrets Manager, CreateSecret, `Name`; `:` and `#` for an ARN and a JSON key.
        "secretsmanager" => checked("/_+=.@-:").map(SecretRef::SecretsManager),
        // Source: AWS Systems Manager, PutParameter, `Name`.
        "ssm" => checked("/_.-").map(SecretRef::Ssm),
        "env" if !is_variable(name) => {
            Err("`env:` wants the name of a variable: letters, digits and `_`, no digit first".to_owned())
        }
        // A pull request writes this file: the keys of Greenroom itself stay out of its reach.
        "env" if name.starts_with("GREENROOM_") || name.starts_with("AWS_") => {
            Err(format!("`{name}` belongs to Greenroom itself and is not given to services"))
        }
        "env" => Ok(SecretRef::ServerEnv(name.to_owned())),
        _ => Err("a secret lies in `secretsmanager:`, `ssm:` or `env:`".to_owned()),
    }
}

fn listed_chars(chars: &str) -> String {
    let words: Vec<String> = chars.chars().map(String::from).collect();
    listed(&words.iter().map(String::as_str).collect::<Vec<_>>(), "and")
}

/// Whether Fargate runs this size. Source: Amazon ECS Developer Guide, "Task CPU and memory".
pub(super) fn fargate(cpu: u32, memory: u32) -> Option<String> {
    let (min, max, step) = match cpu {
        256 if [512, 1024, 2048].contains(&memory) => return None,
        256 => return Some(format!("Fargate has no 256 CPU units with {memory} MiB: memory may be 512, 1024 or 2048")),
        512 => (1024, 4096, 1024),
        1024 => (2048, 8192, 1024),
        2048 => (4096, 16_384, 1024),
        4096 => (8192, 30_720, 1024),
        8192 => (16_384, 61_440, 4096),
        16_384 => (32_768, 122_880, 8192),
        _ => {
            return Some(format!(
                "Fargate has no {cpu} CPU units: `cpu` may be 256, 512, 1024, 2048, 4096, 8192 or 16384"
            ));
        }
    };
    if (min..=max).contains(&memory) && memory.is_multiple_of(step) {
        return None;
    }
    Some(format!("Fargate has no {cpu} CPU units with {memory} MiB: memory may be {min} to {max} in steps of {step}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_is_neither_deep_nor_long() {
        assert_eq!(glob("packages/{web,{api,core}}/**"), None);
        // Compiled, or even dropped, each of these ends the process: the stack is not that deep.
        let deep = 100_000;
        for glob_text in
            [format!("{}a{}", "{".repeat(deep), "}".repeat(deep)), "{a,".repeat(deep), "{{{{{{a}}}}}}".into()]
        {
            assert!(glob(&glob_text).is_some_and(|said| said.contains("5 braces") && said.len() < 1000));
        }
        assert!(glob(&"?".repeat(501)).is_some());
    }

    #[test]
    fn what_can_match_nothing_is_told_so() {
        for pattern in ["", "!", "../web/**", "/../web", "!../web", "web\\src\\**", "a\\"] {
            assert!(glob(pattern).is_some(), "{pattern}");
        }
        for pattern in [
            "./web/**",
            "/web/**",
            "!/web/**",
            "web/",
            "app/[slug]/**",
            "app/[user-id]",
            "!docs/**",
            "app/\\[slug\\]",
            "a\\*",
        ] {
            assert_eq!(glob(pattern), None, "{pattern}");
        }
    }
}
