-- Times are milliseconds since 1970. Documents that no query looks into are JSON in text.

CREATE TABLE lane (
    key         TEXT    NOT NULL PRIMARY KEY,
    bell        INTEGER NOT NULL,
    wake_at     INTEGER,
    fence       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX lane_due ON lane (wake_at, lease_until) WHERE wake_at IS NOT NULL;

-- state: 0 received, 1 done, 2 poison. content: the event, or an excerpt of what was not understood.
CREATE TABLE inbox (
    seq     INTEGER NOT NULL PRIMARY KEY,
    id      TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    lane    TEXT    NOT NULL,
    state   INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    content TEXT,
    reason  TEXT
);
-- New rows come at its end, whatever their lane, and few rows wait at a time: a delivery touches one page.
CREATE INDEX inbox_waiting ON inbox (seq, lane, at) WHERE state = 0;
CREATE INDEX inbox_poison ON inbox (seq) WHERE state = 2;

-- Where rows of the inbox stand: the first eight bytes of a digest of the id, and of the body's.
-- Rows above known_until.seq may be missing here; the writer remembers those (src/store/known.rs).
CREATE TABLE known (
    key INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (key, seq)
) WITHOUT ROWID;
CREATE TABLE known_until (
    seq INTEGER NOT NULL
);
INSERT INTO known_until (seq) VALUES (0);

CREATE TABLE stage (
    repo       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    approval   TEXT,
    lock       TEXT,
    touched_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (repo, name)
) WITHOUT ROWID;

CREATE TABLE deploy (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    stage      TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    plan       TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT
);
CREATE INDEX deploy_stage ON deploy (stage, id);
CREATE UNIQUE INDEX deploy_running ON deploy (stage, generation) WHERE ended_at IS NULL;

CREATE TABLE step_log (
    deploy INTEGER NOT NULL REFERENCES deploy (id),
    seq    INTEGER NOT NULL,
    step   TEXT    NOT NULL,
    fence  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    PRIMARY KEY (deploy, seq)
) WITHOUT ROWID;

CREATE TABLE surface (
    stage    TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    external TEXT,
    hash     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (stage, kind, key)
) WITHOUT ROWID;

CREATE TABLE release (
    deploy  INTEGER NOT NULL PRIMARY KEY REFERENCES deploy (id),
    stage   TEXT    NOT NULL,
    content TEXT    NOT NULL
);
CREATE INDEX release_stage ON release (stage, deploy);

CREATE TABLE audit (
    id      INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    repo    TEXT    NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    details TEXT    NOT NULL
);
CREATE INDEX audit_repo ON audit (repo, id);
