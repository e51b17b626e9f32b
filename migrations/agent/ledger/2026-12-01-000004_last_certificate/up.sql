-- The last certificate of each chain, so that one whose file is lost is missed, and its number is not given again.
CREATE TABLE last_certificate (
    triangle TEXT   NOT NULL PRIMARY KEY, -- as the certificate names it
    sequence BIGINT NOT NULL,
    sha256   TEXT   NOT NULL
);
