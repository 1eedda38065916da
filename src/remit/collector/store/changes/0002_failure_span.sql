-- The id of the span where the failure of a run began. Runs that failed before have none.
ALTER TABLE runs ADD COLUMN failure_span TEXT;
