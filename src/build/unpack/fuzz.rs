//! Archives made at random: whatever they say, nothing gets out, and what is taken keeps to its limits.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;

use super::super::fuzz::{Target, Verdict};
use super::*;

const LIMITS: UnpackLimits =
    UnpackLimits { total_bytes: 64 << 10, entries: 20, path_bytes: 120, name_bytes: 800, depth: 8 };
const BLOCK: usize = 512;
/// Source: Linux, `path_resolution(7)`: at most 40 links on one way.
const MOST_LINKS: usize = 40;

const PIECES: &[&[u8]] = &[
    b"../",
    b"/",
    b"./",
    b"..",
    b"//",
    b"shop-1/",
    b"shop-1/a",
    b"/etc/passwd",
    b"ustar\x0000",
    b"ustar  \x00",
    b"\0",
    b"\0\0\0\0\0\0\0\0",
    b"0",
    b"1",
    b"2",
    b"5",
    b"x",
    b"g",
    b"L",
    b"K",
    b"S",
    b"7777777",
    b"\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"17 path=shop-1/a\n",
    b"21 path=../../escape\n",
    b"22 linkpath=/etc/shadow\n",
    b"12 size=9999\n",
    b"\xff\xfe",
    b"\n",
];

#[test]
fn no_archive_gets_out_of_its_folder_or_over_its_limits() {
    Target { name: "archives", seeds: Vec::new(), pieces: PIECES, rounds: 600 }.hold(judge);
}

/// As it is, with headers whose sums are right, and as if it were what it says to be inside of.
fn judge(tar: &[u8]) -> Verdict {
    let archives = [zipped(tar), zipped(&summed(tar)), tar.to_vec()];
    archives
        .iter()
        .map(|archive| unpacked(archive))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map(|all| all.join("; "))
}

fn zipped(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(tar).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// The same with the sum of each header put right: a reader ends at the first that is not.
fn summed(tar: &[u8]) -> Vec<u8> {
    let mut bytes = tar.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    let mut at = 0;
    while at + BLOCK <= bytes.len() {
        let mut header = Header::from_byte_slice(&bytes[at..at + BLOCK]).clone();
        if header.as_bytes().iter().any(|byte| *byte != 0) {
            header.set_cksum();
            bytes[at..at + BLOCK].copy_from_slice(header.as_bytes());
        }
        let body = header.entry_size().ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        at += BLOCK + body.min(bytes.len()).next_multiple_of(BLOCK);
    }
    bytes
}

fn unpacked(archive: &[u8]) -> Verdict {
    let world = tempfile::tempdir().expect("a temporary folder");
    let yard = world.path().join("yard");
    let house = yard.join("house");
    fs::create_dir_all(&house).expect("a folder");
    let result = unpack(archive, &house, &LIMITS, &Demand::lasting());
    for (place, own) in [(world.path(), "yard"), (&*yard, "house")] {
        let mut entries = fs::read_dir(place).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        if let Some(other) = entries.find(|name| name != own) {
            return Err(format!("{other:?} is outside"));
        }
    }
    let mut found = Found::default();
    found.walk(&house, &house, 0)?;
    match result {
        Ok(()) if found.things > LIMITS.entries || found.bytes > LIMITS.total_bytes => {
            Err(format!("{found:?} is more than {LIMITS:?}"))
        }
        Ok(()) => Ok(format!("{} things", found.things)),
        // The rule without what it is said of.
        Err(UnpackError::Refused(reason)) => Ok(reason.split(['`', ':']).next().unwrap_or_default().to_owned()),
        Err(UnpackError::Broken(_)) => Ok("broken".to_owned()),
        Err(error @ UnpackError::Write { .. }) => Err(format!("it is this machine's fault: {error}")),
    }
}

/// What an archive became.
#[derive(Debug, Default)]
struct Found {
    things: u64,
    bytes: u64,
}

impl Found {
    fn walk(&mut self, house: &Path, folder: &Path, depth: usize) -> std::result::Result<(), String> {
        if depth > LIMITS.depth {
            return Err(format!("{} is deeper than {}", folder.display(), LIMITS.depth));
        }
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let meta = fs::symlink_metadata(&path).expect("what was listed is there");
            self.things += 1;
            if meta.is_dir() {
                self.walk(house, &path, depth + 1)?;
            } else if meta.is_symlink() {
                stays_inside(house, &path)?;
            } else if meta.is_file() {
                self.bytes += meta.len();
                // Nobody else may write it, and it gives nobody its owner's rights.
                if meta.nlink() != 1 || meta.mode() & 0o7022 != 0 {
                    return Err(format!("{} has {} names and mode {:o}", path.display(), meta.nlink(), meta.mode()));
                }
            } else {
                return Err(format!("{} is neither file, folder nor link", path.display()));
            }
        }
        Ok(())
    }
}

/// A link leads to something in the house, or to nothing, by a way that never leaves it.
fn stays_inside(house: &Path, link: &Path) -> std::result::Result<(), String> {
    let own = link.strip_prefix(house).expect("it is in the house");
    let mut here: Vec<OsString> = Vec::new();
    let mut ahead: VecDeque<OsString> = own.iter().map(OsStr::to_owned).collect();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == ".." && here.pop().is_none() || part == "/" {
            return Err(format!("{} leads out", link.display()));
        }
        if part == ".." || part == "." {
            continue;
        }
        here.push(part);
        let Ok(target) = fs::read_link(house.join(here.iter().collect::<PathBuf>())) else { continue };
        links += 1;
        if links > MOST_LINKS {
            // Round and round leads nowhere.
            return Ok(());
        }
        here.pop();
        for part in target.iter().rev() {
            ahead.push_front(part.to_owned());
        }
    }
    Ok(())
}
