INSERT INTO lane (key, bell, wake_at) VALUES
    ('stage:acme/shop/dev', 1, 1764000010000),
    ('stage:acme/docs/pr-3', 1, 1764000030000);
