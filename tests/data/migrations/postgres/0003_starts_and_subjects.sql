-- Spans of a time: in the order in which most arrive, so that it costs little to keep.
CREATE INDEX agent_spans_by_start ON agent_spans (started_at);

-- Runs that were recorded before it was noted whom they are about. What `->>` cannot make a text of,
-- it fails on.
INSERT INTO run_subjects (agent_instance_id, subject_hash)
  SELECT DISTINCT agent_instance_id,
    encode(sha256(convert_to(payload::json ->> 'subject', 'UTF8')), 'hex')
  FROM agent_spans
  WHERE schema_name = 'remit:run' AND json_typeof(payload::json -> 'subject') = 'string'
    AND payload !~* '\\u(0000|d[89a-f])'
  ON CONFLICT DO NOTHING;
