//! Which port a Dockerfile exposes, read as Docker reads it: lines that go on, stages that stand on each
//! other, arguments and variables, ranges.

use std::collections::BTreeMap;

use parse_dockerfile::{Dockerfile, Instruction, Stage};

use super::expand::expand;

/// What is known of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exposed {
    /// With the others that are exposed beside it.
    Port(u16, Vec<u16>),
    Nothing,
    /// Something is exposed; which port, cannot be told from this text.
    Unclear(String),
}

/// The first port that the built stage exposes for TCP, else that of the stages that it stands on. `args`: build
/// arguments; `target`: the stage that is built, the last one where none is named.
pub(super) fn exposed(text: &str, target: Option<&str>, args: &BTreeMap<String, String>) -> Exposed {
    let dockerfile = match parse_dockerfile::parse(text) {
        Ok(dockerfile) => dockerfile,
        Err(error) => return Exposed::Unclear(format!("the Dockerfile cannot be read: {error:#}")),
    };
    let globals = variables(dockerfile.global_args().map(|arg| &*arg.arguments.value), args);
    let mut found = Exposed::Nothing;
    let mut known = BTreeMap::new();
    for stage in chain(&dockerfile, target) {
        let mut here: Vec<Exposed> = Vec::new();
        for instruction in stage.instructions {
            match instruction {
                Instruction::Arg(arg) => declare(&mut known, &arg.arguments.value, args, &globals),
                Instruction::Env(env) => set(&mut known, &env.arguments.value),
                Instruction::Expose(expose) => {
                    here.extend(expose.arguments.iter().map(|argument| port(&argument.value, &known)));
                }
                _ => {}
            }
        }
        here.retain(|port| *port != Exposed::Nothing);
        found = match here.into_iter().reduce(better) {
            Some(own @ Exposed::Port(..)) => better(own, found),
            Some(unclear) => unclear,
            None => found,
        };
    }
    found
}

/// Of several the first that is a port, with the others.
fn better(one: Exposed, other: Exposed) -> Exposed {
    match (one, other) {
        (Exposed::Port(first, mut others), Exposed::Port(second, more)) => {
            for port in std::iter::once(second).chain(more) {
                if port != first && !others.contains(&port) {
                    others.push(port);
                }
            }
            Exposed::Port(first, others)
        }
        (port @ Exposed::Port(..), _) | (_, port @ Exposed::Port(..)) => port,
        (one, _) => one,
    }
}

/// What is said of the ports that get no address.
pub(super) fn told_of(others: &[u16]) -> Option<String> {
    let others: Vec<String> = others.iter().map(u16::to_string).collect();
    (!others.is_empty()).then(|| format!("of its ports only the first gets an address, not {}", others.join(", ")))
}

fn port(written: &str, known: &BTreeMap<String, String>) -> Exposed {
    let bare = written.trim_matches(['"', '\'']);
    match expand(bare, &|name| known.get(name).cloned()) {
        None => Exposed::Unclear(format!("`EXPOSE {written}` has no value here")),
        Some(text) if is_udp(&text) => Exposed::Nothing,
        Some(text) => match first_port(&text) {
            Some(port) => Exposed::Port(port, Vec::new()),
            None => Exposed::Unclear(format!("`EXPOSE {written}` is no port")),
        },
    }
}

/// The stages that the built one stands on, the lowest first, and itself.
fn chain<'a, 'b>(dockerfile: &'b Dockerfile<'a>, target: Option<&str>) -> Vec<Stage<'a, 'b>> {
    let stages: Vec<Stage<'a, 'b>> = dockerfile.stages().collect();
    let name = |stage: &Stage<'a, 'b>| stage.from.as_.as_ref().map(|(_, name)| name.value.to_ascii_lowercase());
    let called = |wanted: &str| {
        let by_name = stages.iter().position(|stage| name(stage) == Some(wanted.to_ascii_lowercase()));
        by_name.or_else(|| wanted.parse::<usize>().ok().filter(|index| *index < stages.len()))
    };
    let mut next = target.map_or(stages.len().checked_sub(1), called);
    let mut indices = Vec::new();
    while let Some(index) = next {
        indices.push(index);
        // A stage stands on those before it alone.
        next = called(stages[index].from.image.value.as_ref()).filter(|below| *below < index);
    }
    let mut stages: Vec<Option<Stage<'a, 'b>>> = stages.into_iter().map(Some).collect();
    indices.into_iter().rev().filter_map(|index| stages[index].take()).collect()
}

fn variables<'t>(lines: impl Iterator<Item = &'t str>, args: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    lines.for_each(|line| declare(&mut known, line, args, &BTreeMap::new()));
    known
}

/// `ARG NAME=default OTHER`: what the build is given, else the default, else what stands before the stages.
fn declare(
    known: &mut BTreeMap<String, String>,
    line: &str,
    args: &BTreeMap<String, String>,
    globals: &BTreeMap<String, String>,
) {
    for word in line.split_whitespace() {
        let (name, default) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let default = default.and_then(|text| expand(text.trim_matches(['"', '\'']), &|name| known.get(name).cloned()));
        let value = args.get(name).cloned().or(default).or_else(|| globals.get(name).cloned());
        if let Some(value) = value {
            known.insert(name.to_owned(), value);
        }
    }
}

/// `ENV A=1 B=2`, or `ENV A 1` as it was written once.
fn set(known: &mut BTreeMap<String, String>, line: &str) {
    let is_pairs = line.split_whitespace().next().is_some_and(|word| word.contains('='));
    let pairs: Vec<(&str, &str)> = if is_pairs {
        line.split_whitespace().filter_map(|word| word.split_once('=')).collect()
    } else {
        line.split_once(char::is_whitespace).into_iter().collect()
    };
    for (name, value) in pairs {
        let value = expand(value.trim().trim_matches(['"', '\'']), &|name| known.get(name).cloned());
        match value {
            Some(value) => known.insert(name.to_owned(), value),
            None => known.remove(name),
        };
    }
}

