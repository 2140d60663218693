//! The processes of a Procfile, with the shell that Heroku and foreman hand their lines to.
//!
//! Source: Heroku Dev Center, "The Procfile": `<process type>: <command>`, run by a shell with `PORT` set.

use super::{Found, LeftOut, literal};

pub(super) const FILE: &str = "Procfile";
pub(super) const NO_DOCKERFILE: &str =
    "no Dockerfile found: this runs as a process on one machine; with one, add `build: {}`";
/// What a shell makes something of.
const FOR_A_SHELL: &str = "$&|;<>`\"'\\*?(){}[]~#!";
/// What makes more than one command of a line.
const SEVERAL: &str = "&|;`(";

/// Every process that can be a service.
pub(super) fn services(text: &str, left_out: &mut LeftOut) -> Vec<Found> {
    let mut found = Vec::new();
    for (number, line) in lines(text) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, command)) = line.split_once(':').filter(|(name, _)| is_name(name)) else {
            left_out.add(FILE, &format!("line {number}"), "it is no `<process>: <command>`");
            continue;
        };
        let command = command.trim();
        if command.is_empty() {
            left_out.add(FILE, name, "it has no command");
        } else if name == "release" {
            let why = "it runs once before a version serves, as `migrate: { command: [...] }` of a service does";
            left_out.add(FILE, name, why);
        } else {
            // The server says by `PORT` where to listen; on one machine the number is nobody's.
            let listens = name == "web" || command.contains("$PORT") || command.contains("${PORT");
            let port = listens.then_some(3000);
            let notes = vec![NO_DOCKERFILE.to_owned()];
            found.push(Found { name: name.to_owned(), command: Some(words(command)), port, notes, ..Found::default() });
        }
    }
    found
}

/// The lines with the numbers that they begin at; one that ends with `\` goes on in the next.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let cut = line.strip_suffix('\\').filter(|_| goes_on || !line.starts_with('#'));
        let part = cut.unwrap_or(line).trim_end();
        match all.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => whole.extend([" ", part]),
            None => all.push((number, part.to_owned())),
        }
        goes_on = cut.is_some();
    }
    all
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Program and arguments; by a shell where the line needs one, which gives way to the program.
fn words(command: &str) -> Vec<String> {
    let several = command.contains(|c: char| SEVERAL.contains(c));
    // What this word of a shell's does to one command is done here anyway.
    let command = command.strip_prefix("exec ").filter(|_| !several).map_or(command, str::trim_start);
    let mut words = command.split_whitespace().skip_while(|word| word.contains('=') || word.ends_with(['"', '\'']));
    let execs = words.next() == Some("exec");
    let sets = command.split_whitespace().next().is_some_and(|word| word.contains('='));
    // Behind what is set, only a shell knows that word.
    let words: Vec<String> = if several || (sets && execs) {
        vec!["sh".into(), "-c".into(), command.to_owned()]
    } else if sets {
        vec!["sh".into(), "-c".into(), format!("exec env {command}")]
    } else if command.contains(|c: char| FOR_A_SHELL.contains(c)) {
        vec!["sh".into(), "-c".into(), format!("exec {command}")]
    } else {
        command.split_whitespace().map(str::to_owned).collect()
    };
    words.iter().map(|word| literal(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let mut left_out = LeftOut::default();
        let line =
            |found: Found| format!("{} {:?} {}", found.name, found.port, found.command.unwrap_or_default().join("|"));
        let found = services(text, &mut left_out).into_iter().map(line).collect();
        (found, left_out.into_lines())
    }

    #[test]
    fn a_line_that_needs_a_shell_gets_one() {
        let (found, left_out) = read(
            "web: gunicorn app:app -b 0.0.0.0:$PORT\r\nclock: python c.py\n\n# no line\nworker: A=1 node w.js\n\
             all: a && b\nodd: node -p ${X:-1}\nrelease: ./migrate\n",
        );
        assert_eq!(
            found,
            [
                "web Some(3000) sh|-c|exec gunicorn app:app -b 0.0.0.0:$PORT",
                "clock None python|c.py",
                "worker None sh|-c|exec env A=1 node w.js",
                "all None sh|-c|a && b",
                "odd None sh|-c|exec node -p ${{X:-1}}",
            ]
        );
        assert_eq!(left_out.len(), 1, "{left_out:?}");
        assert!(left_out[0].starts_with("release of Procfile: it runs once before"), "{left_out:?}");
    }

    #[test]
    fn a_line_that_gives_way_to_its_program_does_so_once() {
        let (found, left_out) = read(
            "ex: exec node s.js\nport: exec node s.js --port $PORT\nset: A=1 exec node s.js\n\
             said: A='x y' exec node\nrails: A=1 bundle exec puma\nboth: exec a && b\n",
        );
        assert_eq!(
            found,
            [
                "ex None node|s.js",
                "port Some(3000) sh|-c|exec node s.js --port $PORT",
                "set None sh|-c|A=1 exec node s.js",
                "said None sh|-c|A='x y' exec node",
                "rails None sh|-c|exec env A=1 bundle exec puma",
                "both None sh|-c|exec a && b",
            ]
        );
        assert_eq!(left_out, [""; 0]);
    }

    #[test]
    fn whoever_reads_port_listens_and_a_line_may_go_on_in_the_next() {
        let (found, left_out) = read(
            "# all of it \\\nweb: gunicorn app:app \\\r\n  --bind :$PORT\napi: uvicorn m:a --port ${PORT:-1}\n\
             worker: a \\\n  b\nx y\n",
        );
        assert_eq!(
            found,
            [
                "web Some(3000) sh|-c|exec gunicorn app:app --bind :$PORT",
                "api Some(3000) sh|-c|exec uvicorn m:a --port ${{PORT:-1}}",
                "worker None a|b",
            ]
        );
        assert_eq!(left_out, ["line 7 of Procfile: it is no `<process>: <command>`"]);
    }

    #[test]
    fn what_is_no_process_is_said() {
        let (found, left_out) = read("web:\nnode server.js\nmy web: x\n");
        assert_eq!(found, [""; 0]);
        assert_eq!(
            left_out,
            [
                "web of Procfile: it has no command",
                "line 2 of Procfile: it is no `<process>: <command>`",
                "line 3 of Procfile: it is no `<process>: <command>`",
            ]
        );
    }
}
