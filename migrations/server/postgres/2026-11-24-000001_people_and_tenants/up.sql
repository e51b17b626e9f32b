-- People (global), tenants, memberships, the audit chains and idempotency keys.
--
-- Row security: the server's own login owns the tables and acts in each transaction as one of two roles
-- that own nothing. `maildreieck_run` sees one tenant, the one that `app.tenant` names;
-- `maildreieck_worker` acts for no tenant (login, agents' authentication, due times, outbox) and sees what
-- the policies below name, no more. Roles belong to the cluster and several databases may make them at
-- once, so each step forgives the one that came first.

DO $$
DECLARE
    wanted TEXT;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['maildreieck_run', 'maildreieck_worker'] LOOP
        FOR attempt IN 1..50 LOOP
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                    EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', wanted);
                END IF;
                IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
                    EXECUTE format('GRANT %I TO %I', wanted, current_user);
                END IF;
                EXIT;
            EXCEPTION
                WHEN duplicate_object OR unique_violation OR internal_error THEN
                    -- Another database of the cluster was at it; look again.
                    PERFORM pg_sleep(0.02 * attempt);
            END;
        END LOOP;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            RAISE EXCEPTION 'the role % could not be made', wanted;
        END IF;
    END LOOP;
END
$$;

-- Closes a tenant table: its rows are seen and written by their tenant's transactions alone.
CREATE FUNCTION protect_tenant_table(relation REGCLASS, run_may TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', relation);
    EXECUTE format(
        'CREATE POLICY own_tenant ON %s TO maildreieck_run, maildreieck_worker
         USING (tenant_id = current_setting(''app.tenant'', true))
         WITH CHECK (tenant_id = current_setting(''app.tenant'', true))', relation);
    EXECUTE format('GRANT %s ON %s TO maildreieck_run', run_may, relation);
END
$$;

CREATE TABLE users (
    user_id        TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    email          TEXT NOT NULL UNIQUE,
    name           TEXT NOT NULL,
    password_hash  TEXT NOT NULL,
    provider_admin BOOLEAN NOT NULL,
    created_at     TIMESTAMP NOT NULL
);

CREATE TABLE tenants (
    tenant_id  TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    timezone   TEXT NOT NULL,
    language   TEXT NOT NULL CHECK (language IN ('de', 'en')),
    report_to  TEXT NOT NULL,
    grace_min  INTEGER NOT NULL,
    version    BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE memberships (
    tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    user_id    TEXT COLLATE "C" NOT NULL REFERENCES users (user_id),
    role       TEXT NOT NULL CHECK (role IN ('technician', 'auditor', 'owner')),
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_of_user ON memberships (user_id);

-- The provider's chain stands under the nil UUID.
CREATE TABLE audit_heads (
    tenant_id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    seq       BIGINT NOT NULL,
    hash      TEXT NOT NULL
);

CREATE TABLE audit_records (
    tenant_id TEXT COLLATE "C" NOT NULL,
    seq       BIGINT NOT NULL,
    audit_id  TEXT COLLATE "C" NOT NULL,
    at        TIMESTAMP NOT NULL,
    action    TEXT NOT NULL,
    record    TEXT NOT NULL,
    hash      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

CREATE TABLE person_keys (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    person_id   TEXT COLLATE "C" NOT NULL,
    wrapped_key BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, person_id)
);

CREATE TABLE idempotency_keys (
    tenant_id   TEXT COLLATE "C" NOT NULL,
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

SELECT protect_tenant_table('tenants', 'SELECT, UPDATE');
SELECT protect_tenant_table('memberships', 'SELECT, INSERT, UPDATE, DELETE');
SELECT protect_tenant_table('audit_heads', 'SELECT, INSERT, UPDATE');
SELECT protect_tenant_table('audit_records', 'SELECT, INSERT');
SELECT protect_tenant_table('person_keys', 'SELECT, INSERT');
SELECT protect_tenant_table('idempotency_keys', 'SELECT, INSERT, DELETE');

-- People are global; a tenant's transaction sees who they are, never a password's hash.
GRANT SELECT (user_id, email, name) ON users TO maildreieck_run;
GRANT SELECT, INSERT ON users TO maildreieck_worker;

-- The provider's own doings, and what must be found before a tenant is known.
CREATE POLICY provider_lists ON tenants FOR SELECT TO maildreieck_worker USING (true);
CREATE POLICY provider_adds ON tenants FOR INSERT TO maildreieck_worker WITH CHECK (true);
GRANT SELECT, INSERT ON tenants TO maildreieck_worker;
CREATE POLICY login_reads ON memberships FOR SELECT TO maildreieck_worker USING (true);
GRANT SELECT ON memberships TO maildreieck_worker;
GRANT SELECT, INSERT, UPDATE ON audit_heads TO maildreieck_worker;
GRANT SELECT, INSERT ON audit_records, person_keys TO maildreieck_worker;
CREATE POLICY sweep_sees ON idempotency_keys FOR SELECT TO maildreieck_worker USING (true);
CREATE POLICY sweep ON idempotency_keys FOR DELETE TO maildreieck_worker USING (true);
GRANT SELECT, INSERT, DELETE ON idempotency_keys TO maildreieck_worker;
