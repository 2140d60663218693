//! Inputs made at random of a corpus, for whatever reads bytes of others.
//!
//! A target's corpus is what it is given in code and the files of `tests/fuzz/<target>/`. Every run tries each
//! of them, so that an input that was wrong once stays a test, and then so many that are made of them,
//! always the same ones.
//!
//! `GREENROOM_FUZZ_SECONDS` has each target tried for so long instead, with a seed that is drawn and printed;
//! `GREENROOM_FUZZ_SEED` says which. What is found wrong then is made as small as it gets and kept as a file of
//! the corpus.

use std::any::Any;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

/// What came of an input, in a word or two, of which new ones are worth going on from; or what is wrong.
pub(crate) type Verdict = Result<String, String>;

/// The bytes of an input.
const LONGEST: usize = 16 << 10;
/// Inputs that others are made of.
const MOST_KEPT: usize = 2_000;
/// Nothing that is so short takes so long unless it never ends. Only where there is time for it.
const SLOW: Duration = Duration::from_secs(20);
/// Tries for making an input smaller.
const SHRINKS: usize = 3_000;
/// Time for it: what never ends costs its patience at each try.
const SHRINK_TIME: Duration = Duration::from_mins(2);
/// Where no seed is set.
const EVERYDAY_SEED: u64 = 7;

/// Numbers at the edges of what fits.
const EDGES: [&[u8]; 8] = [
    b"0",
    b"-1",
    b"00000000000000000001",
    b"2147483648",
    b"4294967296",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1e400",
];

/// Something that reads inputs.
pub(crate) struct Target {
    /// The name of the folder with its corpus.
    pub(crate) name: &'static str,
    /// What the corpus has besides.
    pub(crate) seeds: Vec<Vec<u8>>,
    /// What such inputs are made of.
    pub(crate) pieces: &'static [&'static [u8]],
    /// Inputs of a run of every day.
    pub(crate) rounds: usize,
}

/// How long to try, and from where.
struct Budget {
    seed: u64,
    rounds: usize,
    until: Option<Instant>,
}

impl Budget {
    fn of_this_run(rounds: usize) -> Self {
        let seconds = setting("GREENROOM_FUZZ_SECONDS").filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let drawn = || if seconds.is_some() { rand::random() } else { EVERYDAY_SEED };
        let seed = setting("GREENROOM_FUZZ_SEED").unwrap_or_else(drawn);
        Self { seed, rounds, until: seconds.map(|seconds| Instant::now() + seconds) }
    }

    fn goes_on(&self, round: usize) -> bool {
        self.until.map_or(round < self.rounds, |until| Instant::now() < until)
    }
}

fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how long to try is set from outside")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

