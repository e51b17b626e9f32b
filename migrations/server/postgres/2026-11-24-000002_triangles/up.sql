-- Sites, accounts, triangles and their schedules.

CREATE TABLE sites (
    tenant_id          TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    site_id            TEXT COLLATE "C" NOT NULL,
    name               TEXT NOT NULL,
    agent_id           TEXT COLLATE "C",
    assignment_version BIGINT NOT NULL,
    version            BIGINT NOT NULL,
    created_at         TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, site_id)
);

CREATE TABLE accounts (
    tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    account_id TEXT COLLATE "C" NOT NULL,
    name       TEXT NOT NULL,
    host       TEXT NOT NULL,
    port       INTEGER NOT NULL,
    tls        TEXT NOT NULL CHECK (tls IN ('implicit', 'starttls', 'none')),
    username   TEXT NOT NULL,
    version    BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, account_id)
);

CREATE TABLE triangles (
    tenant_id          TEXT COLLATE "C" NOT NULL,
    triangle_id        TEXT COLLATE "C" NOT NULL,
    site_id            TEXT COLLATE "C" NOT NULL,
    name               TEXT NOT NULL,
    primary_account_id TEXT COLLATE "C" NOT NULL,
    standby_account_id TEXT COLLATE "C" NOT NULL,
    standby_prefix     TEXT NOT NULL,
    exclude_folders    TEXT NOT NULL,
    grace_min          INTEGER,
    version            BIGINT NOT NULL,
    created_at         TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, triangle_id),
    UNIQUE (tenant_id, primary_account_id),
    UNIQUE (tenant_id, standby_account_id, standby_prefix),
    UNIQUE (tenant_id, site_id, name),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, site_id),
    FOREIGN KEY (tenant_id, primary_account_id) REFERENCES accounts (tenant_id, account_id),
    FOREIGN KEY (tenant_id, standby_account_id) REFERENCES accounts (tenant_id, account_id)
);

-- A schedule without a next due time is at rest.
CREATE TABLE schedules (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    schedule_id TEXT COLLATE "C" NOT NULL,
    triangle_id TEXT COLLATE "C" NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('tx', 'mirror')),
    cron        TEXT NOT NULL,
    timezone    TEXT NOT NULL,
    grace_min   INTEGER NOT NULL,
    next_due_at TIMESTAMP,
    PRIMARY KEY (tenant_id, schedule_id),
    UNIQUE (tenant_id, triangle_id, kind),
    FOREIGN KEY (tenant_id, triangle_id) REFERENCES triangles (tenant_id, triangle_id)
);
CREATE INDEX schedules_due ON schedules (next_due_at) WHERE next_due_at IS NOT NULL;

SELECT protect_tenant_table('sites', 'SELECT, INSERT, UPDATE');
SELECT protect_tenant_table('accounts', 'SELECT, INSERT, UPDATE');
SELECT protect_tenant_table('triangles', 'SELECT, INSERT, UPDATE');
SELECT protect_tenant_table('schedules', 'SELECT, INSERT, UPDATE, DELETE');

CREATE POLICY tick_reads ON schedules FOR SELECT TO maildreieck_worker USING (true);
CREATE POLICY tick_advances ON schedules FOR UPDATE TO maildreieck_worker USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (next_due_at) ON schedules TO maildreieck_worker;
