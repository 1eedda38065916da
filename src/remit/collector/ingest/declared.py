"""What an agent declared, gathered over its span types: in words, and the risk of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypedDict, cast, get_args

from remit.collector.ingest.context import Context
from remit.collector.ingest.instances import instance_of
from remit.collector.store import AgentRow, Page, SchemaVersionRow, VersionRow
from remit.collector.wire import encode, object_of, read_json
from remit.models.data_risk import ActionProfile, Classification, DataCategories

_NEWEST: Final = Page(0, 1, "id", descending=True)
_CLASSES: Final = get_args(Classification)
_PARTS: Final = ("params_data_categories", "result_data_categories")


class DeclaredSpanType(TypedDict):
    """A span type as a schema version keeps it."""

    name: str
    title: str | None
    description: str | None
    data_risk: Mapping[str, Mapping[str, str]] | None


def declared_risk(ctx: Context, agent_id: str) -> dict[str, object]:
    """Return what the newest schema version of an agent says of all its span types together.

    An action is allowed where one of them may take it and disallowed where none may; a category
    is included where one of them has it and excluded where none has; the closest class counts.
    """
    account_id = ctx.caller.account_id
    listed = ctx.tx.list_rows(SchemaVersionRow, account_id, {"agent_id": agent_id}, _NEWEST).rows
    newest = [ctx.tx.row(SchemaVersionRow, account_id, row.id) for row in listed]
    risks = [one["data_risk"] or {} for row in newest if row for one in _span_types(row)]
    actions = [risk.get("action_profile", {}) for risk in risks]
    rollup: dict[str, object] = {
        "action_profile": {
            name: _together([said.get(name) for said in actions], "allowed", "disallowed")
            for name in ActionProfile.model_fields
        }
    }
    for part in _PARTS:
        rollup[part] = _categories([risk.get(part, {}) for risk in risks])
    return rollup


def agent_context(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return a description of the agent of an instance, for a language model."""
    del key
    instance = instance_of(ctx, object_of(params, ctx.settings.max_depth))
    account_id = ctx.caller.account_id
    agent = ctx.tx.agent(account_id, instance.agent_id)
    version = ctx.tx.row(VersionRow, account_id, instance.agent_version_id)
    schema = ctx.tx.row(SchemaVersionRow, account_id, instance.agent_schema_version_id)
    body = "\n".join(_lines(agent, version, schema))
    return encode({"status": "success", "agent_context": {"body": body}})


def span_type_names(ctx: Context, schema_version_id: str) -> list[str]:
    """Return the names of the span types of a schema version."""
    row = ctx.tx.row(SchemaVersionRow, ctx.caller.account_id, schema_version_id)
    return [] if row is None else [one["name"] for one in _span_types(row)]


def _span_types(row: SchemaVersionRow) -> list[DeclaredSpanType]:
    return cast("list[DeclaredSpanType]", read_json(row.span_type_schemas))


def _categories(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    names = [name for name in DataCategories.model_fields if name != "classification"]
    classes = [_CLASSES.index(part.get("classification", "unknown")) for part in parts]
    return {
        **{
            name: _together([part.get(name) for part in parts], "included", "excluded")
            for name in names
        },
        "classification": _CLASSES[max(classes, default=0)],
    }


def _together(words: Sequence[str | None], some: str, none: str) -> str:
    if some in words:
        return some
    return none if words and all(word == none for word in words) else "unknown"


def _lines(
    agent: AgentRow | None, version: VersionRow | None, schema: SchemaVersionRow | None
) -> Iterator[str]:
    """Yield the lines of the text, in Markdown."""
    if agent is not None:
        yield f"# {agent.name}"
        yield from ("", agent.description) if agent.description else ()
    if version is not None:
        named = version.name or version.external_identifier or version.id
        yield from ("", f"Version: {named}")
        yield from ("", version.description) if version.description else ()
    types = [] if schema is None else _span_types(schema)
    if types:
        yield from ("", "## Span types", "")
    for one in types:
        title = f" ({one['title']})" if one["title"] else ""
        said = f": {one['description']}" if one["description"] else ""
        yield f"- `{one['name']}`{title}{said}"
