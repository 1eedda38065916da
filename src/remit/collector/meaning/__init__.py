"""Compares payloads with declared schemas, renders summaries, and finds the markers in payloads."""

from __future__ import annotations

from remit.collector.meaning.budget import Budget as Budget
from remit.collector.meaning.declarations import CompiledSpanType as CompiledSpanType
from remit.collector.meaning.declarations import Declarations as Declarations
from remit.collector.meaning.declarations import Declared as Declared
from remit.collector.meaning.markers import KEY as KEY
from remit.collector.meaning.markers import WITHHELD as WITHHELD
from remit.collector.meaning.markers import exceeded as exceeded
from remit.collector.meaning.markers import markers_in as markers_in
from remit.collector.meaning.markers import may_hold as may_hold
from remit.collector.meaning.schemas import SchemaVerdict as SchemaVerdict