fn is_udp(text: &str) -> bool {
    text.rsplit_once('/').is_some_and(|(_, protocol)| !protocol.eq_ignore_ascii_case("tcp"))
}

/// The port of `80`, `80/tcp` or `3000-3005`, of which it is the first.
pub(super) fn first_port(text: &str) -> Option<u16> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let first = range.split('-').next().unwrap_or_default().trim();
    first.parse().ok().filter(|port| *port > 0 && protocol.eq_ignore_ascii_case("tcp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Exposed {
        exposed(text, None, &BTreeMap::new())
    }

    fn only(port: u16) -> Exposed {
        Exposed::Port(port, Vec::new())
    }

    #[test]
    fn a_port_is_read_as_docker_reads_it() {
        for (text, port) in [
            ("FROM a\nEXPOSE 3000\n", 3000),
            ("FROM a\nexpose 3000/tcp\n", 3000),
            ("FROM a\nEXPOSE 9090/udp 8080/TCP\n", 8080),
            ("FROM a\nEXPOSE \\\n  9090/udp \\\n  # the door\n  8080\n", 8080),
            ("FROM a\nEXPOSE 3000-3005\n", 3000),
            ("FROM a\nEXPOSE \"3000\"\n", 3000),
            ("FROM a\nENV PORT=3000\nEXPOSE $PORT\n", 3000),
            ("FROM a\nENV PORT 3000\nEXPOSE ${PORT}\n", 3000),
            ("FROM a\nENV A=1 PORT=\"3000\"\nEXPOSE ${PORT}/tcp\n", 3000),
            ("FROM a\nARG PORT=3000\nEXPOSE ${PORT}\n", 3000),
            ("FROM a\nARG PORT=3000\nENV PORT=$PORT\nEXPOSE ${PORT}\n", 3000),
            ("ARG PORT=3000\nFROM a\nARG PORT\nEXPOSE ${PORT}\n", 3000),
            ("FROM a\nEXPOSE ${PORT:-3000}\n", 3000),
            ("FROM a AS base\nEXPOSE 3000\nFROM base\nRUN x\n", 3000),
            ("FROM a AS base\nENV PORT=3000\nFROM base\nEXPOSE ${PORT}\n", 3000),
            ("FROM a AS other\nEXPOSE 80\nFROM b\nEXPOSE 3000\n", 3000),
            ("# escape=`\nFROM a\nEXPOSE `\n  3000\n", 3000),
            ("FROM a\r\nEXPOSE 3000\r\n", 3000),
            ("FROM a\nRUN <<EOF\nEXPOSE 1\nEOF\nEXPOSE 3000\n", 3000),
        ] {
            assert_eq!(told(text), only(port), "{text}");
        }
    }

    #[test]
    fn of_several_ports_the_first_of_the_built_stage_counts_and_none_is_forgotten() {
        for (text, port, others) in [
            ("FROM a\nEXPOSE 80\nEXPOSE 443\n", 80, vec![443]),
            ("FROM a\nEXPOSE 8080 9090\nEXPOSE 8080 53/udp 9229\n", 8080, vec![9090, 9229]),
            ("FROM a AS base\nEXPOSE 9229 9230\nFROM base\nEXPOSE 3000\n", 3000, vec![9229, 9230]),
            ("FROM a\nEXPOSE ${NOWHERE}\nEXPOSE 3000\n", 3000, vec![]),
        ] {
            assert_eq!(told(text), Exposed::Port(port, others), "{text}");
        }
        let unclear = told("FROM a AS base\nEXPOSE 9229\nFROM base\nEXPOSE ${PORT}\n");
        assert!(matches!(unclear, Exposed::Unclear(_)), "{unclear:?}");
        assert_eq!(told_of(&[]), None);
        assert_eq!(told_of(&[1, 2]).as_deref(), Some("of its ports only the first gets an address, not 1, 2"));
    }

    #[test]
    fn what_is_not_known_is_said() {
        for text in ["FROM a\n", "FROM a\nEXPOSE 53/udp\n", "FROM a AS b\nEXPOSE 80\nFROM c\n"] {
            assert_eq!(told(text), Exposed::Nothing, "{text}");
        }
        for (text, why) in [
            ("FROM a\nEXPOSE ${PORT}\n", "`EXPOSE ${PORT}` has no value here"),
            ("FROM a\nEXPOSE http\n", "`EXPOSE http` is no port"),
            ("EXPOSE 80\n", "cannot be read"),
            ("FRMO a\nEXPOSE 80\n", "cannot be read"),
        ] {
            let Exposed::Unclear(said) = told(text) else { panic!("{text}: {:?}", told(text)) };
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn a_build_may_name_its_stage_and_its_arguments() {
        let text = "FROM a AS dev\nARG PORT=80\nEXPOSE ${PORT}\nFROM b AS prod\nEXPOSE 443\n";
        let args = BTreeMap::from([("PORT".to_owned(), "3000".to_owned())]);
        assert_eq!(exposed(text, Some("Dev"), &args), only(3000));
        assert_eq!(exposed(text, Some("dev"), &BTreeMap::new()), only(80));
        assert_eq!(exposed(text, Some("0"), &BTreeMap::new()), only(80));
        assert_eq!(exposed(text, None, &args), only(443));
        assert_eq!(exposed(text, Some("none"), &args), Exposed::Nothing);
    }
}
