INSERT INTO account (login, id) VALUES ('acme', 7);
INSERT INTO repository (id, key, name, owner) VALUES
    (774, 'acme/docs', 'acme/manual', 7),
    (775, 'acme.775/docs', 'acme/docs', 7);
INSERT INTO host (host, stage) VALUES ('docs.example.com', 'acme/docs/prod');
