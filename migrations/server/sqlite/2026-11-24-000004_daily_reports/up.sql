-- The owner's daily reports, the day each tenant has come to, and the outbox of their mails.

CREATE TABLE report_cursors (
    tenant_id TEXT PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id),
    local_day DATE NOT NULL,
    check_at  TIMESTAMP NOT NULL
);
CREATE INDEX report_cursors_due ON report_cursors (check_at);

CREATE TABLE daily_reports (
    tenant_id  TEXT NOT NULL REFERENCES tenants (tenant_id),
    report_id  TEXT NOT NULL,
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
    tenant_id       TEXT NOT NULL,
    mail_id         TEXT NOT NULL,
    report_id       TEXT NOT NULL,
    recipient       TEXT NOT NULL,
    message_id      TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed')),
    attempts        BIGINT NOT NULL,
    next_attempt_at TIMESTAMP NOT NULL,
    last_error      TEXT,
    created_at      TIMESTAMP NOT NULL,
    PRIMARY KEY (tenant_id, mail_id),
    FOREIGN KEY (tenant_id, report_id) REFERENCES daily_reports (tenant_id, report_id)
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'pending';
