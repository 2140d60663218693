//! What an object holds: a line that says whose it is, a line about its content, and the database packed.
//!
//! Guarantees: whatever is not a state of this repository, whole and of a version that is known, is refused
//! in words. `tail -n +3 774.db | gunzip` is the database.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::RepoId;

const FIRST_LINE: &[u8] = b"greenroom state\n";
/// What this version writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// The longest second line.
const LONGEST_HEADER: usize = 64 * 1024;
/// The largest database, unpacked.
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;
/// So many writers are remembered: the ones that wrote last.
const MOST_MARKS: usize = 128;

/// Why an object cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it was written by greenroom {0}, which is newer than this one: run that version or a newer one")]
    Newer(String),
    #[error("it is none of Greenroom's")]
    Foreign,
    #[error("it is the state of repository {0}")]
    Another(u64),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it has {0} bytes, and {MOST_BYTES} are the most")]
    TooLarge(u64),
}

/// One put of one writer: no two have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) writer: String,
    pub(super) put: u64,
}

/// The second line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    format: u32,
    /// The newest step of the tables.
    pub(super) schema: i64,
    /// Of the program that wrote it.
    version: String,
    repository: u64,
    /// Who began it: a state that was removed and begun again is another one.
    pub(super) origin: String,
    /// Counts the puts since it was begun.
    pub(super) number: u64,
    /// The last put of each of the writers that wrote last, the newest first.
    marks: Vec<Mark>,
    size: u64,
    /// Of the database.
    sha256: String,
}

impl Header {
    /// Of a state that is begun.
    pub(super) fn first(repo: RepoId, schema: i64, mark: Mark) -> Self {
        let origin = format!("{}-{}", mark.writer, mark.put);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let repository = repo.0;
        let marks = vec![mark];
        Self { format: FORMAT, schema, version, repository, origin, number: 1, marks, size: 0, sha256: String::new() }
    }

    /// Of what is made from this one.
    pub(super) fn next(&self, schema: i64, mark: &Mark) -> Self {
        let others = self.marks.iter().filter(|other| other.writer != mark.writer).cloned();
        let marks = std::iter::once(mark.clone()).chain(others).take(MOST_MARKS).collect();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, schema, version, number: self.number + 1, marks, ..self.clone() }
    }

    /// Whether it is that put, or made from it.
    pub(super) fn follows(&self, mark: &Mark) -> bool {
        self.marks.iter().any(|known| known.writer == mark.writer && known.put >= mark.put)
    }
}

/// What every version's second line says.
#[derive(Deserialize)]
struct Version {
    format: u32,
    schema: i64,
    #[serde(rename = "version")]
    program: String,
}

/// Packs a database.
pub(super) fn encode(mut header: Header, image: &[u8]) -> Result<Vec<u8>, Unreadable> {
    if image.len() > MOST_BYTES {
        return Err(Unreadable::TooLarge(image.len() as u64));
    }
    header.size = image.len() as u64;
    header.sha256 = hex::encode(Sha256::digest(image));
    let mut bytes = FIRST_LINE.to_vec();
    let written = serde_json::to_writer(&mut bytes, &header).map_err(std::io::Error::from).and_then(|()| {
        bytes.push(b'\n');
        let mut packed = GzEncoder::new(bytes, Compression::fast());
        packed.write_all(image)?;
        packed.finish()
    });
    written.map_err(|error| Unreadable::Damaged(error.to_string()))
}

/// Unpacks the database of a repository. `schema` is the newest that is known.
pub(super) fn decode(bytes: &[u8], repo: RepoId, schema: i64) -> Result<(Header, Vec<u8>), Unreadable> {
    let damaged = |what: &str| Unreadable::Damaged(what.to_owned());
    let rest = bytes.strip_prefix(FIRST_LINE).ok_or(Unreadable::Foreign)?;
    let end = rest.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n');
    let (line, packed) = rest.split_at(end.ok_or_else(|| damaged("its second line has no end"))?);
    let unread = |_| damaged("its second line cannot be read");
    let version: Version = serde_json::from_slice(line).map_err(unread)?;
    if version.format > FORMAT || version.schema > schema {
        return Err(Unreadable::Newer(shown(&version.program)));
    }
    let header: Header = serde_json::from_slice(line).map_err(unread)?;
    if header.repository != repo.0 {
        return Err(Unreadable::Another(header.repository));
    }
    if header.size > MOST_BYTES as u64 {
        return Err(Unreadable::TooLarge(header.size));
    }
    let mut image = Vec::with_capacity(usize::try_from(header.size).unwrap_or_default());
    // One byte more than it says, so that more than it says is seen.
    let mut unpacked = GzDecoder::new(&packed[1..]).take(header.size + 1);
    unpacked.read_to_end(&mut image).map_err(|_| damaged("it cannot be unpacked"))?;
    if image.len() as u64 != header.size || hex::encode(Sha256::digest(&image)) != header.sha256 {
        return Err(damaged("its content is not what was written"));
    }
    Ok((header, image))
}

