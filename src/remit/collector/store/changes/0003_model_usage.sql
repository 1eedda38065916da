-- Calls, tokens and reported costs of the models of a run, as JSON. Runs recorded before have none.
ALTER TABLE runs ADD COLUMN model_usage TEXT;
