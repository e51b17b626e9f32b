-- The certificates of runs, as a chain for each triangle, and what the server said of each.
CREATE TABLE certificates (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    run_id           TEXT COLLATE "C" NOT NULL,
    triangle_id      TEXT COLLATE "C" NOT NULL,
    certificate_hash TEXT COLLATE "C" NOT NULL,
    previous_hash    TEXT COLLATE "C",
    chain            TEXT NOT NULL CHECK (chain IN ('begun', 'continued', 'begun_anew', 'gap', 'forked')),
    countersignature TEXT NOT NULL,
    PRIMARY KEY (tenant_id, run_id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, run_id),
    FOREIGN KEY (tenant_id, triangle_id) REFERENCES triangles (tenant_id, triangle_id)
);
CREATE INDEX certificates_by_hash ON certificates (tenant_id, triangle_id, certificate_hash);
CREATE INDEX certificates_by_previous ON certificates (tenant_id, triangle_id, previous_hash);

SELECT protect_tenant_table('certificates', 'SELECT, INSERT');
