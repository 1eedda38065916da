-- Times are microseconds since 1970 in UTC; ids are PFIDs; JSON is kept as the text that came.

CREATE TABLE accounts (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

CREATE TABLE environments (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  name TEXT NOT NULL,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
CREATE INDEX environments_of_account ON environments (account_id, id);

CREATE TABLE agents (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT,
  external_identifier TEXT,
  status TEXT NOT NULL,
  owner_person_id TEXT,
  risk_profile_id TEXT,
  team_id TEXT,
  body_hash TEXT NOT NULL,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (account_id, external_identifier)
);
CREATE INDEX agents_of_account ON agents (account_id, id);

CREATE TABLE agent_versions (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  external_identifier TEXT,
  name TEXT,
  description TEXT,
  runtime_environment TEXT,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (agent_id, external_identifier)
);

CREATE TABLE agent_schema_versions (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  external_identifier TEXT,
  span_type_schemas TEXT NOT NULL,
  quality_schemas TEXT NOT NULL,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (agent_id, external_identifier)
);

CREATE TABLE agent_deployments (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  current_version_id TEXT,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (agent_id, environment_id)
);

CREATE TABLE api_tokens (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  token_scope TEXT NOT NULL,
  agent_id TEXT,
  environment_id TEXT,
  agent_deployment_id TEXT,
  token_hash BLOB NOT NULL UNIQUE,
  status TEXT NOT NULL,
  expires_at INTEGER,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

CREATE TABLE agent_instances (
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
  UNIQUE (agent_id, external_identifier)
);
CREATE INDEX agent_instances_of_agent ON agent_instances (agent_id, id, status);

-- No lone unique index on ids: with random ones it halves what can be written a second. The
-- instance makes them unique, and the plain index, in the order of time, serves finish by id.
CREATE TABLE agent_spans (
  agent_instance_id TEXT NOT NULL,
  id TEXT NOT NULL,
  parent_span_id TEXT,
  schema_name TEXT NOT NULL,
  status TEXT NOT NULL,
  created_status TEXT NOT NULL,
  flags INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  create_key TEXT,
  finish_key TEXT,
  payload TEXT NOT NULL,
  result_payload TEXT,
  UNIQUE (agent_instance_id, id)
);
CREATE INDEX agent_spans_by_id ON agent_spans (id);

-- What a key was first answered with: the answer itself, or the span from which it is made again.
CREATE TABLE idempotency_keys (
  account_id TEXT NOT NULL,
  operation TEXT NOT NULL,
  key TEXT NOT NULL,
  agent_instance_id TEXT,
  agent_span_id TEXT,
  answer BLOB,
  inserted_at INTEGER NOT NULL,
  PRIMARY KEY (account_id, operation, key)
) WITHOUT ROWID;
-- Keys of spans are found by the rows of the spans, which name them.
CREATE INDEX idempotency_keys_of_instance ON idempotency_keys (agent_instance_id)
  WHERE agent_instance_id IS NOT NULL AND agent_span_id IS NULL;
