-- Requests for a person's approval. `run` is the key of the run, which may be registered later.
-- `words`, `hidden`, `unbound` and `changed` are JSON, as `arguments` are. `asked_by` is the id of the
-- token of the program. `answered_at` and `why` are those of the first answer, or of the withdrawal.
CREATE TABLE asks (
  id text COLLATE "C" NOT NULL,
  account_id text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C",
  environment_id text COLLATE "C",
  agent text COLLATE "C" NOT NULL,
  run text COLLATE "C" NOT NULL,
  ticket text COLLATE "C" NOT NULL,
  step text COLLATE "C" NOT NULL,
  words text NOT NULL,
  arguments text NOT NULL,
  hidden text NOT NULL,
  unbound text NOT NULL,
  changed text NOT NULL,
  seal text COLLATE "C",
  after text COLLATE "C",
  body_hash text COLLATE "C" NOT NULL,
  asked_by text COLLATE "C",
  asked_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  status text COLLATE "C" NOT NULL,
  answered_by text COLLATE "C",
  answered_how text COLLATE "C",
  why text,
  answered_at bigint,
  PRIMARY KEY (id),
  UNIQUE (account_id, run, ticket)
);
CREATE INDEX asks_waiting ON asks (account_id, run) WHERE status = 'waiting';
CREATE INDEX asks_by_time ON asks (account_id, asked_at);

-- Answers that came after the first one, or too late, and changed nothing.
CREATE TABLE late_answers (
  id text COLLATE "C" NOT NULL,
  account_id text COLLATE "C" NOT NULL,
  ask_id text COLLATE "C" NOT NULL,
  answer text COLLATE "C" NOT NULL,
  answered_by text COLLATE "C" NOT NULL,
  answered_how text COLLATE "C" NOT NULL,
  why text,
  answered_at bigint NOT NULL,
  PRIMARY KEY (ask_id, id)
);

-- Seals of approvals that were used. Of two uses with different nonces the second is rejected.
CREATE TABLE used_seals (
  account_id text COLLATE "C" NOT NULL,
  seal text COLLATE "C" NOT NULL,
  nonce text COLLATE "C" NOT NULL,
  used_at bigint NOT NULL,
  PRIMARY KEY (account_id, seal)
);
