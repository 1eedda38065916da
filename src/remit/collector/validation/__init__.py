"""Compares payloads with declared schemas, and renders summaries."""

from __future__ import annotations

from remit.collector.validation.budget import Budget as Budget
from remit.collector.validation.declarations import CompiledSpanType as CompiledSpanType
from remit.collector.validation.declarations import Declarations as Declarations
from remit.collector.validation.declarations import Declared as Declared
from remit.collector.validation.declarations import StoredSpanType as StoredSpanType
from remit.collector.validation.declarations import read_span_types as read_span_types
from remit.collector.validation.schemas import SchemaVerdict as SchemaVerdict
