-- stored_len: all octets that a content takes in its segment, the headers of its frames included; what is
-- stored in pieces takes more than its one frame of sealed_len.
ALTER TABLE contents ADD COLUMN stored_len BIGINT NOT NULL DEFAULT 0;
UPDATE contents SET stored_len = sealed_len + 40 WHERE segment > 0;

-- Figures of the whole, kept by the transaction that changes them: counting takes too long to do at each run.
CREATE TABLE totals (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    contents BIGINT NOT NULL,
    damaged BIGINT NOT NULL,
    raw_bytes BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    live BIGINT NOT NULL,
    tombstones BIGINT NOT NULL
);

INSERT INTO totals (id, contents, damaged, raw_bytes, stored_bytes, live, tombstones)
VALUES (
    1,
    (SELECT count(*) FROM contents WHERE segment > 0),
    (SELECT count(*) FROM contents WHERE verified_at = -1),
    (SELECT coalesce(sum(raw_len), 0) FROM contents WHERE segment > 0),
    (SELECT coalesce(sum(stored_len), 0) FROM contents WHERE segment > 0),
    (SELECT count(*) FROM members WHERE live),
    (SELECT count(*) FROM members WHERE NOT live)
);

-- Of a content that no segment has (segment 0) only the damage is counted.
CREATE TRIGGER contents_added AFTER INSERT ON contents BEGIN
    UPDATE totals SET
        contents = contents + (NEW.segment > 0),
        damaged = damaged + (NEW.verified_at = -1),
        raw_bytes = raw_bytes + (NEW.segment > 0) * NEW.raw_len,
        stored_bytes = stored_bytes + (NEW.segment > 0) * NEW.stored_len;
END;

CREATE TRIGGER contents_removed AFTER DELETE ON contents BEGIN
    UPDATE totals SET
        contents = contents - (OLD.segment > 0),
        damaged = damaged - (OLD.verified_at = -1),
        raw_bytes = raw_bytes - (OLD.segment > 0) * OLD.raw_len,
        stored_bytes = stored_bytes - (OLD.segment > 0) * OLD.stored_len;
END;

CREATE TRIGGER contents_changed AFTER UPDATE ON contents
WHEN (OLD.verified_at = -1) <> (NEW.verified_at = -1)
    OR OLD.segment <> NEW.segment
    OR OLD.raw_len <> NEW.raw_len
    OR OLD.stored_len <> NEW.stored_len
BEGIN
    UPDATE totals SET
        contents = contents - (OLD.segment > 0) + (NEW.segment > 0),
        damaged = damaged - (OLD.verified_at = -1) + (NEW.verified_at = -1),
        raw_bytes = raw_bytes - (OLD.segment > 0) * OLD.raw_len + (NEW.segment > 0) * NEW.raw_len,
        stored_bytes = stored_bytes - (OLD.segment > 0) * OLD.stored_len
            + (NEW.segment > 0) * NEW.stored_len;
END;

CREATE TRIGGER members_added AFTER INSERT ON members BEGIN
    UPDATE totals SET live = live + NEW.live, tombstones = tombstones + (NOT NEW.live);
END;

CREATE TRIGGER members_removed AFTER DELETE ON members BEGIN
    UPDATE totals SET live = live - OLD.live, tombstones = tombstones - (NOT OLD.live);
END;

CREATE TRIGGER members_changed AFTER UPDATE ON members WHEN OLD.live <> NEW.live BEGIN
    UPDATE totals SET
        live = live + NEW.live - OLD.live,
        tombstones = tombstones + OLD.live - NEW.live;
END;
