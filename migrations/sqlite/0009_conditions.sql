-- How what serves of a stage is doing, as JSON; NULL where nothing was seen since it went live.
ALTER TABLE stage ADD COLUMN conditions TEXT;

-- Whose a repository is, is looked up by the account's number, which may have had several logins.
CREATE INDEX account_id ON account (id);
