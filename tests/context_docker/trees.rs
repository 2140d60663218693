//! Sources with ignore files, drawn by a fixed seed: what people write, and what nobody would.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A generator of numbers that stays the same for ever: `SplitMix64`,
/// <https://doi.org/10.1145/2714064.2660195>.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.throw() % count.max(1) as u64).expect("a small number")
    }

    /// True so many times in a hundred.
    fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const PLAIN: [&[u8]; 22] = [
    b"a",
    b"b",
    b"c",
    b"ab",
    b"abc",
    b"a.b",
    b"x.log",
    b"y.log",
    b"keep",
    b"README.md",
    b"NOTES.md",
    b"main.rs",
    b"src",
    b"web",
    b"doc",
    b"dist",
    b"node_modules",
    b"temp1",
    b".git",
    b".env",
    b"Dockerfile",
    b".dockerignore",
];

const LONG: [u8; 130] = [b'l'; 130];

const ODD: [&[u8]; 26] = [
    b"a b",
    b" lead",
    b"trail ",
    b"#hash",
    b"!bang",
    b"[x]",
    b"x*y",
    b"q?",
    b"back\\slash",
    "\u{fc}n\u{ef}".as_bytes(),
    "u\u{308}".as_bytes(),
    "\u{feff}bom".as_bytes(),
    "wide\u{3000}".as_bytes(),
    b"caf\xe9",
    b"\xff\xfe",
    b"\xe2\x82",
    b"new\nline",
    b"tab\t",
    b"cr\r",
    b"-dash",
    b"..a",
    b"a..",
    b"...",
    b".wh.a",
    b"$x{1}(y)|z+^",
    &LONG,
];

/// Whole rules that a walk over the names of a tree does not come to.
const RULES: [&[u8]; 58] = [
    b"*",
    b"**",
    b"!*",
    b"!**",
    b"*\n!keep",
    b"*\n!*/keep",
    b"*\n!**/keep",
    b"*\n!src",
    b"*\n!src/**",
    b"*\n!src/*.rs",
    b".",
    b"..",
    b"/",
    b"./",
    b"../",
    b"/..",
    b"../..",
    b"#comment",
    b" #not a comment",
    b"",
    b" ",
    b"!/src",
    b"./!keep",
    b"././ src",
    b"!../src",
    b"! src",
    b"!src/",
    b"***",
    b"****",
    b"**a",
    b"a**",
    b"a**b",
    b"**/*/**",
    b"**/**",
    b"*/**",
    b"**/*.log",
    b"**/.*",
    b"?",
    b"??",
    b"*?",
    b"[a-c]",
    b"[!a]*",
    b"[^a]*",
    b"[[:alpha:]]*",
    b"[a-]x",
    b"[]a]",
    b"[a",
    b"[b-a]*",
    b"[*]x",
    b"[?]x",
    b"[**/]",
    b"[\\]]*",
    b"^a",
    b"a^",
    b"\\d",
    b"\\w*",
    b"a\\",
    b".*",
];

/// A source on disk with what was drawn for it.
pub(crate) struct Tree {
    pub(crate) folder: PathBuf,
    /// Relative to the folder.
    pub(crate) dockerfile: String,
    /// For the message of a failure.
    pub(crate) ignore: Vec<u8>,
    /// Whether a layer can hold it: what is called `.wh.` and something else says there that the
    /// something else is gone.
    pub(crate) fits_a_layer: bool,
}

