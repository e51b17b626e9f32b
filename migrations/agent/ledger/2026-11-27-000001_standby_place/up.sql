-- The standby that folders and copies are known of: user@host:port and prefix. Another one is begun anew.
ALTER TABLE triangle ADD COLUMN standby_place TEXT;
-- Whether a Tx has looked at it: what is there when the first does was there before the triangle was.
ALTER TABLE triangle ADD COLUMN standby_proved BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE triangle SET standby_proved = last_tx_at IS NOT NULL;
