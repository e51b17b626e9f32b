ALTER TABLE triangle DROP COLUMN standby_proved;
ALTER TABLE triangle DROP COLUMN standby_place;
