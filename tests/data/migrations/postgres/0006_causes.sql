-- A run is found by its key, which is the trace id of its `traceparent`, and by what caused it.
ALTER TABLE agent_instances ADD COLUMN caused_by text COLLATE "C";
CREATE INDEX agent_instances_by_cause ON agent_instances (caused_by, id)
  WHERE caused_by IS NOT NULL;
CREATE INDEX agent_instances_by_identifier ON agent_instances (external_identifier, id)
  WHERE external_identifier IS NOT NULL;
