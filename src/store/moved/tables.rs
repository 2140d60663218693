//! What belongs to one repository, table by table.

use std::collections::BTreeSet;

use super::{Cell, Moved};
use crate::store::sqlite;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Bytes,
}
use Kind::{Bytes, Number, Text};

/// A table, as far as it is moved.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    /// Which rows are the repository's; `$1` is its key, `$2` its number.
    pub(super) own: &'static str,
    /// Names a row to its like elsewhere, and gives the order in which rows are written.
    pub(super) order: &'static str,
    /// Whether the first column counts the rows of all repositories.
    pub(super) counted: Counted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    No,
    Yes,
    /// It names a deploy.
    ByDeploy,
}

macro_rules! own_stages {
    ($column:literal) => {
        concat!("substr(", $column, ", 1, length($1) + 1) = $1 || '/' AND $2 > 0")
    };
}

/// In an order in which they can be written.
pub(super) static TABLES: [Table; 17] = [
    Table {
        name: "account",
        columns: &[("login", Text), ("id", Number)],
        own: "id IN (SELECT owner FROM repository WHERE key = $1 AND id = $2)",
        order: "login",
        counted: Counted::No,
    },
    Table {
        name: "repository",
        columns: &[("id", Number), ("key", Text), ("name", Text), ("owner", Number), ("rumour", Text)],
        own: "key = $1 AND id = $2",
        order: "id",
        counted: Counted::No,
    },
    Table {
        name: "lane",
        columns: &[
            ("key", Text),
            ("bell", Number),
            ("wake_at", Number),
            ("fence", Number),
            ("lease_until", Number),
            ("attempts", Number),
        ],
        own: "party = $1 AND $2 > 0",
        order: "key",
        counted: Counted::No,
    },
    Table {
        name: "inbox",
        columns: &[
            ("seq", Number),
            ("id", Text),
            ("body", Bytes),
            ("lane", Text),
            ("state", Number),
            ("at", Number),
            ("content", Text),
            ("reason", Text),
        ],
        own: "lane = 'repo:' || $1 AND $2 > 0",
        order: "seq",
        counted: Counted::Yes,
    },
    Table {
        name: "stage",
        columns: &[
            ("repo", Text),
            ("name", Text),
            ("subject", Text),
            ("target", Text),
            ("generation", Number),
            ("status", Text),
            ("approval", Text),
            ("lock", Text),
            ("touched_at", Number),
            ("expires_at", Number),
            ("place", Text),
            ("asked", Text),
            ("settled", Number),
            ("queue", Text),
            ("keep_until", Number),
            ("conditions", Text),
        ],
        own: "repo = $1 AND $2 > 0",
        order: "name",
        counted: Counted::No,
    },
    Table {
        name: "deploy",
        columns: &[
            ("id", Number),
            ("stage", Text),
            ("generation", Number),
            ("plan", Text),
            ("started_at", Number),
            ("ended_at", Number),
            ("outcome", Text),
        ],
        own: own_stages!("stage"),
        order: "id",
        counted: Counted::Yes,
    },
    Table {
        name: "step_log",
        columns: &[
            ("deploy", Number),
            ("seq", Number),
            ("step", Text),
            ("fence", Number),
            ("at", Number),
            ("kind", Text),
        ],
        own: concat!("deploy IN (SELECT id FROM deploy WHERE ", own_stages!("stage"), ")"),
        order: "deploy, seq",
        counted: Counted::ByDeploy,
    },
    Table {
        name: "release",
        columns: &[("deploy", Number), ("stage", Text), ("content", Text)],
        own: own_stages!("stage"),
        order: "deploy",
        counted: Counted::ByDeploy,
    },
    Table {
        name: "surface",
        columns: &[("stage", Text), ("kind", Text), ("key", Text), ("external", Text), ("hash", Text), ("at", Number)],
        own: own_stages!("stage"),
        order: "stage, kind, key",
        counted: Counted::No,
    },
    Table {
        name: "witness",
        columns: &[("id", Number), ("repo", Text), ("pull", Number), ("sha", Text), ("at", Number), ("pusher", Number)],
        own: "repo = $1 AND $2 > 0",
        order: "id",
        counted: Counted::Yes,
    },
    Table {
        name: "audit",
        columns: &[
            ("id", Number),
            ("at", Number),
            ("repo", Text),
            ("actor", Text),
            ("action", Text),
            ("subject", Text),
            ("details", Text),
            ("number", Number),
            ("hash", Text),
        ],
        own: "repo = $1 AND $2 > 0",
        order: "id",
        counted: Counted::Yes,
    },
    Table {
        name: "audit_end",
        columns: &[("repo", Text), ("number", Number), ("hash", Text)],
        own: "repo = $1 AND $2 > 0",
        order: "repo",
        counted: Counted::No,
    },
    Table {
        name: "audit_cut",
        columns: &[("repo", Text), ("number", Number), ("hash", Text)],
        own: "repo = $1 AND $2 > 0",
        order: "repo",
        counted: Counted::No,
    },
    Table {
        name: "receipt",
        columns: &[
            ("repo", Text),
            ("source", Text),
            ("comment", Number),
            ("state", Text),
            ("stage", Text),
            ("generation", Number),
            ("at", Number),
            ("content", Text),
        ],
        own: "repo = $1 AND $2 > 0",
        order: "source, comment",
        counted: Counted::No,
    },
    Table {
        name: "repo_lock",
        columns: &[("repo", Text), ("content", Text)],
        own: "repo = $1 AND $2 > 0",
        order: "repo",
        counted: Counted::No,
    },
    Table {
        name: "host",
        columns: &[("host", Text), ("stage", Text)],
        own: own_stages!("stage"),
        order: "host",
        counted: Counted::No,
    },
    Table {
        name: "slot",
        columns: &[("pool", Text), ("number", Number), ("holder", Text)],
        own: own_stages!("holder"),
        order: "pool, number",
        counted: Counted::No,
    },
];

