//! What a Dockerfile has fetched for it, found before anything is built.
//!
//! # Guarantees
//!
//! - What engines read differently is refused where it decides what is fetched: quotes, escapes and letters
//!   beyond ASCII in flags and in `FROM`, lines that go on with some engines only, an `ARG` that is more than
//!   a name and a plain value.
//! - An instruction's name may be spread over lines, so that every line is judged in which one that fetches
//!   may begin, joined with what follows as far as any engine goes.
//! - What a variable stands for is anything, except in `FROM`, where nothing but arguments of the file and
//!   the build counts.
//! - Where engines may differ about whether an instruction begins, no stage and no argument comes of it.
//!   Reading takes time in proportion to the file.
//!
//! The crates that parse Dockerfiles (`parse-dockerfile`, `dockerfile-parser`, `dockerfile-parser-rs`)
//! each read one dialect of well-formed files, and none says what another engine would make of one.

mod arguments;
mod lines;
mod source;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use arguments::Arguments;
use lines::Line;

/// No Dockerfile is longer.
pub(super) const MOST_BYTES: usize = 256 << 10;
/// Every image is asked for, one by one.
const MOST_IMAGES: usize = 50;

/// Where a Dockerfile is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// In the engine itself: what it adds it fetches in its own network, and images of this engine are
    /// as good as those of a registry.
    Engine,
    /// In a container of its own, which reaches what any container reaches.
    Apart,
}

/// An image that is begun with or copied from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Image {
    /// As it is written, variables replaced. What could not be replaced still has its `$`, and only
    /// for [`Where::Apart`].
    pub(super) name: String,
    /// `linux/arm64`, where `FROM` asks for one.
    pub(super) platform: Option<String>,
}

/// Why it is not built.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `line 3 of the Dockerfile ...`
    pub(super) reason: String,
    pub(super) advice: &'static str,
}

const NO_REMOTE: &str =
    "Fetch it in a `RUN` step, or commit the file. With Docker's `buildx` plugin on the server, `ADD` may fetch.";
const WRITE_A_PATH: &str = "Begin the source with `./` or `/`, so that it is a path whatever the variable holds.";
const WRITE_IT_OUT: &str = "Write the image's name out, or take it from an `ARG NAME=value` before the first `FROM`.";
const WITH_BUILDX: &str = "Install Docker's `buildx` plugin on the server, or leave `--platform` out.";
const MAKE_IT_PLAIN: &str = "Write it in plain words, without escapes and variables.";

/// Reads a Dockerfile, with the build's arguments, and answers the images that it names.
pub(super) fn read(
    text: &[u8],
    arguments: &BTreeMap<String, String>,
    place: Where,
) -> Result<BTreeSet<Image>, Refusal> {
    if text.len() > MOST_BYTES {
        let reason = format!("the Dockerfile is longer than {} KiB", MOST_BYTES >> 10);
        return Err(Refusal { reason, advice: "Move what it writes into files of the commit." });
    }
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(Refusal { reason: "the Dockerfile is not UTF-8".into(), advice: "Write it in UTF-8." });
    };
    syntax::check(text, place)?;
    let mut reader = Reader {
        place,
        arguments: Arguments::new(arguments),
        stages: BTreeSet::new(),
        ended: 0,
        current: None,
        has_begun: false,
        images: BTreeSet::new(),
    };
    for line in lines::lines(text)? {
        reader.line(&line).map_err(|(reason, advice)| Refusal {
            reason: format!("line {} of the Dockerfile {reason}", line.number),
            advice,
        })?;
    }
    if reader.images.len() > MOST_IMAGES {
        let reason = format!("the Dockerfile names more than {MOST_IMAGES} images");
        return Err(Refusal { reason, advice: "Build it in several services." });
    }
    Ok(reader.images)
}

type Verdict = Result<(), (String, &'static str)>;

struct Reader<'a> {
    place: Where,
    arguments: Arguments<'a>,
    /// Stages that surely ended in lines before, in lower case. The one that is being built is none of
    /// them: Docker's first builder takes its own name for an image.
    stages: BTreeSet<String>,
    /// How many surely ended, those without a name too.
    ended: usize,
    /// The stage that was surely begun last.
    current: Option<Stage>,
    /// A `FROM` was read, perhaps: no `ARG` after it counts for another.
    has_begun: bool,
    images: BTreeSet<Image>,
}

struct Stage {
    /// In lower case.
    name: Option<String>,
}

