-- Which tombstones a Tx has reported: the time of the last Tx does not tell it of those of the same second.
ALTER TABLE tombstone ADD COLUMN reported BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE tombstone SET reported = TRUE
    WHERE vanished_at <= (SELECT last_tx_at FROM triangle WHERE triangle.name = tombstone.triangle);
ALTER TABLE triangle DROP COLUMN last_tx_at;
