DROP TABLE idempotency_keys;
DROP TABLE person_keys;
DROP TABLE audit_records;
DROP TABLE audit_heads;
DROP TABLE memberships;
DROP TABLE tenants;
DROP TABLE users;
DROP FUNCTION protect_tenant_table;
-- The roles belong to the cluster, and other databases may use them: they stay.
