ALTER TABLE api_tokens ADD COLUMN last_used_at bigint;
ALTER TABLE agent_instances ADD COLUMN erased_at bigint;

-- Whose data a run is about, as a hash: by it all runs of one subject are found.
CREATE TABLE run_subjects (
  agent_instance_id text COLLATE "C" NOT NULL,
  subject_hash text COLLATE "C" NOT NULL,
  PRIMARY KEY (agent_instance_id, subject_hash)
);
CREATE INDEX run_subjects_by_hash ON run_subjects (subject_hash);

-- What was erased, when, why and by whom; it stays when the run is gone.
CREATE TABLE erasures (
  id text COLLATE "C" NOT NULL,
  account_id text COLLATE "C" NOT NULL,
  agent_instance_id text COLLATE "C" NOT NULL,
  asked_for text COLLATE "C" NOT NULL,
  reason text NOT NULL,
  erased_by text NOT NULL,
  spans bigint NOT NULL,
  answers bigint NOT NULL,
  inserted_at bigint NOT NULL,
  PRIMARY KEY (agent_instance_id, id)
);