/// The newest step of the tables.
pub(super) fn schema() -> i64 {
    sqlite::BASE.migrations.last().map_or(0, |step| step.0)
}

impl Table {
    pub(super) fn names(&self) -> String {
        self.columns.iter().map(|column| column.0).collect::<Vec<_>>().join(", ")
    }

    /// Where a column stands.
    pub(super) fn place(&self, name: &str) -> usize {
        self.columns.iter().position(|column| column.0 == name).unwrap_or(usize::MAX)
    }
}

/// The value of a column in a row.
pub(super) fn cell<'a>(table: &str, column: &str, row: &'a [Cell]) -> Option<&'a Cell> {
    let table = TABLES.iter().find(|known| known.name == table)?;
    row.get(table.place(column))
}

/// Whether every row is one that this version writes, and the repository's own.
pub(super) fn check(moved: &Moved) -> Result<(), String> {
    for (name, rows) in &moved.tables {
        let table = TABLES.iter().find(|table| table.name == name).ok_or_else(|| format!("it has a table {name:?}"))?;
        for row in rows {
            let fits = |(cell, (_, kind)): (&Cell, &(&str, Kind))| match (cell, kind) {
                (Cell::Null, _) | (Cell::Number(_), Number) | (Cell::Text(_), Text) => true,
                (Cell::Text(text), Bytes) => hex::decode(text).is_ok(),
                _ => false,
            };
            if row.len() != table.columns.len() || !row.iter().zip(table.columns).all(fits) {
                return Err(format!("a row of the table {name} has other columns"));
            }
            if !is_own(name, row, &moved.key, moved.repository) {
                return Err(format!("a row of the table {name} is another repository's"));
            }
        }
    }
    check_names(moved)
}

/// Whether rows name nothing but what comes with them: a deploy, and the account that the repository is of.
fn check_names(moved: &Moved) -> Result<(), String> {
    let [repository] = moved.rows("repository") else { return Err("it has not one repository".to_owned()) };
    let numbers = |table: &'static str, column: &'static str| {
        moved.rows(table).iter().map(move |row| cell(table, column, row).and_then(Cell::number))
    };
    let deploys: BTreeSet<Option<i64>> = numbers("deploy", "id").collect();
    for table in ["step_log", "release"] {
        if numbers(table, "deploy").any(|deploy| deploy.is_none() || !deploys.contains(&deploy)) {
            return Err(format!("a row of the table {table} is of a deploy that does not come with it"));
        }
    }
    let owner = cell("repository", "owner", repository).and_then(Cell::number);
    if numbers("account", "id").any(|account| account.is_none() || account != owner) {
        return Err("an account is not the one that the repository is of".to_owned());
    }
    Ok(())
}

fn is_own(table: &str, row: &[Cell], key: &str, number: u64) -> bool {
    let text = |column| cell(table, column, row).and_then(Cell::text);
    let below =
        |text: Option<&str>| text.and_then(|text| text.strip_prefix(key)).is_some_and(|rest| rest.starts_with('/'));
    match table {
        "repository" => {
            text("key") == Some(key) && cell(table, "id", row).and_then(Cell::number) == i64::try_from(number).ok()
        }
        "lane" => {
            let lane = text("key").unwrap_or_default();
            lane.strip_prefix("repo:") == Some(key) || below(lane.strip_prefix("stage:"))
        }
        "inbox" => text("lane").and_then(|lane| lane.strip_prefix("repo:")) == Some(key),
        "deploy" | "release" | "surface" | "host" => below(text("stage")),
        "slot" => below(text("holder")),
        "stage" | "witness" | "audit" | "audit_end" | "audit_cut" | "receipt" | "repo_lock" => {
            text("repo") == Some(key)
        }
        // Of what the others name, see `check_names`.
        _ => true,
    }
}
