-- Requests for a person's approval. `run` is the key of the run, which may be registered later.
-- `words`, `hidden`, `unbound` and `changed` are JSON, as `arguments` are. `asked_by` is the id of the
-- token of the program. `answered_at` and `why` are those of the first answer, or of the withdrawal.
CREATE TABLE asks (
  id TEXT NOT NULL,
  account_id TEXT NOT NULL,
  agent_id TEXT,
  environment_id TEXT,
  agent TEXT NOT NULL,
  run TEXT NOT NULL,
  ticket TEXT NOT NULL,
  step TEXT NOT NULL,
  words TEXT NOT NULL,
  arguments TEXT NOT NULL,
  hidden TEXT NOT NULL,
  unbound TEXT NOT NULL,
  changed TEXT NOT NULL,
  seal TEXT,
  after TEXT,
  body_hash TEXT NOT NULL,
  asked_by TEXT,
  asked_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  status TEXT NOT NULL,
  answered_by TEXT,
  answered_how TEXT,
  why TEXT,
  answered_at INTEGER,
  PRIMARY KEY (id),
  UNIQUE (account_id, run, ticket)
);
CREATE INDEX asks_waiting ON asks (account_id, run) WHERE status = 'waiting';
CREATE INDEX asks_by_time ON asks (account_id, asked_at);

-- Answers that came after the first one, or too late, and changed nothing.
CREATE TABLE late_answers (
  id TEXT NOT NULL,
  account_id TEXT NOT NULL,
  ask_id TEXT NOT NULL,
  answer TEXT NOT NULL,
  answered_by TEXT NOT NULL,
  answered_how TEXT NOT NULL,
  why TEXT,
  answered_at INTEGER NOT NULL,
  PRIMARY KEY (ask_id, id)
);

-- Seals of approvals that were used. Of two uses with different nonces the second is rejected.
CREATE TABLE used_seals (
  account_id TEXT NOT NULL,
  seal TEXT NOT NULL,
  nonce TEXT NOT NULL,
  used_at INTEGER NOT NULL,
  PRIMARY KEY (account_id, seal)
);
