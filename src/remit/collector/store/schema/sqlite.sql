-- Version 1. Explained in docs/reference/tables.md.
--
-- Times are microseconds since 1970 in UTC. The ids of runs and spans are PFIDs in 20 bytes, whose
-- order is that of their texts; other ids are texts. JSON is stored as the text that was received.
-- A column `..._ref` has the `ref` of a row of another table, a small number that is never sent.

CREATE TABLE accounts (
  ref INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

CREATE TABLE environments (
  ref INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  account_id TEXT NOT NULL,
  name TEXT NOT NULL,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
CREATE INDEX environments_of_account ON environments (account_id, id);

CREATE TABLE agents (
  ref INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
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

-- Other content under a known external identifier is a schema version of its own.
CREATE TABLE agent_schema_versions (
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

-- `may` is read, write, erase, record or metrics, or several of them with commas between them.
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
  updated_at INTEGER NOT NULL,
  last_used_at INTEGER,
  made_by TEXT,
  name TEXT,
  may TEXT NOT NULL DEFAULT 'write'
);

-- The sessions of people at the page, and codes with which one begins. `token_id` is the token that
-- began it; NULL for the operator of the server.
CREATE TABLE page_sessions (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  token_id TEXT,
  secret_hash BLOB NOT NULL UNIQUE,
  inserted_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
);

-- The types of spans that were recorded, one row for each declaration of a type by an agent.
-- `hash` is that of the declaration, empty for a type that was not declared.
CREATE TABLE span_types (
  ref INTEGER PRIMARY KEY AUTOINCREMENT,
  agent_ref INTEGER NOT NULL,
  name TEXT NOT NULL,
  title TEXT NOT NULL,
  data_risk TEXT,
  hash TEXT NOT NULL,
  UNIQUE (agent_ref, name, hash)
);
-- The words that a declaration allows or includes: `side` is action, params or result.
CREATE TABLE span_type_words (
  word TEXT NOT NULL,
  side TEXT NOT NULL,
  type_ref INTEGER NOT NULL,
  PRIMARY KEY (word, side, type_ref)
) WITHOUT ROWID;

-- Columns that the runs of one registration share.
CREATE TABLE run_places (
  ref INTEGER PRIMARY KEY AUTOINCREMENT,
  account_ref INTEGER NOT NULL,
  agent_ref INTEGER NOT NULL,
  environment_ref INTEGER NOT NULL,
  account_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  agent_version_id TEXT NOT NULL,
  agent_schema_version_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  agent_deployment_id TEXT NOT NULL,
  UNIQUE (agent_schema_version_id, agent_version_id, agent_deployment_id, environment_id, agent_id)
);

-- `flags` has the flags of its spans. The columns `failure_...` describe the failure that began
-- first; `handled` counts the failed spans whose parent is complete.
CREATE TABLE runs (
  ref INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  place_ref INTEGER NOT NULL,
  account_ref INTEGER NOT NULL,
  agent_ref INTEGER NOT NULL,
  environment_ref INTEGER NOT NULL,
  external_identifier TEXT,
  purpose TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  caused_by TEXT,
  inserted_at INTEGER NOT NULL,
  status TEXT NOT NULL,
  start_seen INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  termination_reason TEXT,
  terminated_by TEXT,
  quality_payloads TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  erased_at INTEGER,
  spans_pending INTEGER NOT NULL DEFAULT 0,
  spans_active INTEGER NOT NULL DEFAULT 0,
  spans_complete INTEGER NOT NULL DEFAULT 0,
  spans_failed INTEGER NOT NULL DEFAULT 0,
  spans_cancelled INTEGER NOT NULL DEFAULT 0,
  flags INTEGER NOT NULL DEFAULT 0,
  denied INTEGER NOT NULL DEFAULT 0,
  handled INTEGER NOT NULL DEFAULT 0,
  tokens_in INTEGER,
  tokens_out INTEGER,
  summary TEXT,
  failure_us INTEGER,
  failure_step TEXT,
  failure_type TEXT,
  failure_place TEXT,
  failure_text TEXT,
  fingerprint INTEGER
);
CREATE INDEX runs_of_account ON runs (account_ref, id);
CREATE INDEX runs_of_agent ON runs (agent_ref, id);
CREATE INDEX runs_by_status ON runs (account_ref, status, id);
CREATE INDEX runs_of_agent_by_status ON runs (agent_ref, status, id);
CREATE INDEX runs_flagged ON runs (account_ref, id) WHERE flags >= 8;
CREATE INDEX runs_failed ON runs (account_ref, id) WHERE spans_failed > 0;
CREATE INDEX runs_by_cause ON runs (caused_by, id) WHERE caused_by IS NOT NULL;
CREATE INDEX runs_by_fingerprint ON runs (fingerprint, id) WHERE fingerprint IS NOT NULL;

-- The external identifier of a run is unique within its agent and environment.
CREATE TABLE run_keys (
  external_identifier TEXT NOT NULL,
  agent_ref INTEGER NOT NULL,
  environment_ref INTEGER NOT NULL,
  run_id BLOB NOT NULL,
  PRIMARY KEY (external_identifier, agent_ref, environment_ref)
) WITHOUT ROWID;

-- `seq` grows whenever a run or one of its spans is written; it begins with the time.
CREATE TABLE run_changes (
  run_ref INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL
);
CREATE INDEX run_changes_by_seq ON run_changes (seq, run_ref);

-- A label without a value has an empty one.
CREATE TABLE run_labels (
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  run_id BLOB NOT NULL,
  run_ref INTEGER NOT NULL,
  PRIMARY KEY (key, value, run_id)
) WITHOUT ROWID;
CREATE INDEX run_labels_of_run ON run_labels (run_ref);
CREATE INDEX run_labels_by_key ON run_labels (key, run_id);

-- Whose data a run is about, as a hash.
CREATE TABLE run_subjects (
  subject_hash TEXT NOT NULL,
  run_id BLOB NOT NULL,
  run_ref INTEGER NOT NULL,
  PRIMARY KEY (subject_hash, run_id)
) WITHOUT ROWID;
CREATE INDEX run_subjects_of_run ON run_subjects (run_ref);

-- `ref` grows with the order of arrival. The statuses are 0 active, 1 cancelled, 2 complete,
-- 3 failed, 4 pending; the order is that of the words. Flags below 8 are not findings.
CREATE TABLE spans (
  ref INTEGER PRIMARY KEY,
  run_ref INTEGER NOT NULL,
  id BLOB NOT NULL,
  parent_id BLOB,
  type_ref INTEGER NOT NULL,
  status INTEGER NOT NULL,
  created_status INTEGER NOT NULL,
  flags INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  inserted_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  summary TEXT
);
CREATE UNIQUE INDEX spans_of_run ON spans (run_ref, id);
CREATE INDEX spans_by_id ON spans (id);
CREATE INDEX spans_of_type ON spans (type_ref, started_at);
CREATE INDEX spans_failed ON spans (started_at, type_ref) WHERE status = 3;

CREATE TABLE span_payloads (
  span_ref INTEGER PRIMARY KEY,
  payload TEXT NOT NULL,
  result TEXT
);

-- One row for each finding of a span: `kind` is the flag, `number` counts those of one kind.
CREATE TABLE span_findings (
  kind INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  run_ref INTEGER NOT NULL,
  span_id BLOB NOT NULL,
  number INTEGER NOT NULL,
  agent_ref INTEGER NOT NULL,
  environment_ref INTEGER NOT NULL,
  sentence TEXT,
  PRIMARY KEY (kind, started_at, run_ref, span_id, number)
) WITHOUT ROWID;
CREATE INDEX span_findings_of_run ON span_findings (run_ref);
CREATE INDEX span_findings_of_agent ON span_findings (agent_ref, started_at)
  WHERE sentence IS NOT NULL;

-- Numbers of spans, by the hour (day) since 1970 in which they began.
CREATE TABLE span_hours (
  bucket INTEGER NOT NULL,
  agent_ref INTEGER NOT NULL,
  environment_ref INTEGER NOT NULL,
  purpose TEXT NOT NULL,
  type_ref INTEGER NOT NULL,
  unfinished INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  denied INTEGER NOT NULL,
  redacted INTEGER NOT NULL,
  violation INTEGER NOT NULL,
  undeclared INTEGER NOT NULL,
  invalid INTEGER NOT NULL,
  unchecked INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  duration_max_us INTEGER NOT NULL,
  PRIMARY KEY (bucket, type_ref, agent_ref, environment_ref, purpose)
) WITHOUT ROWID;
CREATE TABLE span_days (
  bucket INTEGER NOT NULL,
  agent_ref INTEGER NOT NULL,
  environment_ref INTEGER NOT NULL,
  purpose TEXT NOT NULL,
  type_ref INTEGER NOT NULL,
  unfinished INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  denied INTEGER NOT NULL,
  redacted INTEGER NOT NULL,
  violation INTEGER NOT NULL,
  undeclared INTEGER NOT NULL,
  invalid INTEGER NOT NULL,
  unchecked INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  duration_max_us INTEGER NOT NULL,
  PRIMARY KEY (bucket, type_ref, agent_ref, environment_ref, purpose)
) WITHOUT ROWID;
-- Numbers of runs, by the hour in which their ids were made.
CREATE TABLE run_hours (
  bucket INTEGER NOT NULL,
  agent_ref INTEGER NOT NULL,
  environment_ref INTEGER NOT NULL,
  purpose TEXT NOT NULL,
  pending INTEGER NOT NULL,
  active INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  terminated INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  PRIMARY KEY (bucket, agent_ref, environment_ref, purpose)
) WITHOUT ROWID;
-- How often a rule redacted a value, by day and type of span.
CREATE TABLE redacted_days (
  bucket INTEGER NOT NULL,
  agent_ref INTEGER NOT NULL,
  environment_ref INTEGER NOT NULL,
  type_ref INTEGER NOT NULL,
  rule TEXT NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (bucket, agent_ref, environment_ref, type_ref, rule)
) WITHOUT ROWID;

-- Used idempotency keys, except those that are derived from the id of a span, which are flags of
-- the span: the response itself, or the span from which it is made again.
CREATE TABLE idempotency_keys (
  account_id TEXT NOT NULL,
  operation TEXT NOT NULL,
  key TEXT NOT NULL,
  agent_instance_id TEXT,
  agent_span_id TEXT,
  response BLOB,
  inserted_at INTEGER NOT NULL,
  request_hash TEXT,
  PRIMARY KEY (account_id, operation, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_of_instance ON idempotency_keys (agent_instance_id)
  WHERE agent_instance_id IS NOT NULL AND agent_span_id IS NULL;

-- Erasures: when, why and by whom; they stay when the run is gone.
CREATE TABLE erasures (
  id TEXT NOT NULL,
  account_id TEXT NOT NULL,
  agent_instance_id TEXT NOT NULL,
  asked_for TEXT NOT NULL,
  reason TEXT NOT NULL,
  erased_by TEXT NOT NULL,
  spans INTEGER NOT NULL,
  responses INTEGER NOT NULL,
  inserted_at INTEGER NOT NULL,
  PRIMARY KEY (agent_instance_id, id)
);
CREATE INDEX erasures_by_time ON erasures (account_id, inserted_at);

-- How far payloads were deleted because of their age: those of spans with a smaller id, among the
-- spans up to `span_ref`.
CREATE TABLE payload_retention (
  before_id BLOB NOT NULL,
  span_ref INTEGER NOT NULL
);
