-- What a repository was called in passing, by a delivery or a list: GitHub is asked about that name before
-- anything more is done under one. NULL where nothing else was heard.
ALTER TABLE repository ADD COLUMN rumour TEXT;
