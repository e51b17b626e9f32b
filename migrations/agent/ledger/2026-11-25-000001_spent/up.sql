-- Octets of mail that crossed to or from an account, by hours since 1970, UTC: what its budget is held against.
CREATE TABLE spent (
    account TEXT   NOT NULL,              -- user@host:port
    hour    BIGINT NOT NULL,
    octets  BIGINT NOT NULL,
    PRIMARY KEY (account, hour)
) WITHOUT ROWID;

-- Until when a mail server asked to be left alone.
CREATE TABLE backoff (
    account TEXT   NOT NULL PRIMARY KEY,
    until   BIGINT NOT NULL
) WITHOUT ROWID;

-- When a message in quarantine was tried last; 0 for one that is to be tried again.
ALTER TABLE quarantine ADD COLUMN tried_at BIGINT NOT NULL DEFAULT 0;

-- A folder of the target that is about to be renamed: a run that is killed meanwhile finds out what became of it.
CREATE TABLE renaming (
    folder_id BIGINT NOT NULL PRIMARY KEY REFERENCES folder (id) ON DELETE CASCADE,
    mailbox   TEXT   NOT NULL,             -- its new name on the server
    logical   TEXT   NOT NULL
);
