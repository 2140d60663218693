UPDATE stage SET place = '{"app":"shop","kind":"ephemeral","aws":null,"domain":null,"base":null}' WHERE name = 'pr-7';

INSERT INTO slot (pool, number, holder) VALUES ('greenroom-previews', 1, 'acme/shop/pr-7/web');
