"""JSON Schema of what is recorded, from signatures.

A schema says what capture writes (docs/reference/payloads.md), with three exceptions that a check
has to know: the place of a marker (`$remit`) is not judged; where it says `integer` or `number`, an
integer beyond 2^53, NaN and the infinities stand as strings; and a failed span has the failure
object as its result.
"""

from __future__ import annotations

from remit._declare.schema.build import (
    declared_schema,
    params_schema,
    quality_schema,
    result_schema,
)
from remit._declare.schema.canonical import Redact, canonical

__all__ = [
    "Redact",
    "canonical",
    "declared_schema",
    "params_schema",
    "quality_schema",
    "result_schema",
]
