ALTER TABLE triangle ADD COLUMN standby_proved BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE triangle SET standby_proved = last_tx_at IS NOT NULL;
ALTER TABLE folder DROP COLUMN found_uidnext;
