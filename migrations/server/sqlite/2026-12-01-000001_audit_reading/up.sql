-- The audit chains are read: whom and what a record names, for filters, and an index for each.
ALTER TABLE audit_records ADD COLUMN actor_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN object_id TEXT NOT NULL DEFAULT '';

UPDATE audit_records SET actor_id = record ->> '$.actor.id', object_id = record ->> '$.object.id';

CREATE UNIQUE INDEX audit_records_by_id ON audit_records (tenant_id, audit_id);
CREATE INDEX audit_records_of_action ON audit_records (tenant_id, action, audit_id);
CREATE INDEX audit_records_of_actor ON audit_records (tenant_id, actor_id, audit_id);
CREATE INDEX audit_records_of_object ON audit_records (tenant_id, object_id, audit_id);
CREATE INDEX audit_records_at ON audit_records (tenant_id, at);
