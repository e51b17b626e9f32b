-- People (global), tenants, memberships, the audit chains and idempotency keys.
-- SQLite has no row security: the tenant filter of each statement is all there is, and tests remove it.

CREATE TABLE users (
    user_id        TEXT PRIMARY KEY NOT NULL,
    email          TEXT NOT NULL UNIQUE,
    name           TEXT NOT NULL,
    password_hash  TEXT NOT NULL,
    provider_admin BOOLEAN NOT NULL,
    created_at     TIMESTAMP NOT NULL
);

CREATE TABLE tenants (
    tenant_id  TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    timezone   TEXT NOT NULL,
    language   TEXT NOT NULL CHECK (language IN ('de', 'en')),
    report_to  TEXT NOT NULL,
    grace_min  INTEGER NOT NULL,
    version    BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE memberships (
    tenant_id  TEXT NOT NULL REFERENCES tenants (tenant_id),
    user_id    TEXT NOT NULL REFERENCES users (user_id),
    role       TEXT NOT NULL CHECK (role IN ('technician', 'auditor', 'owner')),
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_of_user ON memberships (user_id);

-- The provider's chain stands under the nil UUID.
CREATE TABLE audit_heads (
    tenant_id TEXT PRIMARY KEY NOT NULL,
    seq       BIGINT NOT NULL,
    hash      TEXT NOT NULL
);

CREATE TABLE audit_records (
    tenant_id TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    audit_id  TEXT NOT NULL,
    at        TIMESTAMP NOT NULL,
    action    TEXT NOT NULL,
    record    TEXT NOT NULL,
    hash      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

CREATE TABLE person_keys (
    tenant_id   TEXT NOT NULL,
    person_id   TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,
    PRIMARY KEY (tenant_id, person_id)
);

CREATE TABLE idempotency_keys (
    tenant_id   TEXT NOT NULL,
    principal   TEXT NOT NULL,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status      INTEGER NOT NULL,
    answer      TEXT NOT NULL,
    expires_at  TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, principal, method, path, key)
);
CREATE INDEX idempotency_keys_expired ON idempotency_keys (expires_at);
