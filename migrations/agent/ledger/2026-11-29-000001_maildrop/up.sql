-- A primary that speaks POP3: its messages have unique-ids (UIDL), and are known by UIDs that we give them.
CREATE TABLE maildrop (
    triangle    TEXT   NOT NULL PRIMARY KEY,
    place       TEXT   NOT NULL,          -- user@host:port; unique-ids of another mean something else
    uidvalidity BIGINT NOT NULL,
    uidnext     BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE maildrop_message (
    triangle TEXT   NOT NULL,
    uid      BIGINT NOT NULL,
    uidl     BLOB   NOT NULL,             -- several may have one, in the order of their UIDs
    PRIMARY KEY (triangle, uid)
) WITHOUT ROWID;
