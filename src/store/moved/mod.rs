//! One repository, taken out of a database and put into another: what the engine needs to go on where it was.
//!
//! # Guarantees
//!
//! - What is put in is all of it, in one transaction, or nothing.
//! - It takes the place of an earlier moment of the same history and of nothing else: not of a later moment, not of
//!   another history, not of what somebody is at work on.
//! - Fences, bells and the numbers of deploys, deliveries and entries only rise by it.
//!
//! | file | purpose |
//! |---|---|
//! | `tables` | what belongs to a repository |
//! | `out`, `into` | taking it out; putting it in |
//! | `places` | databases, objects and folders that it is moved between |

mod into;
mod out;
mod places;
mod tables;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

pub use places::{MovePlace, export, import};

use super::OpenError;
use crate::model::RepoId;
use crate::port::PortError;

/// What this version writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// The largest file, unpacked.
const MOST_BYTES: u64 = 1024 * 1024 * 1024;

/// Why a repository was not moved. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("nothing is known there of repository {0}")]
    NotThere(String),
    #[error("the file was written by greenroom {0}, which is newer than this one: run that version or a newer one")]
    Newer(String),
    #[error("the file holds no repository of Greenroom's: {0}")]
    Unreadable(String),
    #[error(
        "a run or a server is at work on {0}: stop it, or wait until it is done, for at most a minute after it was killed"
    )]
    Held(String),
    #[error("what is there is newer than what is to be put in ({0}): export it from there instead")]
    Ahead(String),
    #[error("what is there of this repository has another history than what is to be put in: nothing is put over it")]
    Another,
    #[error("repository {number} is known there as {there}, and the file calls it {file}")]
    OtherKey { number: u64, there: String, file: String },
    #[error("another repository is known there as {0}")]
    KeyTaken(String),
    #[error("the host {host} belongs there to {stage}: take that stage down first")]
    HostTaken { host: String, stage: String },
    #[error("the database does not take this")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Cell {
    Null,
    Number(i64),
    /// Also bytes, hexadecimal.
    Text(String),
}

impl Cell {
    fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// A repository outside of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    format: u32,
    /// The newest step of the tables.
    schema: i64,
    version: String,
    repository: u64,
    key: String,
    tables: BTreeMap<String, Vec<Vec<Cell>>>,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
    schema: i64,
    #[serde(rename = "version")]
    program: String,
}

impl Moved {
    /// GitHub's number of it.
    pub fn repository(&self) -> RepoId {
        RepoId(self.repository)
    }

    /// As what it is known.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How many rows of each table it has.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        self.tables.iter().map(|(name, rows)| (name.as_str(), rows.len())).collect()
    }

    /// Writes it to a file.
    pub fn write(&self, file: impl Write) -> std::io::Result<()> {
        let mut packed = GzEncoder::new(file, Compression::default());
        serde_json::to_writer(&mut packed, self)?;
        packed.finish()?.flush()
    }

    /// Reads it from a file.
    pub fn read(file: impl Read) -> Result<Self, MoveError> {
        let unreadable = |error: &dyn std::fmt::Display| MoveError::Unreadable(error.to_string());
        let mut text = Vec::new();
        GzDecoder::new(file).take(MOST_BYTES).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        let version: Version = serde_json::from_slice(&text).map_err(|error| unreadable(&error))?;
        if version.format > FORMAT || version.schema > tables::schema() {
            return Err(MoveError::Newer(version.program));
        }
        let moved: Self = serde_json::from_slice(&text).map_err(|error| unreadable(&error))?;
        tables::check(&moved).map_err(MoveError::Unreadable)?;
        Ok(moved)
    }

    fn rows(&self, table: &str) -> &[Vec<Cell>] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }
}
