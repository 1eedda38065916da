-- The fields of a violation, as in a payload; `limit_word` and `limit_number` are its `limit` and
-- `number`. Violations recorded before have only the sentence.
ALTER TABLE span_findings ADD COLUMN part TEXT;
ALTER TABLE span_findings ADD COLUMN name TEXT;
ALTER TABLE span_findings ADD COLUMN word TEXT;
ALTER TABLE span_findings ADD COLUMN agent TEXT;
ALTER TABLE span_findings ADD COLUMN limit_word TEXT;
ALTER TABLE span_findings ADD COLUMN limit_number bigint;
ALTER TABLE span_findings ADD COLUMN hold TEXT;
