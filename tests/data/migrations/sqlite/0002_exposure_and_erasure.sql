ALTER TABLE api_tokens ADD COLUMN last_used_at INTEGER;
ALTER TABLE agent_instances ADD COLUMN erased_at INTEGER;

-- Whose data a run is about, as a hash: by it all runs of one subject are found.
CREATE TABLE run_subjects (
  agent_instance_id TEXT NOT NULL,
  subject_hash TEXT NOT NULL,
  PRIMARY KEY (agent_instance_id, subject_hash)
) WITHOUT ROWID;
CREATE INDEX run_subjects_by_hash ON run_subjects (subject_hash);

-- What was erased, when, why and by whom; it stays when the run is gone.
CREATE TABLE erasures (
  id TEXT NOT NULL,
  account_id TEXT NOT NULL,
  agent_instance_id TEXT NOT NULL,
  asked_for TEXT NOT NULL,
  reason TEXT NOT NULL,
  erased_by TEXT NOT NULL,
  spans INTEGER NOT NULL,
  answers INTEGER NOT NULL,
  inserted_at INTEGER NOT NULL,
  PRIMARY KEY (agent_instance_id, id)
);
