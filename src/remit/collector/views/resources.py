"""Accounts, environments, agents, deployments, versions and tokens on the wire.

The fields of a response are those of its model that the row has too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, get_args

from msgspec import Raw
from pydantic import BaseModel

from remit.collector.models.deployment import AgentSchemaVersion
from remit.collector.store.rows import AgentRow, Row, SchemaVersionRow
from remit.collector.times import format_us
from remit.collector.validation.declarations import read_span_types
from remit.models.agent import Agent, AgentInstanceCounts

_JSON: Final = frozenset({"quality_schemas", "runtime_environment", "span_type_schemas"})
"""The fields that rows have as JSON."""
_UNFINISHED: Final = ("pending", "active")


def row_view(model: type[BaseModel], row: Row) -> dict[str, object]:
    """Return the fields of *model* that *row* has, and its type if it has one."""
    head, names = _shared(model, type(row))
    return {**head, **{name: _value(name, getattr(row, name)) for name in names}}


@cache
def _shared(model: type[BaseModel], kind: type[Row]) -> tuple[dict[str, str], list[str]]:
    """Return the type that *model* states, and the names of its fields that a row has too."""
    fields = model.model_fields
    head = {"type": get_args(fields["type"].annotation)[0]} if "type" in fields else {}
    return head, [name for name in fields if name in kind.__struct_fields__]


def _value(name: str, value: object) -> object:
    if isinstance(value, int) and name.endswith("_at"):
        return format_us(value)
    return Raw(value) if isinstance(value, str) and name in _JSON else value


def agent_view(row: AgentRow, counts: Mapping[str, int]) -> dict[str, object]:
    """Return an agent."""
    retired = row.status == "retired"
    total = sum(counts.values())
    return {
        **row_view(Agent, row),
        "available_actions": {
            "update": not retired,
            "retire": not retired,
            "reinstate": retired,
            "delete": total == 0,
        },
        "instance_counts": {
            **{status: counts.get(status, 0) for status in AgentInstanceCounts.model_fields},
            "total": total,
            "finished": total - sum(counts.get(status, 0) for status in _UNFINISHED),
        },
    }


def schema_summary(row: SchemaVersionRow) -> dict[str, object]:
    """Return a schema version as a list shows it: without the schemas, which may be long."""
    view = row_view(AgentSchemaVersion, row)
    del view["span_type_schemas"], view["quality_schemas"]
    return view


def schema_view(row: SchemaVersionRow) -> dict[str, object]:
    """Return a schema version with its schemas, in the newer form and in the older."""
    types = read_span_types(row.span_type_schemas)
    return {
        **row_view(AgentSchemaVersion, row),
        "span_schemas": {one.name: one.params_schema for one in types},
        "span_result_schemas": {one.name: one.result_schema for one in types},
    }
