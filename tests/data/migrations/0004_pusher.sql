INSERT INTO witness (repo, pull, sha, at, pusher) VALUES
    ('acme/shop', 43, 'cccccccccccccccccccccccccccccccccccccccc', 1763999500000, 7);
