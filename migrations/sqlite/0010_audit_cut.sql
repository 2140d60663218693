-- Where the audit of a repository was cut: its first entry follows this one. The hash covers all before it.
CREATE TABLE audit_cut (
    repo   TEXT    NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL,
    hash   TEXT    NOT NULL
);
