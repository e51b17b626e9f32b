DROP TABLE altered;
