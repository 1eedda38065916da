-- Other content under a known external identifier is a schema version of its own.
ALTER TABLE agent_schema_versions
  ADD COLUMN content_hash text COLLATE "C",
  ADD COLUMN registered_by text COLLATE "C",
  ADD COLUMN environment_id text COLLATE "C",
  DROP CONSTRAINT agent_schema_versions_agent_id_external_identifier_key;
UPDATE agent_schema_versions SET content_hash =
  encode(sha256(convert_to(span_type_schemas || chr(10) || quality_schemas, 'UTF8')), 'hex');
ALTER TABLE agent_schema_versions
  ALTER COLUMN content_hash SET NOT NULL,
  ADD UNIQUE (agent_id, external_identifier, content_hash);

-- The external identifier of an instance is unique within agent and environment.
ALTER TABLE agent_instances
  DROP CONSTRAINT agent_instances_agent_id_external_identifier_key,
  ADD UNIQUE (agent_id, environment_id, external_identifier);
