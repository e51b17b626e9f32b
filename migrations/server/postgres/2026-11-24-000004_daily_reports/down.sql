DROP TABLE outbox;
DROP TABLE daily_reports;
DROP TABLE report_cursors;
