-- How what serves of a stage is doing, as JSON; NULL where nothing was seen since it went live.
ALTER TABLE stage ADD COLUMN conditions TEXT;
