-- What the agent knows of both accounts of its triangles. Instants are seconds since 1970, UTC.

CREATE TABLE triangle (
    name            TEXT    NOT NULL PRIMARY KEY,
    first_mirror_at BIGINT,               -- when a mirror run first came to its end
    last_tx_at      BIGINT,
    epoch           INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE folder (
    id            INTEGER NOT NULL PRIMARY KEY,
    triangle      TEXT    NOT NULL,
    corner        TEXT    NOT NULL,       -- 'primary' or 'standby'
    mailbox       TEXT    NOT NULL,       -- the server's name, modified UTF-7
    logical       TEXT    NOT NULL,       -- the name that all corners share
    uidvalidity   BIGINT  NOT NULL,
    generation    INTEGER NOT NULL,       -- grows when UIDs mean something else than before
    -- Where the folder stood when everything in it had been dealt with; 0 while it has not.
    uidnext       BIGINT  NOT NULL,
    highestmodseq BIGINT,
    messages      BIGINT  NOT NULL,
    UNIQUE (triangle, corner, mailbox)
);

CREATE TABLE message (
    folder_id       BIGINT  NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
    generation      INTEGER NOT NULL,
    uid             BIGINT  NOT NULL,
    content         BLOB    NOT NULL,     -- BLAKE3 of the octets
    size            BIGINT  NOT NULL,
    date            BIGINT  NOT NULL,
    flags           TEXT    NOT NULL,
    verified_at     BIGINT,               -- when its bytes were last read from this account
    origin          INTEGER NOT NULL,     -- 0 foreign, 1 preexisting, 2 written by us, 3 a copy that strayed
    member          BLOB,                 -- its place in the store (source)
    copy_folder     BIGINT,               -- its copy on the target (source)
    copy_generation INTEGER,
    copy_uid        BIGINT,
    put_backs       INTEGER NOT NULL,
    PRIMARY KEY (folder_id, generation, uid)
) WITHOUT ROWID;

CREATE TABLE tombstone (
    id              INTEGER NOT NULL PRIMARY KEY,
    triangle        TEXT    NOT NULL,
    logical         TEXT    NOT NULL,
    content         BLOB    NOT NULL,
    size            BIGINT  NOT NULL,
    date            BIGINT  NOT NULL,
    flags           TEXT    NOT NULL,
    member          BLOB    NOT NULL,
    copy_folder     BIGINT,
    copy_generation INTEGER,
    copy_uid        BIGINT,
    moved           BOOLEAN NOT NULL,     -- the old copy of a message that was moved
    vanished_at     BIGINT  NOT NULL,
    epoch           INTEGER NOT NULL
);
CREATE INDEX tombstone_triangle ON tombstone (triangle, logical);

CREATE TABLE quarantine (
    folder_id  BIGINT  NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    uid        BIGINT  NOT NULL,
    class      TEXT    NOT NULL,          -- 'quarantined' or 'does_not_stay'
    reason     TEXT    NOT NULL,
    since      BIGINT  NOT NULL,
    PRIMARY KEY (folder_id, generation, uid)
) WITHOUT ROWID;

CREATE TABLE repair (
    id       INTEGER NOT NULL PRIMARY KEY,
    triangle TEXT    NOT NULL,
    class    TEXT    NOT NULL,
    corner   TEXT    NOT NULL,
    logical  TEXT    NOT NULL,
    content  BLOB    NOT NULL,
    at       BIGINT  NOT NULL,
    reported BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX repair_open ON repair (triangle, reported);

CREATE TABLE batch (
    id         INTEGER NOT NULL PRIMARY KEY,
    triangle   TEXT    NOT NULL,
    folder_id  BIGINT  NOT NULL,          -- of the target
    uidnext    BIGINT  NOT NULL,          -- the target folder's, before the batch was sent
    contents   BLOB    NOT NULL,          -- 32 octets for each message of the batch
    opened_at  BIGINT  NOT NULL
);

CREATE TABLE halt (
    triangle     TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    messages     BIGINT NOT NULL,
    known        BIGINT NOT NULL,
    held_at      BIGINT NOT NULL,
    confirmed_at BIGINT,
    PRIMARY KEY (triangle, id)
);

CREATE TABLE activity (
    id       INTEGER NOT NULL PRIMARY KEY,
    triangle TEXT    NOT NULL,
    at       BIGINT  NOT NULL,
    vanished BIGINT  NOT NULL,
    put_back BIGINT  NOT NULL
);
CREATE INDEX activity_at ON activity (triangle, at);

CREATE TABLE refused_keyword (
    triangle TEXT NOT NULL,
    corner   TEXT NOT NULL,
    keyword  TEXT NOT NULL,               -- lower case
    PRIMARY KEY (triangle, corner, keyword)
) WITHOUT ROWID;