impl Tree {
    /// Draws one and writes it; `number` makes it another one than all others.
    pub(crate) fn draw(dice: &mut Dice, folder: PathBuf, number: usize) -> Self {
        fs::create_dir_all(&folder).expect("a folder");
        let mut paths = BTreeSet::new();
        let mut folders = vec![PathBuf::new()];
        for _ in 0..4 + dice.below(12) {
            let inside = folders[dice.below(folders.len())].clone();
            let name = if dice.percent(20) { dice.pick(&ODD) } else { dice.pick(&PLAIN) };
            let path = inside.join(OsStr::from_bytes(name));
            if path == Path::new(".dockerignore") || path == Path::new("Dockerfile") || !paths.insert(path.clone()) {
                continue;
            }
            if make(dice, &folder.join(&path), number) {
                folders.push(path);
            }
        }
        let dockerfile = if dice.percent(10) { "build/Dockerfile" } else { "Dockerfile" };
        fs::create_dir_all(folder.join("build")).expect("a folder");
        fs::write(folder.join(dockerfile), format!("FROM scratch\nWORKDIR /made\nCOPY . /\nLABEL number={number}\n"))
            .expect("a file");
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let ignore = ignore(dice, &paths);
        if dice.percent(97) {
            fs::write(folder.join(".dockerignore"), &ignore).expect("a file");
        }
        if dice.percent(15) {
            fs::write(folder.join("Dockerfile.dockerignore"), "*\n").expect("a file");
        }
        let is_whiteout = |path: &PathBuf| path.iter().any(|part| part.as_bytes().starts_with(b".wh."));
        let fits_a_layer = !paths.iter().any(is_whiteout);
        Self { folder, dockerfile: dockerfile.to_owned(), ignore, fits_a_layer }
    }
}

/// Makes a file, a link or a folder; whether it is a folder.
fn make(dice: &mut Dice, path: &Path, number: usize) -> bool {
    match dice.below(10) {
        0..3 => fs::create_dir(path).expect("a folder"),
        3 => {
            let long = "../up/".repeat(30);
            let target = dice.pick(&["a", "missing", "..", "a//b/./c/", ".", "/etc", &long]);
            symlink(target, path).expect("a link");
        }
        kind => {
            fs::write(path, format!("{number}")).expect("a file");
            if kind == 4 {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file");
            }
        }
    }
    path.is_dir() && !path.is_symlink()
}

/// Draws an ignore file for these paths.
fn ignore(dice: &mut Dice, paths: &[PathBuf]) -> Vec<u8> {
    let end = if dice.percent(20) { b"\r\n".as_slice() } else { b"\n" };
    let mut text = if dice.percent(8) { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
    for _ in 0..=dice.below(6) {
        let rule = match dice.below(10) {
            0..2 => dice.pick(&RULES).to_vec(),
            2 => {
                let build = ["Dockerfile", ".dockerignore", "Dockerfile*", "**/Dockerfile", ".*", "build", "!build"];
                dice.pick(&build).as_bytes().to_vec()
            }
            _ if paths.is_empty() => b"a".to_vec(),
            _ => {
                let path = &paths[dice.below(paths.len())];
                altered(dice, path)
            }
        };
        text.extend(rule);
        text.extend(end);
    }
    if dice.percent(20) {
        text.truncate(text.len() - end.len());
    }
    text
}

/// A rule for a path, or for something near it.
fn altered(dice: &mut Dice, path: &Path) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = path.iter().map(|part| part.as_bytes().to_vec()).collect();
    if dice.percent(25) {
        parts.pop();
    }
    for part in &mut parts {
        let name = part.clone();
        let half = name.len() / 2;
        *part = match dice.below(20) {
            0..2 => b"*".to_vec(),
            2 => b"**".to_vec(),
            3 => [&name[..half], b"*"].concat(),
            4 => [b"*", &name[half..]].concat(),
            5 => [&name[..half], b"?", name.get(half + 1..).unwrap_or_default()].concat(),
            6 => [b"[", &name[..1], b"-z]", &name[1..]].concat(),
            7 => [b"[^", &name[..1], b"]", &name[1..]].concat(),
            8 => [b"\\", name.as_slice()].concat(),
            9 => [b"**", &name[half..]].concat(),
            10 => [&name[..half], b"**", &name[half..]].concat(),
            _ => name,
        };
    }
    let rule = parts.join(b"/".as_slice());
    let before: [&[u8]; 9] = [b"/", b"./", b"../", b"**/", b"*/", b" ", b"/../", b"x/../", "\u{a0}".as_bytes()];
    let after: [&[u8]; 10] = [b"/", b"/**", b"/*", b"/.", b"/..", b" ", b"\t", b"//", b"**", "\u{3000}".as_bytes()];
    let before = if dice.percent(35) { dice.pick(&before) } else { b"" };
    let after = if dice.percent(35) { dice.pick(&after) } else { b"" };
    let mark: &[u8] = if dice.percent(30) { b"!" } else { b"" };
    [mark, before, &rule, after].concat()
}
