DROP TABLE renaming;
ALTER TABLE quarantine DROP COLUMN tried_at;
DROP TABLE backoff;
DROP TABLE spent;
