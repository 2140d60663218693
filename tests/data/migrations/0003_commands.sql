INSERT INTO witness (repo, pull, sha, at) VALUES
    ('acme/shop', 42, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1763998000000),
    ('acme/shop', 42, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 1763999000000);

INSERT INTO audit (at, repo, actor, action, subject, details, number, hash) VALUES
    (1763999000000, 'acme/docs', 'octocat (1)', 'goal', 'pr-3', '{}', 1, '53b3060b4fbbf0aad29ecc6eb0f5bb27eaec54d0402c4b7416d0215971ccfd6b');
INSERT INTO audit_end (repo, number, hash) VALUES ('acme/docs', 1, '53b3060b4fbbf0aad29ecc6eb0f5bb27eaec54d0402c4b7416d0215971ccfd6b');

INSERT INTO receipt (repo, source, comment, state, stage, generation, at, content) VALUES
    ('acme/shop', 'issue', 99, 'waiting', 'pr-42', 2, 1763999000000,
     '{"key":{"repo":"acme/shop","source":"issue","comment":99},"pull":42,"state":"waiting","results":[{"said":"/deploy","verb":"deploy","outcome":"accepted","words":""}],"reaction":"eyes","body":null,"external":null,"shown":null,"bond":{"stage":"pr-42","generation":2},"at":1763999000000}');

UPDATE stage SET keep_until = 1766000000000,
    asked = '{"verb":"deploy","by":{"id":1,"login":"octocat","kind":"person"},"pull":42,"sha":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","from":null,"at":1763999000000}',
    queue = '[{"target":{"commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"asked":{"verb":"deploy","by":{"id":1,"login":"octocat","kind":"person"},"pull":42,"sha":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","from":null,"services":[],"at":1763999000000},"receipt":{"repo":"acme/shop","source":"issue","comment":99}}]'
    WHERE name = 'dev';
INSERT INTO repo_lock (repo, content) VALUES
    ('acme/shop', '{"owner":7,"login":"octocat","pull":42,"reason":"sale","since":1763999000000,"until":null}');
