DROP TRIGGER members_changed;
DROP TRIGGER members_removed;
DROP TRIGGER members_added;
DROP TRIGGER contents_changed;
DROP TRIGGER contents_removed;
DROP TRIGGER contents_added;
DROP TABLE totals;
ALTER TABLE contents DROP COLUMN stored_len;
