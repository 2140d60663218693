-- Who pushed a head, by the id of their account; NULL where nobody saw it.
ALTER TABLE witness ADD COLUMN pusher INTEGER;
