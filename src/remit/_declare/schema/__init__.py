"""JSON Schema of recorded values, from signatures.

A schema describes the JSON that capture writes (docs/reference/payloads.md), with three exceptions.
A marker (`$remit`) may replace any value. Integers beyond 2^53, NaN and the infinities are strings
where the schema has `integer` or `number`. The result of a failed span is the failure object.
"""
