-- What an older version left and this one has taken down as its own. Where there is no stage there is
-- nothing to take down.
CREATE TABLE carried (
    what TEXT NOT NULL PRIMARY KEY
);
INSERT INTO carried (what) SELECT 'hosts' WHERE NOT EXISTS (SELECT 1 FROM stage);
