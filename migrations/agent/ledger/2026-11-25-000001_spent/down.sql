DROP TABLE backoff;
DROP TABLE spent;
