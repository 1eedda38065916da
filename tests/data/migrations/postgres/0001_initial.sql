-- Times are microseconds since 1970 in UTC; ids are PFIDs; JSON is kept as the text that came,
-- because jsonb takes no NUL and keeps neither order nor spelling. Whatever is sorted or looked up
-- is in the collation "C", the order of bytes, as in SQLite.

CREATE TABLE accounts (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  name text COLLATE "C" NOT NULL,
  inserted_at bigint NOT NULL,
  updated_at bigint NOT NULL
);

CREATE TABLE environments (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  account_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  inserted_at bigint NOT NULL,
  updated_at bigint NOT NULL
);
CREATE INDEX environments_of_account ON environments (account_id, id);

CREATE TABLE agents (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  account_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  description text,
  external_identifier text COLLATE "C",
  status text COLLATE "C" NOT NULL,
  owner_person_id text COLLATE "C",
  risk_profile_id text COLLATE "C",
  team_id text COLLATE "C",
  body_hash text COLLATE "C" NOT NULL,
  inserted_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  UNIQUE (account_id, external_identifier)
);
CREATE INDEX agents_of_account ON agents (account_id, id);

CREATE TABLE agent_versions (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  account_id text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C" NOT NULL,
  external_identifier text COLLATE "C",
  name text COLLATE "C",
  description text,
  runtime_environment text,
  inserted_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  UNIQUE (agent_id, external_identifier)
);

CREATE TABLE agent_schema_versions (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  account_id text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C" NOT NULL,
  external_identifier text COLLATE "C",
  span_type_schemas text NOT NULL,
  quality_schemas text NOT NULL,
  inserted_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  UNIQUE (agent_id, external_identifier)
);

CREATE TABLE agent_deployments (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  account_id text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C" NOT NULL,
  environment_id text COLLATE "C" NOT NULL,
  current_version_id text COLLATE "C",
  inserted_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  UNIQUE (agent_id, environment_id)
);

CREATE TABLE api_tokens (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  account_id text COLLATE "C" NOT NULL,
  token_scope text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C",
  environment_id text COLLATE "C",
  agent_deployment_id text COLLATE "C",
  token_hash bytea NOT NULL UNIQUE,
  status text COLLATE "C" NOT NULL,
  expires_at bigint,
  inserted_at bigint NOT NULL,
  updated_at bigint NOT NULL
);

CREATE TABLE agent_instances (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  account_id text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C" NOT NULL,
  agent_version_id text COLLATE "C" NOT NULL,
  agent_schema_version_id text COLLATE "C" NOT NULL,
  environment_id text COLLATE "C" NOT NULL,
  agent_deployment_id text COLLATE "C" NOT NULL,
  external_identifier text COLLATE "C",
  purpose text COLLATE "C" NOT NULL,
  body_hash text COLLATE "C" NOT NULL,
  inserted_at bigint NOT NULL,
  status text COLLATE "C" NOT NULL,
  start_seen bigint NOT NULL,
  started_at bigint,
  finished_at bigint,
  termination_reason text,
  quality_payloads text NOT NULL,
  updated_at bigint NOT NULL,
  spans_pending bigint NOT NULL DEFAULT 0,
  spans_active bigint NOT NULL DEFAULT 0,
  spans_complete bigint NOT NULL DEFAULT 0,
  spans_failed bigint NOT NULL DEFAULT 0,
  spans_cancelled bigint NOT NULL DEFAULT 0,
  UNIQUE (agent_id, external_identifier)
)
-- Room for the next state beside the last one: span counts change with every request.
WITH (fillfactor = 70);
CREATE INDEX agent_instances_of_agent ON agent_instances (agent_id, id, status);

-- In parts by time, with which an id begins, so that old ones are dropped and not deleted. The
-- instance makes ids unique, and the plain index serves finish by id.
CREATE TABLE agent_spans (
  agent_instance_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  parent_span_id text COLLATE "C",
  schema_name text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  created_status text COLLATE "C" NOT NULL,
  flags bigint NOT NULL,
  started_at bigint,
  finished_at bigint,
  inserted_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  create_key text COLLATE "C",
  finish_key text COLLATE "C",
  payload text NOT NULL,
  result_payload text,
  UNIQUE (agent_instance_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX agent_spans_by_id ON agent_spans (id);
-- Ids of times for which there is no part, which a client may choose.
CREATE TABLE agent_spans_other PARTITION OF agent_spans DEFAULT;

-- What a key was first answered with: the answer itself, or the span from which it is made again.
CREATE TABLE idempotency_keys (
  account_id text COLLATE "C" NOT NULL,
  operation text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  agent_instance_id text COLLATE "C",
  agent_span_id text COLLATE "C",
  answer bytea,
  inserted_at bigint NOT NULL,
  PRIMARY KEY (account_id, operation, key)
);
-- Keys of spans are found by the rows of the spans, which name them.
CREATE INDEX idempotency_keys_of_instance ON idempotency_keys (agent_instance_id)
  WHERE agent_instance_id IS NOT NULL AND agent_span_id IS NULL;
