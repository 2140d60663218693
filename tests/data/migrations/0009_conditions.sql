INSERT INTO inbox (id, body, lane, state, at, content, reason) VALUES
    ('d4', 'hash one', 'repo:acme/shop', 1, 1763999700000, NULL, NULL);
UPDATE stage SET conditions =
    '{"web":{"state":"restarting","since":1763999800000,"restarts":3,"well":0,"wanted":1,"why":null}}' WHERE name = 'dev';
