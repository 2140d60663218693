//! A container's environment on its way to the engine.
//!
//! Guarantees: a value is in no process list and on no disk: it goes to the command line through a pipe,
//! as an `--env-file`, where it cannot become a setting of the command line itself. Such a file has no
//! values of several lines: those alone travel in the command line's environment, under names that
//! mean nothing there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use secrecy::{ExposeSecret, SecretString};

/// What the command line reads a line into: Go's `bufio.MaxScanTokenSize`.
const LONGEST_LINE: usize = 64 << 10;

/// An environment, by the two ways in which it travels.
#[derive(Default)]
pub(super) struct Environment {
    /// An `--env-file`; `None` where there is nothing to say.
    pub(super) file: Option<SecretString>,
    /// What goes by `--env NAME`.
    pub(super) variables: Vec<(String, SecretString)>,
}

impl Environment {
    /// Refuses, by its name, what can travel neither way.
    pub(super) fn of(values: BTreeMap<String, SecretString>) -> Result<Self, String> {
        let (mut file, mut variables) = (String::new(), Vec::new());
        for (name, value) in values {
            let text = value.expose_secret();
            let is_line = !text.contains(['\n', '\r']) && name.len() + text.len() + 2 < LONGEST_LINE;
            if is_line {
                // Writing to a text cannot fail.
                let _ = writeln!(file, "{name}={text}");
            } else if steers(&name) {
                return Err(name);
            } else {
                variables.push((name, value));
            }
        }
        Ok(Self { file: (!file.is_empty()).then(|| file.into()), variables })
    }

    /// What stands on the command line.
    pub(super) fn arguments(&self) -> Vec<String> {
        let file = self.file.iter().flat_map(|_| ["--env-file", "/dev/stdin"]);
        let named = self.variables.iter().flat_map(|(name, _)| ["--env", name.as_str()]);
        file.chain(named).map(str::to_owned).collect()
    }
}

/// Whether the docker command line, what it is linked with, or a helper that it calls looks at a variable
/// of this name.
fn steers(name: &str) -> bool {
    const PREFIXES: [&str; 14] = [
        "AWS_", "BUILDKIT", "BUILDX", "COMPOSE_", "DOCKER", "DYLD_", "GLIBC_", "LC_", "LD_", "MALLOC_", "OTEL_",
        "SSH_", "SSL_", "XDG_",
    ];
    const NAMES: [&str; 20] = [
        "BASH_ENV",
        "ENV",
        "GCONV_PATH",
        "GOCOVERDIR",
        "GODEBUG",
        "GOGC",
        "GOMAXPROCS",
        "GOMEMLIMIT",
        "GOTRACEBACK",
        "HOME",
        "HOSTALIASES",
        "LANG",
        "LOCALDOMAIN",
        "LOCPATH",
        "NLSPATH",
        "PATH",
        "RES_OPTIONS",
        "TMPDIR",
        "TZ",
        "TZDIR",
    ];
    let name = name.to_ascii_uppercase();
    name.ends_with("_PROXY") || NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(values: &[(&str, &str)]) -> Result<Environment, String> {
        Environment::of(values.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect())
    }

    #[test]
    fn what_would_steer_the_command_line_never_meets_it() {
        let values = ["DOCKER_HOST", "DOCKER_CONFIG", "PATH", "LD_PRELOAD", "HTTP_PROXY", "BUILDKIT_HOST"];
        for name in values {
            let environment = environment(&[(name, "x=y")]).expect("one line");
            assert_eq!(
                environment.file.as_ref().map(ExposeSecret::expose_secret),
                Some(format!("{name}=x=y\n").as_str())
            );
            assert!(environment.variables.is_empty(), "{name}");
            assert_eq!(environment.arguments(), ["--env-file", "/dev/stdin"]);
        }
        for name in values.into_iter().chain(["docker_host", "http_proxy", "GODEBUG", "AWS_PROFILE", "Ld_Library_Path"])
        {
            assert_eq!(environment(&[(name, "x\ny")]).err().as_deref(), Some(name));
        }
    }

    #[test]
    fn what_no_line_holds_goes_by_its_name() {
        let long = "x".repeat(LONGEST_LINE);
        for value in ["-----BEGIN\nKEY", "ends with\r", "\n", long.as_str()] {
            let environment = environment(&[("KEY", value), ("EMPTY", "")]).expect("a name like any other");
            assert_eq!(environment.file.as_ref().map(ExposeSecret::expose_secret), Some("EMPTY=\n"));
            assert_eq!(environment.variables[0].1.expose_secret(), value);
            assert_eq!(environment.arguments(), ["--env-file", "/dev/stdin", "--env", "KEY"]);
        }
        assert_eq!(environment(&[]).expect("nothing").arguments(), Vec::<String>::new());
    }
}
