-- Enrolment codes, agents, their used nonces (global), runs and the Tx that are expected.

CREATE TABLE enrolment_codes (
    tenant_id  TEXT COLLATE "C" NOT NULL,
    code_id    TEXT COLLATE "C" NOT NULL,
    site_id    TEXT COLLATE "C" NOT NULL,
    code_hash  TEXT NOT NULL UNIQUE,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    agent_id   TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, code_id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, site_id)
);

CREATE TABLE agents (
    tenant_id         TEXT COLLATE "C" NOT NULL,
    agent_id          TEXT COLLATE "C" NOT NULL,
    site_id           TEXT COLLATE "C" NOT NULL,
    signing_key       TEXT NOT NULL,
    sealing_key       TEXT NOT NULL,
    counter           BIGINT NOT NULL,
    version           TEXT NOT NULL,
    platform          TEXT NOT NULL,
    enrolled_at       TIMESTAMP NOT NULL,
    replaced_at       TIMESTAMP,
    clone_seen_at     TIMESTAMP,
    last_heartbeat_at TIMESTAMP,
    last_cycle_at     TIMESTAMP,
    skew_ms           BIGINT,
    spooled_runs      BIGINT NOT NULL,
    store_bytes       BIGINT NOT NULL,
    free_disk_bytes   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, agent_id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, site_id)
);
CREATE INDEX agents_by_id ON agents (agent_id);

-- Nonces are given out unstored, with a seal; what is kept is that one was used.
CREATE TABLE used_nonces (
    nonce_hash TEXT PRIMARY KEY NOT NULL,
    expires_at TIMESTAMP NOT NULL
);

CREATE TABLE runs (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    run_id      TEXT COLLATE "C" NOT NULL,
    received_id TEXT COLLATE "C" NOT NULL,
    site_id     TEXT COLLATE "C" NOT NULL,
    agent_id    TEXT COLLATE "C" NOT NULL,
    triangle_id TEXT COLLATE "C" NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('mirror', 'tx')),
    outcome     TEXT NOT NULL CHECK (outcome IN ('done', 'held_back', 'failed')),
    verdict     TEXT CHECK (verdict IN ('unproven', 'unbalanced', 'balanced')),
    report      TEXT NOT NULL,
    report_hash TEXT NOT NULL,
    received_at TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, run_id),
    UNIQUE (tenant_id, received_id),
    FOREIGN KEY (tenant_id, triangle_id) REFERENCES triangles (tenant_id, triangle_id)
);
CREATE INDEX runs_of_triangle ON runs (tenant_id, triangle_id, received_id);

-- What a Tx schedule lets expect. `reported_as` is what the last daily report said of it.
CREATE TABLE due (
    tenant_id     TEXT COLLATE "C" NOT NULL,
    schedule_id   TEXT COLLATE "C" NOT NULL,
    due_at        TIMESTAMP NOT NULL,
    triangle_id   TEXT COLLATE "C" NOT NULL,
    grace_ends_at TIMESTAMP NOT NULL,
    run_id        TEXT COLLATE "C",
    reported_as   TEXT,
    PRIMARY KEY (tenant_id, schedule_id, due_at),
    FOREIGN KEY (tenant_id, schedule_id) REFERENCES schedules (tenant_id, schedule_id)
);
CREATE INDEX due_of_day ON due (tenant_id, due_at);

SELECT protect_tenant_table('enrolment_codes', 'SELECT, INSERT, UPDATE');
SELECT protect_tenant_table('agents', 'SELECT, INSERT, UPDATE');
SELECT protect_tenant_table('runs', 'SELECT, INSERT');
SELECT protect_tenant_table('due', 'SELECT, INSERT, UPDATE');

-- Before it is known who an agent is.
CREATE POLICY enrolment_finds ON enrolment_codes FOR SELECT TO maildreieck_worker USING (true);
GRANT SELECT ON enrolment_codes TO maildreieck_worker;
CREATE POLICY authentication_finds ON agents FOR SELECT TO maildreieck_worker USING (true);
GRANT SELECT ON agents TO maildreieck_worker;
GRANT SELECT, INSERT ON used_nonces TO maildreieck_run;
GRANT SELECT, INSERT, DELETE ON used_nonces TO maildreieck_worker;

CREATE POLICY tick_expects ON due FOR INSERT TO maildreieck_worker WITH CHECK (true);
CREATE POLICY tick_sees ON due FOR SELECT TO maildreieck_worker USING (true);
GRANT SELECT, INSERT ON due TO maildreieck_worker;
