-- The conversation of a run, and its first question and its answer, one line each. Runs recorded
-- before have none.
ALTER TABLE runs ADD COLUMN conversation TEXT;
ALTER TABLE runs ADD COLUMN question TEXT;
ALTER TABLE runs ADD COLUMN answer TEXT;
CREATE INDEX runs_of_conversation ON runs (account_ref, conversation, id)
  WHERE conversation IS NOT NULL;
-- By which those are found whose payloads are deleted because of their age.
CREATE INDEX runs_with_question ON runs (id) WHERE question IS NOT NULL;
