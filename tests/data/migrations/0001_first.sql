-- What a server that has run for a while holds. Both databases take it.
INSERT INTO lane (key, bell, wake_at, fence, lease_until, attempts) VALUES
    ('repo:acme/shop', 3, NULL, 2, 0, 0),
    ('stage:acme/shop/pr-42', 7, 1764000000000, 5, 1764000060000, 1);

INSERT INTO inbox (id, body, lane, state, at, content, reason) VALUES
    ('d1', 'hash one', 'repo:acme/shop', 1, 1763999000000, NULL, NULL),
    ('d2', 'hash two', 'repo:acme/shop', 0, 1763999500000, '{"event":"reconcile","repo":"acme/shop"}', NULL),
    ('d3', 'hash three', 'repo:acme/shop', 2, 1763999600000, '{"half', 'not JSON');

INSERT INTO stage (repo, name, subject, target, generation, status, approval, lock, touched_at, expires_at) VALUES
    ('acme/shop', 'pr-42', '{"pull_request":42}', '{"pull_request":42}', 2, '{"deploying":{"generation":2}}', NULL, NULL, 1763999000000, NULL),
    ('acme/shop', 'dev', '{"branch":"dev"}', '{"branch":"dev"}', 1,
     '{"live":{"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',
     '{"owner":7,"reason":"demo","until":null}', 1763999000000, 1765000000000);

INSERT INTO deploy (stage, generation, plan, started_at, ended_at, outcome) VALUES
    ('acme/shop/pr-42', 1,
     '{"stage":{"repo":"acme/shop","name":"pr-42"},"generation":1,"wanted":{"gone":"closed"},"steps":[],"skipped":[]}',
     1763999000000, 1763999100000, '"live"'),
    ('acme/shop/pr-42', 2,
     '{"stage":{"repo":"acme/shop","name":"pr-42"},"generation":2,"wanted":{"gone":"closed"},"steps":[],"skipped":[]}',
     1763999200000, NULL, NULL);

INSERT INTO step_log (deploy, seq, step, fence, at, kind) VALUES
    (1, 1, 'fetch', 4, 1763999000001, '"started"'),
    (1, 2, 'fetch', 4, 1763999000002, '{"done":{"source":{"path":"src"}}}');

INSERT INTO surface (stage, kind, key, external, hash, at) VALUES
    ('acme/shop/pr-42', 'comment', '', '1001', 'abc', 1763999100000),
    ('acme/shop/pr-42', 'check', 'aaaa', NULL, 'refused', 1763999100000);

INSERT INTO release (deploy, stage, content) VALUES
    (1, 'acme/shop/pr-42',
     '{"stage":{"repo":"acme/shop","name":"pr-42"},"deploy":1,"generation":1,"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","digest":"d","artifacts":{},"at":1763999100000}');

INSERT INTO audit (at, repo, actor, action, subject, details) VALUES
    (1763999000000, 'acme/shop', 'octocat (1)', 'goal', 'pr-42', '{}');
