-- Parties take turns: a repository with all its lanes, and each of the server's own duties by itself.
-- The table is made anew because SQLite adds no stored column to one.
CREATE TABLE lane_with_party (
    key         TEXT    NOT NULL PRIMARY KEY,
    bell        INTEGER NOT NULL,
    wake_at     INTEGER,
    fence       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    party       TEXT    NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN substr(key, 1, 5) = 'repo:' THEN substr(key, 6)
            WHEN substr(key, 1, 6) = 'stage:' THEN substr(rtrim(rtrim(key, replace(key, '/', '')), '/'), 7)
            ELSE key
        END
    ) STORED
) WITHOUT ROWID;
INSERT INTO lane_with_party (key, bell, wake_at, fence, lease_until, attempts)
    SELECT key, bell, wake_at, fence, lease_until, attempts FROM lane;
DROP TABLE lane;
ALTER TABLE lane_with_party RENAME TO lane;

-- Whose lane has been due longest; the first lane of a party; and how many it holds.
CREATE INDEX lane_due ON lane (wake_at, key, lease_until, party) WHERE wake_at IS NOT NULL;
CREATE INDEX lane_turn ON lane (party, wake_at, key, lease_until) WHERE wake_at IS NOT NULL;
CREATE INDEX lane_held ON lane (party, lease_until) WHERE lease_until > 0;
