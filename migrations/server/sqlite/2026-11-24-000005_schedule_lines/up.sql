-- Every line that a schedule has or had: an agent that was without the server reports what was due by an
-- earlier one. It outlives the schedule.
CREATE TABLE schedule_lines (
    tenant_id   TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    cron        TEXT NOT NULL,
    timezone    TEXT NOT NULL,
    triangle_id TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('tx', 'mirror')),
    set_at      TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, schedule_id, cron, timezone),
    FOREIGN KEY (tenant_id, triangle_id) REFERENCES triangles (tenant_id, triangle_id)
);

INSERT INTO schedule_lines (tenant_id, schedule_id, cron, timezone, triangle_id, kind, set_at)
SELECT tenant_id, schedule_id, cron, timezone, triangle_id, kind, CURRENT_TIMESTAMP FROM schedules;