impl Target {
    /// Fails with the first input of which `judge` says that something is wrong, or on which it panics.
    pub(crate) fn hold(&self, judge: impl Fn(&[u8]) -> Verdict) {
        let budget = Budget::of_this_run(self.rounds);
        // Whoever ends it, because nothing is heard any more, has to know what to begin with.
        let _ = writeln!(std::io::stderr(), "fuzz {}: begins with seed {}", self.name, budget.seed);
        let judge = |input: &[u8]| tried(&judge, input, budget.until.is_some());
        let mut shapes = BTreeSet::new();
        let mut pool = Vec::new();
        for (name, input) in self.corpus() {
            match judge(&input) {
                Ok(shape) => shapes.insert(shape),
                Err(fault) => panic!("{name}: {fault}\n    {}", shown(&input)),
            };
            pool.push(input);
        }
        assert!(!pool.is_empty(), "{} has no corpus", self.name);
        let mut dice = Dice(budget.seed);
        let mut round = 0;
        while budget.goes_on(round) {
            let input = self.made(&mut dice, &pool);
            match judge(&input) {
                Ok(shape) => {
                    if shapes.insert(shape) && pool.len() < MOST_KEPT {
                        pool.push(input);
                    }
                }
                Err(fault) => self.fail(&judge, &budget, round, &input, &fault),
            }
            round += 1;
        }
        let (name, seed, kinds) = (self.name, budget.seed, shapes.len());
        // Whoever listens learns from which seed it goes on.
        let _ = writeln!(std::io::stderr(), "fuzz {name}: seed {seed}, {round} inputs, {kinds} kinds of answers");
        assert!(kinds > 1, "{name}: all inputs are answered alike: they prove little");
    }

    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(self.name)
    }

    fn corpus(&self) -> Vec<(String, Vec<u8>)> {
        let seeds = self.seeds.iter().enumerate().map(|(at, seed)| (format!("seed {at}"), seed.clone()));
        let mut files: Vec<PathBuf> = match std::fs::read_dir(self.folder()) {
            Ok(entries) => entries.map(|entry| entry.expect("an entry").path()).collect(),
            // A corpus may be in code alone.
            Err(_) => Vec::new(),
        };
        files.sort();
        let read = |path: PathBuf| (path.display().to_string(), std::fs::read(&path).expect("readable"));
        seeds.chain(files.into_iter().map(read)).collect()
    }

    /// One of the pool, changed a few times.
    fn made(&self, dice: &mut Dice, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = pool[dice.below(pool.len())].clone();
        for _ in 0..=dice.below(6) {
            let at = dice.below(bytes.len() + 1);
            let until = (at + dice.below(24)).min(bytes.len());
            match dice.below(10) {
                0 => drop(bytes.drain(at..until)),
                1 => {
                    let copy = bytes[at..until].to_vec();
                    let to = dice.below(bytes.len() + 1);
                    drop(bytes.splice(to..to, copy));
                }
                2 => {
                    let other = &pool[dice.below(pool.len())];
                    let from = dice.below(other.len() + 1);
                    let to = (from + dice.below(200)).min(other.len());
                    drop(bytes.splice(at..until, other[from..to].iter().copied()));
                }
                3 => bytes.truncate(at),
                4 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << dice.below(8);
                    }
                }
                5 => with_another_number(&mut bytes, at, EDGES[dice.below(EDGES.len())]),
                6 => {
                    let many = bytes[at..until].repeat(1 << dice.below(7));
                    drop(bytes.splice(at..at, many));
                }
                _ => drop(bytes.splice(at..at, self.pieces[dice.below(self.pieces.len())].iter().copied())),
            }
            bytes.truncate(LONGEST);
        }
        bytes
    }

    fn fail(&self, judge: &impl Fn(&[u8]) -> Verdict, budget: &Budget, round: usize, input: &[u8], fault: &str) -> ! {
        // Before it is made smaller, which takes time: it may be ended meanwhile.
        let first = budget.until.map(|_| self.keep(input));
        let _ = writeln!(std::io::stderr(), "fuzz {}: round {round}: {fault}", self.name);
        let small = smallest(judge, input);
        let fault = judge(&small).err().unwrap_or_else(|| fault.to_owned());
        let kept = first.map_or_else(String::new, |first| {
            let kept = self.keep(&small);
            if kept != first {
                std::fs::remove_file(first).expect("the longer one goes");
            }
            format!("\n    kept as {}", kept.display())
        });
        panic!("fuzz {}: seed {}, round {round}: {fault}\n    {}{kept}", self.name, budget.seed, shown(&small));
    }

    fn keep(&self, input: &[u8]) -> PathBuf {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).expect("a folder for the corpus");
        let path = folder.join(format!("found-{}", hex::encode(&Sha256::digest(input)[..6])));
        std::fs::write(&path, input).expect("a file of the corpus");
        path
    }
}

fn tried(judge: &impl Fn(&[u8]) -> Verdict, input: &[u8], is_timed: bool) -> Verdict {
    let begun = Instant::now();
    let verdict = catch_unwind(AssertUnwindSafe(|| judge(input)));
    let took = begun.elapsed();
    match verdict {
        Ok(Ok(_)) if is_timed && took > SLOW => Err(format!("it took {took:?}")),
        Ok(verdict) => verdict,
        Err(panic) => Err(format!("it panicked: {}", said(panic.as_ref()))),
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// The first number from there on is another one.
fn with_another_number(bytes: &mut Vec<u8>, at: usize, number: &[u8]) {
    let Some(begin) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let length = bytes[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(bytes.splice(begin..begin + length, number.iter().copied()));
}

/// Takes bytes away for as long as something stays wrong.
fn smallest(judge: &impl Fn(&[u8]) -> Verdict, input: &[u8]) -> Vec<u8> {
    let (mut bytes, mut length, mut tries) = (input.to_vec(), input.len(), 0);
    let until = Instant::now() + SHRINK_TIME;
    while length > 0 {
        let mut at = 0;
        while at + length <= bytes.len() && tries < SHRINKS && Instant::now() < until {
            let less = [&bytes[..at], &bytes[at + length..]].concat();
            tries += 1;
            if judge(&less).is_err() {
                bytes = less;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    bytes
}

fn shown(input: &[u8]) -> String {
    let begin = &input[..input.len().min(800)];
    format!("{} bytes: {:?}", input.len(), String::from_utf8_lossy(begin))
}

/// A generator of numbers that stays the same for ever: `SplitMix64`,
/// <https://doi.org/10.1145/2714064.2660195>.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.throw() % count.max(1) as u64).expect("a small number")
    }
}
