-- The audit chains are read: whom and what a record names, for filters, and an index for each.
ALTER TABLE audit_records ADD COLUMN actor_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN object_id TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Row security is for the roles of the server; here the tables' owner fills in all tenants' rows.
ALTER TABLE audit_records NO FORCE ROW LEVEL SECURITY;
UPDATE audit_records SET actor_id = record::json #>> '{actor,id}', object_id = record::json #>> '{object,id}';
ALTER TABLE audit_records FORCE ROW LEVEL SECURITY;

ALTER TABLE audit_records ALTER COLUMN actor_id DROP DEFAULT;
ALTER TABLE audit_records ALTER COLUMN object_id DROP DEFAULT;
CREATE UNIQUE INDEX audit_records_by_id ON audit_records (tenant_id, audit_id);
CREATE INDEX audit_records_of_action ON audit_records (tenant_id, action, audit_id);
CREATE INDEX audit_records_of_actor ON audit_records (tenant_id, actor_id, audit_id);
CREATE INDEX audit_records_of_object ON audit_records (tenant_id, object_id, audit_id);
CREATE INDEX audit_records_at ON audit_records (tenant_id, at);
