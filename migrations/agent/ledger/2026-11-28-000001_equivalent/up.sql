-- What a hoster made of a message that it rewrites, where both say the same.
CREATE TABLE equivalent (
    original  BLOB NOT NULL,              -- content id
    rewritten BLOB NOT NULL,              -- content id
    PRIMARY KEY (original, rewritten)
) WITHOUT ROWID;