impl Reader<'_> {
    fn line(&mut self, line: &Line) -> Verdict {
        let (mut name, mut text) = lines::first_word(&line.text);
        let is_trigger = name == "onbuild";
        while name == "onbuild" {
            (name, text) = lines::first_word(text);
        }
        if self.place == Where::Apart && !line.is_certain {
            return self.perhaps(&name, text);
        }
        let is_fetching = matches!(name.as_str(), "add" | "copy" | "from");
        if line.is_odd && (is_fetching || is_trigger) {
            return Err(("goes on in a way that engines read differently".to_owned(), MAKE_IT_PLAIN));
        }
        match name.as_str() {
            "run" if self.place == Where::Engine => Ok(()),
            "add" | "copy" | "run" => {
                let Some((flags, rest)) = lines::flags(text) else {
                    return Err(("has flags that engines read differently".to_owned(), MAKE_IT_PLAIN));
                };
                for name in flags.into_iter().flat_map(|flag| named_by(&name, flag)) {
                    self.copied(name)?;
                }
                if name == "add" && self.place == Where::Engine { source::check(rest) } else { Ok(()) }
            }
            // No engine has it, but not every one says so.
            "from" if is_trigger => Err(("begins a stage in a trigger".to_owned(), MAKE_IT_PLAIN)),
            "from" => self.from(line, text),
            "arg" if !self.has_begun => {
                if line.is_certain && !line.is_odd && !is_trigger {
                    self.arguments.declare(text);
                } else {
                    self.arguments.declare_anything();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A line in which not every engine begins an instruction, such as one of a script in a heredoc.
    fn perhaps(&mut self, name: &str, text: &str) -> Verdict {
        if name == "arg" && !self.has_begun {
            self.arguments.declare_anything();
        }
        self.has_begun |= name == "from";
        for text in lines::readings(text) {
            for name in perhaps_named(name, &text) {
                // A place in a registry has a path, or comes out of a variable.
                let is_path = name.contains('/') && (name.contains('$') || is_reference(name));
                if is_path || self.arguments.may_change(name) {
                    self.name(name.to_owned(), None)?;
                }
            }
        }
        Ok(())
    }

    fn copied(&mut self, name: &str) -> Verdict {
        // Some engines take a number that is no stage's for the beginning of an image's id.
        let is_index = || name.parse::<usize>().is_ok_and(|index| index < self.ended);
        if name.is_empty() || self.stages.contains(&name.to_lowercase()) || is_index() {
            return Ok(());
        }
        self.name(name.to_owned(), None)
    }

    /// `FROM [--platform=PLATFORM] NAME [AS STAGE]`, and nothing else.
    fn from(&mut self, line: &Line, text: &str) -> Verdict {
        self.has_begun = true;
        let odd = || ("is written in a way that engines read differently".to_owned(), MAKE_IT_PLAIN);
        let words = lines::plain_words(text).ok_or_else(odd)?;
        let (platform, words) = match &words[..] {
            [first, rest @ ..] if first.starts_with("--") => {
                (Some(first.strip_prefix("--platform=").ok_or_else(odd)?), rest)
            }
            words => (None, words),
        };
        let (written, stage) = match words {
            [written] => (*written, None),
            [written, word, stage] if word.eq_ignore_ascii_case("as") => (*written, Some(*stage)),
            _ => return Err(odd()),
        };
        let is_in_stages = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !stage.is_none_or(|stage| stage.chars().all(is_in_stages)) {
            return Err(odd());
        }
        let begins = || (format!("begins with `{written}`, which is not known before the build"), WRITE_IT_OUT);
        let name = self.known(written).ok_or_else(begins)?;
        let asks = |platform: &str| {
            let reason = format!("asks for the platform `{platform}`, which the engine's first builder does not know");
            (reason, WITH_BUILDX)
        };
        let platform = platform.map(|platform| self.known(platform).ok_or_else(|| asks(platform))).transpose()?;
        if name != "scratch" && !self.has_ended(&name.to_lowercase()) {
            self.name(name, platform)?;
        }
        if line.is_certain {
            self.begin(Stage { name: stage.map(str::to_lowercase) });
        }
        Ok(())
    }

    /// What is written, its variables replaced as far as that matters.
    fn known(&self, written: &str) -> Option<String> {
        let expanded = self.arguments.expand(written);
        expanded.or_else(|| (self.place == Where::Apart).then(|| written.to_owned()))
    }

    /// Whether there is such a stage once a `FROM` ended the one that is being built.
    fn has_ended(&self, name: &str) -> bool {
        let current = self.current.as_ref().and_then(|stage| stage.name.as_deref());
        current == Some(name) || self.stages.contains(name)
    }

    fn begin(&mut self, stage: Stage) {
        if let Some(ended) = self.current.replace(stage) {
            self.ended += 1;
            self.stages.extend(ended.name);
        }
    }

    fn name(&mut self, name: String, platform: Option<String>) -> Verdict {
        let is_open = self.place == Where::Apart && name.contains('$');
        if !is_open && !is_reference(&name) {
            return Err((format!("names the image `{name}`, which no registry can have"), MAKE_IT_PLAIN));
        }
        self.images.insert(Image { name, platform });
        Ok(())
    }
}

/// Whether a registry may have it. One that begins like a flag is none.
fn is_reference(name: &str) -> bool {
    let is_in_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '@' | '-' | '[' | ']');
    !name.starts_with('-') && name.chars().all(is_in_names)
}

/// What a flag of an instruction copies from: `--from=NAME`, `--mount=type=bind,from=NAME`.
fn named_by<'a>(instruction: &str, flag: &'a str) -> Vec<&'a str> {
    if instruction != "run" {
        let is_from = flag.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("--from="));
        return if is_from { vec![&flag[7..]] } else { Vec::new() };
    }
    if !flag.starts_with("--") {
        return Vec::new();
    }
    let fields: Vec<&str> = flag.split(['=', ',']).collect();
    fields.windows(2).filter(|pair| pair[0].eq_ignore_ascii_case("from")).map(|pair| pair[1]).collect()
}

/// All that may be an image's name in a text that is perhaps an instruction.
fn perhaps_named<'a>(instruction: &str, text: &'a str) -> Vec<&'a str> {
    let is_in_names = |c: char| c.is_ascii_alphanumeric() || "._/:@-[]${}+".contains(c);
    let begun = |text: &'a str| &text[..text.find(|c| !is_in_names(c)).unwrap_or(text.len())];
    if instruction == "from" {
        return text.split_whitespace().map(begun).collect();
    }
    let lower = text.to_ascii_lowercase();
    lower.match_indices("from=").map(|(at, found)| begun(&text[at + found.len()..])).collect()
}
