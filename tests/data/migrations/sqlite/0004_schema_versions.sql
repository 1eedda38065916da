-- Other content under a known external identifier is a schema version of its own.
CREATE TABLE agent_schema_versions_new (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  external_identifier TEXT,
  span_type_schemas TEXT NOT NULL,
  quality_schemas TEXT NOT NULL,
  content_hash TEXT NOT NULL,
  registered_by TEXT,
  environment_id TEXT,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (agent_id, external_identifier, content_hash)
);
INSERT INTO agent_schema_versions_new (
    id, account_id, agent_id, external_identifier, span_type_schemas, quality_schemas,
    content_hash, inserted_at, updated_at
  )
  SELECT id, account_id, agent_id, external_identifier, span_type_schemas, quality_schemas,
    remit_content_hash(span_type_schemas, quality_schemas), inserted_at, updated_at
  FROM agent_schema_versions;
DROP TABLE agent_schema_versions;
ALTER TABLE agent_schema_versions_new RENAME TO agent_schema_versions;

-- The external identifier of an instance is unique within agent and environment.
CREATE TABLE agent_instances_new (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  agent_version_id TEXT NOT NULL,
  agent_schema_version_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  agent_deployment_id TEXT NOT NULL,
  external_identifier TEXT,
  purpose TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  inserted_at INTEGER NOT NULL,
  status TEXT NOT NULL,
  start_seen INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  termination_reason TEXT,
  quality_payloads TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  spans_pending INTEGER NOT NULL DEFAULT 0,
  spans_active INTEGER NOT NULL DEFAULT 0,
  spans_complete INTEGER NOT NULL DEFAULT 0,
  spans_failed INTEGER NOT NULL DEFAULT 0,
  spans_cancelled INTEGER NOT NULL DEFAULT 0,
  erased_at INTEGER,
  UNIQUE (agent_id, environment_id, external_identifier)
);
INSERT INTO agent_instances_new (
    id, account_id, agent_id, agent_version_id, agent_schema_version_id, environment_id,
    agent_deployment_id, external_identifier, purpose, body_hash, inserted_at, status, start_seen,
    started_at, finished_at, termination_reason, quality_payloads, updated_at, spans_pending,
    spans_active, spans_complete, spans_failed, spans_cancelled, erased_at
  )
  SELECT id, account_id, agent_id, agent_version_id, agent_schema_version_id, environment_id,
    agent_deployment_id, external_identifier, purpose, body_hash, inserted_at, status, start_seen,
    started_at, finished_at, termination_reason, quality_payloads, updated_at, spans_pending,
    spans_active, spans_complete, spans_failed, spans_cancelled, erased_at
  FROM agent_instances;
DROP TABLE agent_instances;
ALTER TABLE agent_instances_new RENAME TO agent_instances;
CREATE INDEX agent_instances_of_agent ON agent_instances (agent_id, id, status);
