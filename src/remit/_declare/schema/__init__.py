"""JSON Schema of what is recorded, from signatures.

A schema describes what capture writes (docs/reference/payloads.md), with three exceptions. A marker
(`$remit`) may replace any value. Integers beyond 2^53, NaN and the infinities are strings where the
schema has `integer` or `number`. The result of a failed span is the failure object.
"""
