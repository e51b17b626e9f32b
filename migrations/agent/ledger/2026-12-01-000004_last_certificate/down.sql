DROP TABLE last_certificate;
