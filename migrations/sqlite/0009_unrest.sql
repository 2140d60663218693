-- What of a stage does not stay up since it went live, as JSON; NULL where all does.
ALTER TABLE stage ADD COLUMN unrest TEXT;