/// A version as it may be shown, whoever wrote it.
fn shown(version: &str) -> String {
    version.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+')).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPO: RepoId = RepoId(774);

    fn mark(writer: &str, put: u64) -> Mark {
        Mark { writer: writer.to_owned(), put }
    }

    fn packed() -> Vec<u8> {
        encode(Header::first(REPO, 9, mark("a", 1)), &[7; 5000]).expect("it is packed")
    }

    /// The object with another second line.
    fn with(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let bytes = packed();
        let rest = &bytes[FIRST_LINE.len()..];
        let end = rest.iter().position(|byte| *byte == b'\n').expect("a line");
        let mut header = serde_json::from_slice(&rest[..end]).expect("JSON");
        change(&mut header);
        [FIRST_LINE, header.to_string().as_bytes(), &rest[end..]].concat()
    }

    #[test]
    fn what_is_packed_comes_back() {
        let (header, image) = decode(&packed(), REPO, 9).expect("it is read");
        assert_eq!((image, header.number, header.schema), (vec![7; 5000], 1, 9));
        assert!(packed().len() < 1000, "it is packed");
    }

    #[test]
    fn what_is_newer_is_refused_whatever_else_its_line_says() {
        let newer = Err(Unreadable::Newer("9.1.0".to_owned()));
        let of = |bytes: &[u8]| decode(bytes, REPO, 9).map(drop);
        assert_eq!(of(&with(|line| (line["format"], line["version"]) = (2.into(), "9.1.0".into()))), newer);
        assert_eq!(of(&with(|line| (line["schema"], line["version"]) = (10.into(), "9.1.0".into()))), newer);
        let other = br#"greenroom state
{"format":7,"schema":1,"version":"9.1.0","more":[1]}
x"#;
        assert_eq!(of(other), newer);
    }

    #[test]
    fn nothing_else_passes_for_a_state() {
        let of = |bytes: &[u8]| decode(bytes, REPO, 9).map(drop).expect_err("it is refused");
        assert_eq!(of(b""), Unreadable::Foreign);
        assert_eq!(of(b"SQLite format 3\0"), Unreadable::Foreign);
        assert_eq!(of(&with(|line| line["repository"] = 775.into())), Unreadable::Another(775));
        assert_eq!(of(&with(|line| line["size"] = u64::MAX.into())), Unreadable::TooLarge(u64::MAX));
        for bytes in [
            with(|line| line["size"] = 4999.into()),
            with(|line| line["size"] = 5001.into()),
            with(|line| line["sha256"] = "00".into()),
            with(|line| *line = serde_json::Value::Null),
            [FIRST_LINE, &vec![b'x'; LONGEST_HEADER + 1]].concat(),
        ] {
            assert!(matches!(of(&bytes), Unreadable::Damaged(_)), "{:?}", of(&bytes));
        }
        let whole = packed();
        for cut in 0..whole.len() {
            of(&whole[..cut]);
            let mut flipped = whole.clone();
            flipped[cut] ^= 0x20;
            // The packer's own header holds bytes that mean nothing.
            if let Ok((_, image)) = decode(&flipped, REPO, 9) {
                assert_eq!(image, [7; 5000], "byte {cut}");
            }
        }
    }

    #[test]
    fn a_put_is_known_as_long_as_few_others_wrote_since() {
        let mut header = Header::first(REPO, 9, mark("a", 1));
        for put in 2..200 {
            header = header.next(9, &mark("b", put));
        }
        assert!(header.follows(&mark("a", 1)) && header.follows(&mark("b", 7)) && !header.follows(&mark("a", 2)));
        assert_eq!((header.number, header.marks.len()), (199, 2));
        for writer in 0..MOST_MARKS {
            header = header.next(9, &mark(&writer.to_string(), 1));
        }
        assert!(!header.follows(&mark("a", 1)) && header.follows(&mark("0", 1)));
        assert_eq!(header.marks.len(), MOST_MARKS);
    }
}
