-- How many questions a run asked a person, and how many answers it has. Runs recorded before have
-- none.
ALTER TABLE runs ADD COLUMN asked bigint NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN answered bigint NOT NULL DEFAULT 0;
CREATE INDEX runs_waiting ON runs (account_ref, status, id) WHERE status = 'active' AND asked > answered;
