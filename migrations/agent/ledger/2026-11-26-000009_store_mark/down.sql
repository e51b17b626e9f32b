ALTER TABLE triangle DROP COLUMN store_mark;
