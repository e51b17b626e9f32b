-- How the store stood when what it says of this triangle was last known to be what the ledger says; it stands elsewhere
-- after a run that was killed, and when it was restored from an older copy.
ALTER TABLE triangle ADD COLUMN store_mark BLOB;
