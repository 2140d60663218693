INSERT INTO repository (id, key, name, owner, rumour) VALUES (776, 'acme/tools', NULL, 7, 'acme/toolbox');
