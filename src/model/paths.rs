//! Patterns of paths, as people write them, and which files they mean.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// Which files concern somebody who names them by patterns.
///
/// - A pattern begins at the top of the repository, with or without `./` or `/`. It means a file, or a folder
///   with everything in it, with or without `/` at its end; `*` and `**` stand for any run of characters.
/// - `!` before a pattern takes files away again. The last pattern that means a file decides; where the
///   first takes away, everything counts that none takes away.
/// - Brackets stand for one of the characters in them, and for themselves where there is a word in them,
///   as in `app/[slug]/page.tsx`.
#[derive(Debug, Clone)]
pub struct PathFilter {
    set: GlobSet,
    /// What each glob of the set says, in the order of the patterns.
    senses: Vec<Sense>,
    /// What holds for a file that no pattern means.
    otherwise: Sense,
}

/// What a pattern says of the files that it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    Counts,
    CountsNot,
}

impl PathFilter {
    /// Refuses what is no pattern, and patterns that are too many or too long to be looked for.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, globset::Error> {
        let (mut set, mut senses) = (GlobSetBuilder::new(), Vec::new());
        for pattern in patterns {
            let (sense, text) = sense_of(pattern.as_ref());
            for glob in globs(sense, text)? {
                set.add(glob);
                senses.push(sense);
            }
        }
        let takes_first = patterns.first().is_some_and(|first| sense_of(first.as_ref()).0 == Sense::CountsNot);
        let otherwise = if takes_first { Sense::Counts } else { Sense::CountsNot };
        Ok(Self { set: set.build()?, senses, otherwise })
    }

    /// Whether a file counts, by its path from the top of the repository.
    pub fn concerns(&self, file: &str) -> bool {
        let last = self.set.matches(file).into_iter().max();
        last.map_or(self.otherwise, |index| self.senses[index]) == Sense::Counts
    }
}

/// The pattern without its `!`.
fn sense_of(pattern: &str) -> (Sense, &str) {
    pattern.strip_prefix('!').map_or((Sense::Counts, pattern), |rest| (Sense::CountsNot, rest))
}

/// Everything that one pattern means; an error where that is nothing.
fn globs(sense: Sense, text: &str) -> Result<Vec<Glob>, globset::Error> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    // `.` and `./`
    let base = if parts.is_empty() { "**".to_owned() } else { parts.join("/") };
    let is_folder = text.ends_with('/') && !base.ends_with("**");
    let (mut made, mut flaw) = (Vec::new(), None);
    for base in spellings(sense, base) {
        let inside = (is_folder || !base.ends_with('*')).then(|| format!("{base}/**"));
        let itself = (!is_folder).then_some(base);
        for glob in itself.into_iter().chain(inside) {
            match GlobBuilder::new(&glob).backslash_escape(true).build() {
                Ok(glob) => made.push(glob),
                Err(error) => flaw = Some(error),
            }
        }
    }
    match flaw {
        // `[user-id]` is no class, and still a folder.
        Some(flaw) if made.is_empty() => Err(flaw),
        _ => Ok(made),
    }
}

/// The pattern with its brackets as a class, as themselves, or both.
fn spellings(sense: Sense, base: String) -> Vec<String> {
    // A backslash says which brackets are meant as themselves.
    if base.contains('\\') {
        return vec![base];
    }
    let (words, names) = (with_literal(&base, is_word), with_literal(&base, is_name));
    let mut all = match sense {
        Sense::Counts => vec![base, words, names],
        // Whoever takes a folder away does not take its neighbours.
        Sense::CountsNot => vec![words, names],
    };
    all.dedup();
    all
}

