INSERT INTO audit_end (repo, number, hash) VALUES ('acme/tools', 4, 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc');
INSERT INTO audit_cut (repo, number, hash) VALUES ('acme/tools', 4, 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc');
