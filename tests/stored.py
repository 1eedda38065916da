"""The rows of an SQLite database, as one table to select from."""

from __future__ import annotations

from typing import Final

from tests.inside_collector import STATUSES

_WORDS: Final = " ".join(f"WHEN {number} THEN '{word}'" for number, word in enumerate(STATUSES))
SPANS: Final = f"""(
    SELECT hex(s.id) AS id, hex(s.parent_id) AS parent_span_id, s.run_ref,
        t.name AS schema_name, CASE s.status {_WORDS} END AS status, b.payload,
        b.result AS result_payload
    FROM spans AS s
    JOIN span_types AS t ON t.ref = s.type_ref
    LEFT JOIN span_payloads AS b ON b.span_ref = s.ref
)"""
"""The spans, with the columns of their wire form and the reference of their run."""
