DROP INDEX audit_records_at;
DROP INDEX audit_records_of_object;
DROP INDEX audit_records_of_actor;
DROP INDEX audit_records_of_action;
DROP INDEX audit_records_by_id;
ALTER TABLE audit_records DROP COLUMN object_id;
ALTER TABLE audit_records DROP COLUMN actor_id;
