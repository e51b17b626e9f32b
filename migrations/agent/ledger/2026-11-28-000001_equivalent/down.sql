DROP TABLE equivalent;
