-- Times are milliseconds since 1970. Documents that no query looks into are JSON in text.

CREATE TABLE lane (
    key         TEXT    NOT NULL PRIMARY KEY,
    bell        BIGINT  NOT NULL,
    wake_at     BIGINT,
    fence       BIGINT  NOT NULL DEFAULT 0,
    lease_until BIGINT  NOT NULL DEFAULT 0,
    attempts    BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX lane_due ON lane (wake_at, lease_until) WHERE wake_at IS NOT NULL;

-- state: 0 received, 1 done, 2 poison. content: the event, or an excerpt of what was not understood.
CREATE TABLE inbox (
    seq     BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      TEXT    NOT NULL,
    body    BYTEA   NOT NULL,
    lane    TEXT    NOT NULL,
    state   BIGINT  NOT NULL,
    at      BIGINT  NOT NULL,
    content TEXT,
    reason  TEXT
);
CREATE UNIQUE INDEX inbox_id ON inbox (id);
CREATE UNIQUE INDEX inbox_body ON inbox (body);
CREATE INDEX inbox_waiting ON inbox (seq, lane, at) WHERE state = 0;
CREATE INDEX inbox_poison ON inbox (seq) WHERE state = 2;

CREATE TABLE stage (
    repo       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    generation BIGINT  NOT NULL,
    status     TEXT    NOT NULL,
    approval   TEXT,
    lock       TEXT,
    touched_at BIGINT  NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (repo, name)
);

CREATE TABLE deploy (
    id         BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stage      TEXT    NOT NULL,
    generation BIGINT  NOT NULL,
    plan       TEXT    NOT NULL,
    started_at BIGINT  NOT NULL,
    ended_at   BIGINT,
    outcome    TEXT
);
CREATE INDEX deploy_stage ON deploy (stage, id);
CREATE UNIQUE INDEX deploy_running ON deploy (stage, generation) WHERE ended_at IS NULL;

CREATE TABLE step_log (
    deploy BIGINT  NOT NULL REFERENCES deploy (id),
    seq    BIGINT  NOT NULL,
    step   TEXT    NOT NULL,
    fence  BIGINT  NOT NULL,
    at     BIGINT  NOT NULL,
    kind   TEXT    NOT NULL,
    PRIMARY KEY (deploy, seq)
);

CREATE TABLE surface (
    stage    TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    external TEXT,
    hash     TEXT    NOT NULL,
    at       BIGINT  NOT NULL,
    PRIMARY KEY (stage, kind, key)
);

CREATE TABLE release (
    deploy  BIGINT  NOT NULL PRIMARY KEY REFERENCES deploy (id),
    stage   TEXT    NOT NULL,
    content TEXT    NOT NULL
);
CREATE INDEX release_stage ON release (stage, deploy);

CREATE TABLE audit (
    id      BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT  NOT NULL,
    repo    TEXT    NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    details TEXT    NOT NULL
);
CREATE INDEX audit_repo ON audit (repo, id);
