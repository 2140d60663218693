//! What a Dockerfile has fetched for it, found before anything is built.
//!
//! # Guarantees
//!
//! - Engines differ in how they join lines: about comments inside of an instruction, heredocs, two
//!   escapes at the end of a line, `# escape=`. An instruction begins at the start of a line with all
//!   of them, so every line that begins with one that fetches is judged, and joined with what follows
//!   as far as any engine goes.
//! - Quotes and escapes are taken away before a word is looked at. What a variable stands for is
//!   anything, except in `FROM`, where nothing but arguments of the file and the build counts.
//! - What is not understood is refused. Reading takes time in proportion to the file.
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
use lines::{Line, plain_words, words};

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
    /// The stage that was surely begun last: no `ARG` after the first counts for a `FROM`.
    current: Option<Stage>,
    images: BTreeSet<Image>,
}

struct Stage {
    /// In lower case.
    name: Option<String>,
}

impl Reader<'_> {
    fn line(&mut self, line: &Line) -> Verdict {
        let mut rest = line.text.as_str();
        loop {
            let (word, after) = lines::first_word(rest);
            match (word.as_str(), self.place) {
                ("onbuild", _) => rest = after,
                ("add", place) => {
                    if place == Where::Engine {
                        source::check(after)?;
                    }
                    return self.copy(after);
                }
                ("copy", _) => return self.copy(after),
                ("run", Where::Apart) => return self.mounts(after),
                ("from", _) => return self.from(line, after),
                ("arg", _) if self.current.is_none() => {
                    self.arguments.declare(after, line.is_certain);
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }

    /// `COPY --from=`
    fn copy(&mut self, text: &str) -> Verdict {
        for word in words(text) {
            let lower = word.to_ascii_lowercase();
            if lower.starts_with("--from=") {
                self.copied(&word["--from=".len()..])?;
            }
        }
        Ok(())
    }

    /// `RUN --mount=type=bind,from=`, which the engine's first builder refuses itself.
    fn mounts(&mut self, text: &str) -> Verdict {
        for word in words(text).into_iter().take_while(|word| word.starts_with("--")) {
            for field in word.split(['=', ',']).collect::<Vec<_>>().windows(2) {
                if field[0].eq_ignore_ascii_case("from") {
                    self.copied(field[1])?;
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

    fn from(&mut self, line: &Line, text: &str) -> Verdict {
        let words = plain_words(text);
        let flags = words.iter().take_while(|word| word.starts_with("--"));
        let platform =
            flags.filter_map(|flag| flag.strip_prefix("--platform=")).find(|platform| !platform.contains('$'));
        let mut plain = words.iter().skip_while(|word| word.starts_with("--"));
        let Some(written) = plain.next() else { return Ok(()) };
        let name = match self.arguments.expand(written) {
            Some(name) => name,
            None if self.place == Where::Apart && !line.is_certain => return Ok(()),
            None if self.place == Where::Apart => written.clone(),
            None => {
                return Err((format!("begins with `{written}`, which is not known before the build"), WRITE_IT_OUT));
            }
        };
        if name != "scratch" && !self.has_ended(&name.to_lowercase()) {
            self.name(name, platform.map(str::to_owned))?;
        }
        if line.is_certain {
            let is_named = plain.next().is_some_and(|word| word.eq_ignore_ascii_case("as"));
            let name = is_named.then(|| plain.next()).flatten().map(|name| name.to_lowercase());
            self.begin(Stage { name });
        }
        Ok(())
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
        let is_plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '@' | '-' | '[' | ']');
        let is_open = self.place == Where::Apart && name.contains('$');
        if !is_open && !name.chars().all(is_plain) {
            return Err((format!("names the image `{name}`, which no registry can have"), MAKE_IT_PLAIN));
        }
        self.images.insert(Image { name, platform });
        Ok(())
    }
}
