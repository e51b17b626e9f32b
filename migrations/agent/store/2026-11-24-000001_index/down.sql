DROP TABLE members;
DROP TABLE contents;
DROP TABLE segments;
DROP TABLE identity;
