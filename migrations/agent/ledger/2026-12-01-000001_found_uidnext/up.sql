-- UIDNEXT of a standby's folder when the triangle's first mirror met it: what lies below was there before. Of a
-- standby that no Tx has looked at yet, that is all.
ALTER TABLE folder ADD COLUMN found_uidnext BIGINT NOT NULL DEFAULT 0;
UPDATE folder SET found_uidnext = 4294967295
    WHERE corner = 'standby' AND triangle IN (SELECT name FROM triangle WHERE NOT standby_proved);
ALTER TABLE triangle DROP COLUMN standby_proved;
