"""JSON Schema of what is recorded, from signatures.

A schema describes what capture writes (docs/reference/payloads.md), with three exceptions. A marker
(`$remit`) may replace any value. Integers beyond 2^53, NaN and the infinities are strings where the
schema has `integer` or `number`. The result of a failed span is the failure object.
"""

from __future__ import annotations

from remit._declare.schema.build import declared_schema as declared_schema
from remit._declare.schema.build import params_schema as params_schema
from remit._declare.schema.build import quality_schema as quality_schema
from remit._declare.schema.build import result_schema as result_schema
from remit._declare.schema.canonical import OWNER as OWNER
from remit._declare.schema.canonical import RULES_OFF as RULES_OFF
from remit._declare.schema.canonical import STEP_KIND as STEP_KIND
from remit._declare.schema.canonical import WITHHELD as WITHHELD
from remit._declare.schema.canonical import Redact as Redact
from remit._declare.schema.canonical import canonical as canonical
