-- Spans of a time: in the order in which most arrive, so that it costs little to keep.
CREATE INDEX agent_spans_by_start ON agent_spans (started_at);

-- Runs that were recorded before it was noted whom they are about.
INSERT INTO run_subjects (agent_instance_id, subject_hash)
  SELECT agent_instance_id, remit_subject_hash(payload) AS found FROM agent_spans
  WHERE schema_name = 'remit:run' AND found IS NOT NULL
  ON CONFLICT DO NOTHING;
