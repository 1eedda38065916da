-- A key that comes with another request is refused.
ALTER TABLE idempotency_keys ADD COLUMN request_hash TEXT;
-- The token that made a token: when it is suspended or revoked, so are those that it made.
ALTER TABLE api_tokens ADD COLUMN made_by TEXT;
