-- The index of a store: a cache over its segments. Whatever would say what is in the mail is sealed, and
-- rows are found by keyed hashes.

CREATE TABLE identity (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    store_id BLOB NOT NULL,
    key_check BLOB NOT NULL,
    salt BLOB NOT NULL
);

CREATE TABLE segments (
    number INTEGER PRIMARY KEY NOT NULL,
    covered BIGINT NOT NULL,
    size BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    inode BIGINT NOT NULL,
    healed BOOLEAN NOT NULL
);

-- verified_at: seconds since 1970; 0 for never, -1 for damaged.
CREATE TABLE contents (
    lookup BLOB PRIMARY KEY NOT NULL,
    segment INTEGER NOT NULL,
    position BIGINT NOT NULL,
    sealed_len BIGINT NOT NULL,
    raw_len BIGINT NOT NULL,
    verified_at BIGINT NOT NULL,
    sealed BLOB NOT NULL
);

CREATE INDEX contents_by_proof ON contents (verified_at, segment, position);
CREATE INDEX contents_by_place ON contents (segment, position);

CREATE TABLE members (
    id INTEGER PRIMARY KEY NOT NULL,
    lookup BLOB NOT NULL UNIQUE,
    triangle BLOB NOT NULL,
    live BOOLEAN NOT NULL,
    sealed BLOB NOT NULL
);

CREATE INDEX members_by_triangle ON members (triangle);
