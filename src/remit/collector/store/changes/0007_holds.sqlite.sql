-- Actions that people held. They stay when they have ended. `actions` and `agent_ids` are lists with
-- commas between their items; without agents a hold is about all.
CREATE TABLE holds (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL,
  actions TEXT NOT NULL,
  agent_ids TEXT NOT NULL,
  declared_only INTEGER NOT NULL,
  reason TEXT NOT NULL,
  held_by TEXT NOT NULL,
  inserted_at INTEGER NOT NULL,
  ends_at INTEGER,
  lifted_at INTEGER,
  lifted_by TEXT
);
CREATE INDEX holds_by_time ON holds (account_id, inserted_at);

-- The last number of the holds that each process knew. Rows of processes that were silent for a day
-- are deleted.
CREATE TABLE hold_processes (
  account_id TEXT NOT NULL,
  id TEXT NOT NULL,
  host TEXT NOT NULL,
  agents TEXT NOT NULL,
  number INTEGER NOT NULL,
  known_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (account_id, id)
) WITHOUT ROWID;
