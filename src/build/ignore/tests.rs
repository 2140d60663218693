//! The rules by table; `tests/context_docker.rs` asks Docker itself.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use super::*;

/// Judges a path with everything that it is in, from the outside in.
pub(super) fn excludes(ignore: &Ignore, path: &[u8]) -> Result<bool, String> {
    let path = Path::new(OsStr::from_bytes(path));
    let mut verdicts: HashMap<PathBuf, Verdict> = HashMap::new();
    let mut folders: Vec<&Path> = path.ancestors().filter(|part| *part != Path::new("")).collect();
    folders.reverse();
    for part in &folders {
        let outer = part.parent().and_then(|parent| verdicts.get(parent)).map_or(&[][..], |verdict| &verdict.matches);
        let verdict = ignore.judge(part, outer)?;
        verdicts.insert((*part).to_owned(), verdict);
    }
    Ok(verdicts[path].is_excluded)
}

#[test]
fn paths_are_left_out_as_docker_does_it() {
    let cases: [(&str, &[&str], &[&str]); 33] = [
        ("", &[], &["a", "a/b"]),
        ("# node_modules\n\n  \n", &[], &["node_modules/x", "# node_modules"]),
        (" #a", &["#a"], &["a"]),
        ("node_modules", &["node_modules", "node_modules/a/b"], &["web/node_modules/a", "node_modules2"]),
        ("/dist/", &["dist/a"], &["web/dist/a"]),
        ("./a//b/../c", &["a/c"], &["a/b", "a/b/c"]),
        ("../a\n/../b\n..", &["b"], &["a", "c"]),
        ("*/temp*", &["a/temporary.txt", "a/temp/x"], &["temp", "a/b/temp"]),
        ("temp?", &["tempa", "tempb/x"], &["temp", "tempab"]),
        ("**/*.log", &["x.log", "a/x.log", "a/b/x.log"], &["x.logs", "a/log"]),
        ("a/**", &["a/b", "a/b/c"], &["a", "b/a"]),
        ("a/**/z", &["a/z", "a/b/z", "a/b/c/z", "a/z/deeper"], &["a/zz", "z"]),
        ("**", &["a", "a/b"], &[]),
        ("**.md", &["a.md", "a/b.md"], &["a.mdx"]),
        ("**/a", &["a", "b/a", "b/c/a/d"], &["ba"]),
        ("*.md\n!README.md", &["CHANGES.md"], &["README.md", "doc/a.md"]),
        ("doc\n!doc/keep", &["doc/a", "doc/keeper"], &["doc/keep", "doc/keep/a"]),
        ("!a\na", &["a"], &["b"]),
        // The second reading makes an exception of it, and takes spaces away.
        ("*\n./!a\n./ b", &["b", "c"], &["a"]),
        ("[a-c]x\n[^d]y\n\\*z", &["bx", "ey", "*z"], &["dx", "dy", "az"]),
        ("[!a]x", &["!x", "ax"], &["bx"]),
        ("[[:alpha:]]1\n\\d2", &["x1", "12"], &["11", "x2", "d2"]),
        // The star in a class becomes what it is elsewhere, brackets and all.
        ("[*]x", &["]x", "^//]x"], &["*x", "x"]),
        ("a^\n^b", &["a^", "^b"], &["a", "b"]),
        // These are an expression's, by an oversight of Docker's own.
        ("*a|b", &["xa", "xay/z", "b", "yb"], &["x", "bz"]),
        ("*a{2}", &["xaa"], &["xa{2}", "xa"]),
        ("*a{,2}b{x}{", &["xa{,2}b{x}{"], &["xaab"]),
        ("?^{2}\n*x", &["ax"], &["a^^"]),
        // What is wrong behind the first part that does not match is never looked at.
        ("*\nx*[a\nb**c/[*", &["x", "b"], &[]),
        ("[**/]", &["(", "*"], &["a"]),
        ("\u{feff}a.b+c(d){e}", &["a.b+c(d){e}"], &["aXb+c(d){e}", "a.bbc(d){e}"]),
        ("a\r\nb \t\r\n\u{a0}c\u{3000}", &["a", "b", "c"], &["a\r", "b ", "d"]),
        // What has matched once is not tried again: below, only the exception is known.
        ("a\n!a/b\n*", &["a", "a/c"], &["a/b"]),
    ];
    for (text, left_out, kept) in cases {
        let rules = Ignore::parse(text.as_bytes()).expect(text);
        for path in left_out {
            assert_eq!(excludes(&rules, path.as_bytes()), Ok(true), "{text:?} leaves out {path}");
        }
        for path in kept {
            assert_eq!(excludes(&rules, path.as_bytes()), Ok(false), "{text:?} keeps {path}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_bytes() {
    let rules = Ignore::parse(b"caf\xe9\n").expect("rules");
    assert_eq!(excludes(&rules, b"caf\xe9"), Ok(true));
    assert_eq!(excludes(&rules, "caf\u{fffd}".as_bytes()), Ok(false), "an exact rule compares bytes");
    let rules = Ignore::parse(b"*\xff\n").expect("rules");
    assert_eq!(excludes(&rules, b"a\xff"), Ok(true));
    assert_eq!(excludes(&rules, b"a\xff\xff"), Ok(true));
    assert_eq!(excludes(&rules, b"a"), Ok(false));
}

#[test]
fn what_docker_refuses_is_refused() {
    let long = format!("a\n{}", "b".repeat(LONGEST_RULE + 1));
    let many = "a\n".repeat(MOST_RULES + 1);
    for text in ["[", "[a", "[]a]", "a\\", "!", "!/", "! ", "[a-]", "[-a]", "x/[^]", &long, &many] {
        assert!(Ignore::parse(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(Ignore::parse(b"[\xff]").is_err(), "a class of what is no character");
    assert!(Ignore::parse(&vec![b'#'; MOST_BYTES + 1]).is_err(), "more than is read");
    // It goes wrong when such a rule is tried.
    for text in ["[b-a]", "\\k*", "\\Qa", "[[:alfa:]]", "*\\1"] {
        let rules = Ignore::parse(text.as_bytes()).expect(text);
        assert!(excludes(&rules, b"a").is_err(), "{text:?}");
    }
    let never_tried = Ignore::parse(b"!\\k").expect("rules");
    assert_eq!(excludes(&never_tried, b"a"), Ok(false));
}

#[test]
fn an_exception_opens_the_folders_that_it_names() {
    let rules = Ignore::parse(b"*\n!a/b/c\n!**/d").expect("rules");
    for (folder, is_open) in [("a", true), ("a/b", true), ("a/b/c", true), ("a/bb", false), ("d", false), ("**", true)]
    {
        assert_eq!(rules.readmits_below(Path::new(folder)), is_open, "{folder}");
    }
    assert!(rules.readmits() && !Ignore::parse(b"a\nb").expect("rules").readmits());
}
