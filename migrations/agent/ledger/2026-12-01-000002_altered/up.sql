-- What messages of the primary turned out to be when they were read back, other than what was copied of them. The next
-- mirror takes each for another message, whose place was taken from the one that was copied.
CREATE TABLE altered (
    folder_id  BIGINT  NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    uid        BIGINT  NOT NULL,
    content    BLOB    NOT NULL,
    PRIMARY KEY (folder_id, generation, uid)
);
