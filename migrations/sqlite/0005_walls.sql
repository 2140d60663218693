-- Repositories by GitHub's own numbers. key: what they are called in all other tables, for life: the
-- name under which they were first seen. name: what GitHub calls them now; NULL once it is another's.
CREATE TABLE repository (
    id    INTEGER NOT NULL PRIMARY KEY,
    key   TEXT    NOT NULL UNIQUE,
    name  TEXT    UNIQUE,
    owner INTEGER NOT NULL
);

-- Accounts by the name under which the first repository of theirs was seen.
CREATE TABLE account (
    login TEXT    NOT NULL PRIMARY KEY,
    id    INTEGER NOT NULL
);

-- Whose a host is: one stage's, for as long as anything of it is there.
CREATE TABLE host (
    host  TEXT NOT NULL PRIMARY KEY,
    stage TEXT NOT NULL
);
CREATE INDEX host_stage ON host (stage);
