-- Parties take turns: a repository with all its lanes, and each of the server's own duties by itself.
ALTER TABLE lane ADD COLUMN party TEXT NOT NULL GENERATED ALWAYS AS (
    CASE
        WHEN substr(key, 1, 5) = 'repo:' THEN substr(key, 6)
        WHEN substr(key, 1, 6) = 'stage:' THEN substr(rtrim(rtrim(key, replace(key, '/', '')), '/'), 7)
        ELSE key
    END
) STORED;
DROP INDEX lane_due;

-- Whose lane has been due longest; the first lane of a party; and how many it holds.
CREATE INDEX lane_due ON lane (wake_at, key, lease_until, party) WHERE wake_at IS NOT NULL;
CREATE INDEX lane_turn ON lane (party, wake_at, key, lease_until) WHERE wake_at IS NOT NULL;
CREATE INDEX lane_held ON lane (party, lease_until) WHERE lease_until > 0;
