-- Enrolment codes, agents, their used nonces (global), runs and the Tx that are expected.

CREATE TABLE enrolment_codes (
    tenant_id  TEXT NOT NULL,
    code_id    TEXT NOT NULL,
    site_id    TEXT NOT NULL,
    code_hash  TEXT NOT NULL UNIQUE,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    agent_id   TEXT,
    PRIMARY KEY (tenant_id, code_id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, site_id)
);

CREATE TABLE agents (
    tenant_id         TEXT NOT NULL,
    agent_id          TEXT NOT NULL,
    site_id           TEXT NOT NULL,
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
    tenant_id   TEXT NOT NULL,
    run_id      TEXT NOT NULL,
    received_id TEXT NOT NULL,
    site_id     TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    triangle_id TEXT NOT NULL,
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
    tenant_id     TEXT NOT NULL,
    schedule_id   TEXT NOT NULL,
    due_at        TIMESTAMP NOT NULL,
    triangle_id   TEXT NOT NULL,
    grace_ends_at TIMESTAMP NOT NULL,
    run_id        TEXT,
    reported_as   TEXT,
    PRIMARY KEY (tenant_id, schedule_id, due_at),
    FOREIGN KEY (tenant_id, schedule_id) REFERENCES schedules (tenant_id, schedule_id)
);
CREATE INDEX due_of_day ON due (tenant_id, due_at);
