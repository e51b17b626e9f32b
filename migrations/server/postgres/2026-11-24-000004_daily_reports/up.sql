-- The owner's daily reports, the day each tenant has come to, and the outbox of their mails.

CREATE TABLE report_cursors (
    tenant_id TEXT COLLATE "C" PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id),
    local_day DATE NOT NULL,
    check_at  TIMESTAMP NOT NULL
);
CREATE INDEX report_cursors_due ON report_cursors (check_at);

CREATE TABLE daily_reports (
    tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    report_id  TEXT COLLATE "C" NOT NULL,
    local_day  DATE NOT NULL,
    verdict    TEXT NOT NULL,
    language   TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body_text  TEXT NOT NULL,
    body_html  TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, report_id),
    UNIQUE (tenant_id, local_day)
);

CREATE TABLE outbox (
    tenant_id       TEXT COLLATE "C" NOT NULL,
    mail_id         TEXT COLLATE "C" NOT NULL,
    report_id       TEXT COLLATE "C" NOT NULL,
    recipient       TEXT NOT NULL,
    message_id      TEXT COLLATE "C" NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed')),
    attempts        BIGINT NOT NULL,
    next_attempt_at TIMESTAMP NOT NULL,
    last_error      TEXT,
    created_at      TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, mail_id),
    FOREIGN KEY (tenant_id, report_id) REFERENCES daily_reports (tenant_id, report_id)
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'pending';

SELECT protect_tenant_table('report_cursors', 'SELECT, INSERT, UPDATE');
SELECT protect_tenant_table('daily_reports', 'SELECT, INSERT');
SELECT protect_tenant_table('outbox', 'SELECT, INSERT, UPDATE');

CREATE POLICY tick_finds ON report_cursors FOR SELECT TO maildreieck_worker USING (true);
GRANT SELECT ON report_cursors TO maildreieck_worker;
CREATE POLICY sender_finds ON outbox FOR SELECT TO maildreieck_worker USING (true);
CREATE POLICY sender_claims ON outbox FOR UPDATE TO maildreieck_worker USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (attempts, next_attempt_at) ON outbox TO maildreieck_worker;
