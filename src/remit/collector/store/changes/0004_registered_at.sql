-- When a process last registered a schema version whole, which its first registration does.
ALTER TABLE agent_schema_versions ADD COLUMN registered_at bigint;
