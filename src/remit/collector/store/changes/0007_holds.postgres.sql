-- Actions that people held. They stay when they have ended. `actions` and `agent_ids` are lists with
-- commas between their items; without agents a hold is about all.
CREATE TABLE holds (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  account_id text COLLATE "C" NOT NULL,
  actions text COLLATE "C" NOT NULL,
  agent_ids text COLLATE "C" NOT NULL,
  declared_only smallint NOT NULL,
  reason text COLLATE "C" NOT NULL,
  held_by text COLLATE "C" NOT NULL,
  inserted_at bigint NOT NULL,
  ends_at bigint,
  lifted_at bigint,
  lifted_by text COLLATE "C"
);
CREATE INDEX holds_by_time ON holds (account_id, inserted_at);

-- The last number of the holds that each process knew. Rows of processes that were silent for a day
-- are deleted.
CREATE TABLE hold_processes (
  account_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  host text COLLATE "C" NOT NULL,
  agents text COLLATE "C" NOT NULL,
  number bigint NOT NULL,
  known_at bigint NOT NULL,
  seen_at bigint NOT NULL,
  PRIMARY KEY (account_id, id)
);
