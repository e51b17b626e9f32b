-- The salt of a segment's header (public, it stands in the segment itself), so that a damaged header can be
-- written back.
ALTER TABLE segments ADD COLUMN salt BLOB;
