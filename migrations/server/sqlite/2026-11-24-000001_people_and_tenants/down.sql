DROP TABLE idempotency_keys;
DROP TABLE person_keys;
DROP TABLE audit_records;
DROP TABLE audit_heads;
DROP TABLE memberships;
DROP TABLE tenants;
DROP TABLE users;
