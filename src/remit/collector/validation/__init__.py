"""Compares payloads with declared schemas, renders summaries, and finds the markers in payloads."""

from __future__ import annotations

from remit.collector.validation.budget import Budget as Budget
from remit.collector.validation.declarations import CompiledSpanType as CompiledSpanType
from remit.collector.validation.declarations import Declarations as Declarations
from remit.collector.validation.declarations import Declared as Declared
from remit.collector.validation.declarations import StoredSpanType as StoredSpanType
from remit.collector.validation.declarations import read_span_types as read_span_types
from remit.collector.validation.markers import KEY as KEY
from remit.collector.validation.markers import WITHHELD as WITHHELD
from remit.collector.validation.markers import exceeded as exceeded
from remit.collector.validation.markers import markers_in as markers_in
from remit.collector.validation.markers import may_hold as may_hold
from remit.collector.validation.schemas import SchemaVerdict as SchemaVerdict
