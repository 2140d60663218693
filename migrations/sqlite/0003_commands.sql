-- Heads of pull requests, in the order in which we learned of them.
CREATE TABLE witness (
    id   INTEGER NOT NULL PRIMARY KEY,
    repo TEXT NOT NULL,
    pull INTEGER NOT NULL,
    sha  TEXT NOT NULL,
    at   INTEGER NOT NULL
);
CREATE INDEX witness_pull ON witness (repo, pull, id);

-- An entry's place in its repository's chain, and the hash over it and the entry before. Both are
-- empty in what was written before, until the repository's next entry takes it into the chain.
ALTER TABLE audit ADD COLUMN number INTEGER;
ALTER TABLE audit ADD COLUMN hash TEXT;

-- Where the chain of a repository ends: without it, nobody would miss the newest entries.
CREATE TABLE audit_end (
    repo   TEXT    NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL,
    hash   TEXT    NOT NULL
);

-- What is owed to comments. content: the whole receipt; the other columns are for looking it up.
CREATE TABLE receipt (
    repo       TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    comment    INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    stage      TEXT,
    generation INTEGER,
    at         INTEGER NOT NULL,
    content    TEXT    NOT NULL,
    PRIMARY KEY (repo, source, comment)
);
CREATE INDEX receipt_open ON receipt (repo, at) WHERE state <> 'settled';

-- Who asked for the goal, as JSON, and the newest generation of which it is known how it ended.
ALTER TABLE stage ADD COLUMN asked TEXT;
ALTER TABLE stage ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
UPDATE stage SET settled = generation;

-- Goals that wait for a stage, as JSON, and until when somebody wants it kept.
ALTER TABLE stage ADD COLUMN queue TEXT;
ALTER TABLE stage ADD COLUMN keep_until INTEGER;

-- Locks on all stages of a repository, as JSON.
CREATE TABLE repo_lock (
    repo    TEXT NOT NULL PRIMARY KEY,
    content TEXT NOT NULL
);