/// The pattern with those brackets as themselves around which `is_literal` stands; a bracket that
/// nothing opened stands for itself anyway.
fn with_literal(base: &str, is_literal: fn(&str) -> bool) -> String {
    let mut out = String::new();
    for (at, c) in base.char_indices() {
        if c == '[' && base[at + 1..].split_once(']').is_some_and(|(inside, _)| is_literal(inside)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether this can stand in brackets as a name: `id`, but not `0-9`, `!a`, or `a-zA-Z_`.
fn is_name(inside: &str) -> bool {
    let chars: Vec<char> = inside.chars().collect();
    let are_ranges = chars.len().is_multiple_of(3) && chars.chunks(3).all(|range| range[1] == '-');
    let has_range = ["0-9", "a-z", "A-Z"].iter().any(|range| inside.contains(range));
    let is_class = are_ranges || has_range || inside.starts_with(['!', '^']);
    !is_class && chars.iter().any(|c| c.is_alphanumeric())
}

/// Whether nobody means one of these characters alone, as with `*.[tj]s` or `v[123]`.
fn is_word(inside: &str) -> bool {
    is_name(inside) && inside.chars().count() > 2 && inside.contains(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(patterns: &[&str], files: &[&'static str]) -> Vec<&'static str> {
        let filter = PathFilter::new(patterns).unwrap_or_else(|error| panic!("{patterns:?}: {error}"));
        files.iter().copied().filter(|file| filter.concerns(file)).collect()
    }

    const FILES: [&str; 8] = [
        "web/index.html",
        "web/a/b.ts",
        "web",
        "website/index.html",
        "docs/web/index.md",
        "README.md",
        ".github/greenroom.yml",
        "web.ts",
    ];

    #[test]
    fn a_folder_is_meant_however_it_is_written() {
        let inside = ["web/index.html", "web/a/b.ts"];
        for pattern in
            ["web/**", "./web/**", "/web/**", "web/", "./web/", "web//", "./web/./**", "web/**/", "web/*", "web/**/*"]
        {
            assert_eq!(meant(&[pattern], &FILES), inside, "{pattern}");
        }
        for pattern in ["web", "./web"] {
            assert_eq!(meant(&[pattern], &FILES), ["web/index.html", "web/a/b.ts", "web"], "{pattern}");
        }
        for pattern in [".", "./", "**", "*", "./**"] {
            assert_eq!(meant(&[pattern], &FILES), FILES, "{pattern}");
        }
        assert_eq!(meant(&["./README.md"], &FILES), ["README.md"]);
        assert_eq!(meant(&[".github"], &FILES), [".github/greenroom.yml"]);
        assert_eq!(meant(&["{web,docs}/"], &FILES), ["web/index.html", "web/a/b.ts", "docs/web/index.md"]);
        assert_eq!(meant(&["web/*/"], &FILES), ["web/a/b.ts"]);
        assert_eq!(meant(&[], &FILES), [""; 0]);
    }

    #[test]
    fn brackets_around_a_word_are_a_name_too() {
        let files = [
            "app/[slug]/page.tsx",
            "app/s/page.tsx",
            "app/[...slug]/page.tsx",
            "app/[[...slug]]/page.tsx",
            "app/[user-id]/page.tsx",
            "app/7/page.tsx",
            "app/x/page.tsx",
        ];
        for (pattern, file) in [
            ("app/[slug]/page.tsx", "app/[slug]/page.tsx"),
            ("app/[slug]/**", "app/[slug]/page.tsx"),
            ("app/[slug]", "app/[slug]/page.tsx"),
            ("./app/[...slug]/", "app/[...slug]/page.tsx"),
            ("app/[[...slug]]/page.tsx", "app/[[...slug]]/page.tsx"),
            ("app/[user-id]/*", "app/[user-id]/page.tsx"),
            ("app/\\[slug\\]/*", "app/[slug]/page.tsx"),
        ] {
            assert!(meant(&[pattern], &files).contains(&file), "{pattern}");
        }
        assert!(meant(&["app/[slug]/**"], &files).contains(&"app/s/page.tsx"), "and a class");
        assert_eq!(meant(&["app/[0-9]/**"], &files), ["app/7/page.tsx"]);
        assert_eq!(meant(&["app/[!0-9]/**"], &files), ["app/s/page.tsx", "app/x/page.tsx"]);
        let others = meant(&["app/**", "!app/[slug]/**"], &files);
        assert!(others.contains(&"app/s/page.tsx") && !others.contains(&"app/[slug]/page.tsx"), "{others:?}");
    }

    #[test]
    fn brackets_that_may_be_both_are_both_and_a_class_beside_a_name_stays_one() {
        let files =
            ["app/[id]/page.tsx", "app/[x]/a/[123]/a", "app/[slug]/v1/x", "v7/a", "v_/a", "lib/a.ts", "lib/a.js"];
        for (pattern, file) in [
            ("app/[id]/**", files[0]),
            ("app/[x]/a", files[1]),
            ("app/*/a/[123]/", files[1]),
            ("app/[slug]/v[0-9]/**", files[2]),
            ("app/[slug]/v[12]/x", files[2]),
        ] {
            assert_eq!(meant(&[pattern], &files), [file], "{pattern}");
        }
        assert_eq!(meant(&["!v[a-z0-9_]/**", "!lib/*.[tj]s"], &files), &files[..3]);
        assert_eq!(meant(&["app/**", "!app/[id]/**"], &files), &files[1..3]);
        assert_eq!(meant(&["app/**", "!app/[slug]/v[12]/"], &files), &files[..2]);
        for pattern in ["[slug]/[x", "app/[id]/["] {
            assert!(PathFilter::new(&[pattern]).is_err(), "{pattern}");
        }
    }

    #[test]
    fn what_is_taken_away_does_not_count() {
        let all_but_docs = [
            "web/index.html",
            "web/a/b.ts",
            "web",
            "website/index.html",
            "README.md",
            ".github/greenroom.yml",
            "web.ts",
        ];
        for patterns in [&["!docs/**"][..], &["!docs"], &["!./docs/"], &["**", "!docs/**"]] {
            assert_eq!(meant(patterns, &FILES), all_but_docs, "{patterns:?}");
        }
        assert_eq!(meant(&["web/**", "!web/a/**"], &FILES), ["web/index.html"]);
        assert_eq!(
            meant(&["web/**", "!web/**/*.ts", "web/a/b.ts"], &FILES),
            ["web/index.html", "web/a/b.ts"],
            "the last decides"
        );
        assert_eq!(meant(&["!**/*.md", "docs/**"], &FILES).len(), 7);
        assert_eq!(meant(&["\\!docs/**"], &["!docs/a"]), ["!docs/a"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["[", "{a", "a}", "web/[x"] {
            assert!(PathFilter::new(&[pattern]).is_err(), "{pattern}");
        }
    }
}
