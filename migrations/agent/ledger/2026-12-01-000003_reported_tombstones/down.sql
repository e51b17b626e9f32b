ALTER TABLE triangle ADD COLUMN last_tx_at BIGINT;
UPDATE triangle SET last_tx_at = (SELECT max(vanished_at) FROM tombstone
    WHERE tombstone.reported AND tombstone.triangle = triangle.name);
ALTER TABLE tombstone DROP COLUMN reported;
