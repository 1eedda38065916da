"""Scripts about bulk requests, of items that name their operation."""

from __future__ import annotations

from typing import Final

from tests.collecting import NOBODY, Json
from tests.golden.recorder import Call
from tests.golden.rows import (
    CHOSEN,
    OTHER_CHOSEN,
    ROWS,
    THINGS,
    Row,
    bulk,
    details,
    registration,
    span,
)

BEFORE: Final = THINGS
REFUSED: Final = ("admin_user", "risk_profile")


def _family(row: Row) -> str:
    return row.operation.partition("/")[0]


FAMILIES: Final = list(dict.fromkeys(_family(row) for row in ROWS if row.operation))


def _is_rejected(row: Row) -> bool:
    return _family(row).startswith(REFUSED) and not row.operation.endswith("/list")


def _operations(*, wrapped: bool) -> list[Call]:
    """Return each operation as an item, those of one kind of thing in one request."""
    calls: list[Call] = []
    for family in FAMILIES:
        rows = [row for row in ROWS if _family(row) == family]
        done = [row.item(wrapped=wrapped) for row in rows if not _is_rejected(row)]
        if done:
            calls.append(Call(family, "POST /bulk", bulk(*done)))
        calls += [
            Call(row.operation, "POST /bulk", bulk(row.item(wrapped=wrapped)))
            for row in rows
            if _is_rejected(row)
        ]
    return calls


WRAPPED: Final = _operations(wrapped=True)
FLAT: Final = _operations(wrapped=False)
MISSING: Final = [
    Call(operation, "POST /bulk", bulk({"_type": operation}))
    for operation in dict.fromkeys(row.operation for row in ROWS if row.operation)
    # What needs no field would be carried out.
    if operation != "pfids/generate" and not operation.endswith("/list")
]
"""Each operation without its fields."""


def _item(operation: str = "agents/list", **fields: Json) -> dict[str, Json]:
    return {"_type": operation, **fields}


FLAT_PAGING: Final[dict[str, Json]] = {
    "pagination[offset]": 0,
    "pagination[page_size]": 1,
    "sorting": "-name",
}
RUN: Final = "<agent_instance 1>"
MIXED: Final = [
    Call("a run", "POST /agent_instance/register", registration(), silent=True),
    Call(
        "a refusal ends it",
        "POST /bulk",
        bulk(
            _item("agent_spans/create", details=span(id=CHOSEN)),
            _item("agent_spans/create", details=span(status="unknown")),
            _item("agent_spans/create", details=span(id=OTHER_CHOSEN)),
        ),
    ),
    Call("what was before it is kept", f"GET /agent_spans?agent_instance_id={RUN}"),
    Call(
        "a refusal of another kind ends it",
        "POST /bulk",
        bulk(
            _item("agents/create", details={"name": "Bulk"}),
            _item("agent_instances/start", agent_instance_id=RUN),
            _item("agent_instances/start", agent_instance_id=RUN),
            _item("agent_instances/finish", agent_instance_id=RUN),
            key="refusal",
        ),
    ),
    Call(
        "items that depend on each other",
        "POST /bulk",
        bulk(
            _item("agent_instances/register", details=registration(id=OTHER_CHOSEN)),
            _item("agent_instances/start", agent_instance_id=OTHER_CHOSEN),
            _item("agent_spans/create", details=span(OTHER_CHOSEN, id=OTHER_CHOSEN)),
            _item("agent_spans/finish", agent_span_id=OTHER_CHOSEN),
            _item("agent_instances/terminate", agent_instance_id=OTHER_CHOSEN, reason="enough"),
            _item("agent_spans/create", details=span(OTHER_CHOSEN)),
            key="dependent",
        ),
    ),
    Call(
        "an unknown type",
        "POST /bulk",
        bulk(_item(), _item("agents/nothing"), _item("agents/list")),
    ),
    Call("the type of a bulk request", "POST /bulk", bulk(_item("bulk"))),
    Call("no type", "POST /bulk", bulk({"details": {}})),
    Call("a type that is no text", "POST /bulk", bulk({"_type": 5})),
    Call("an item that is no object", "POST /bulk", {"items": [5]}),
    Call("no items", "POST /bulk", {}),
    Call("empty items", "POST /bulk", {"items": []}),
    Call("items that are no list", "POST /bulk", {"items": {}}),
    Call("no key", "POST /bulk", {"items": [{"_type": "agents/list"}]}),
    Call("a short key", "POST /bulk", {"items": [_item(idempotency_key="1234567")]}),
    Call("a long key", "POST /bulk", {"items": [_item(idempotency_key="1" * 65)]}),
    Call("a key that is no text", "POST /bulk", {"items": [_item(idempotency_key=12345678)]}),
    Call("a key twice", "POST /bulk", {"items": [_item(idempotency_key="12345678")] * 2}),
    Call(
        "a key that was used for another request",
        "POST /bulk",
        bulk(_item("agent_spans/create", details=span(payload={"question": "how"}))),
    ),
    Call(
        "details and fields: the details count",
        "POST /bulk",
        {
            "items": [
                _item(
                    "agents/create",
                    idempotency_key="both-forms",
                    name="Beside",
                    team_id="t",
                    details={"name": "Inside"},
                )
            ]
        },
    ),
    Call(
        "details that are no object",
        "POST /bulk",
        {"items": [_item("agents/create", idempotency_key="no-object", details=5)]},
    ),
    Call(
        "details that are null",
        "POST /bulk",
        {"items": [_item("agents/create", idempotency_key="null-details", name="N", details=None)]},
    ),
    Call(
        "a type beside a method and a path",
        "POST /bulk",
        {
            "items": [
                _item("ping", idempotency_key="both-kinds", method="GET", path="/api/v1/agent")
            ]
        },
    ),
    Call(
        "paging in an item",
        "POST /bulk",
        {
            "items": [
                _item(
                    idempotency_key="nested-paging",
                    pagination={"offset": 1, "page_size": 1},
                    sorting={"field": "name", "direction": "desc"},
                ),
                _item(
                    idempotency_key="flat-paging",
                    **FLAT_PAGING,
                ),
            ]
        },
    ),
    Call("a key twice in an item", "POST /bulk", b'{"items":[{"_type":"ping","_type":"ping"}]}'),
    Call(
        "not found",
        "POST /bulk",
        {"items": [_item("agents/show", idempotency_key="not-found", agent_id=NOBODY)]},
    ),
    Call(
        "a token", "POST /api_token", details(token_scope="agent_deployment", agent_id="<agent 1>")
    ),
    Call(
        "by a deployment",
        "POST /bulk",
        {
            "items": [
                _item("ping", idempotency_key="deployment-1"),
                _item("agent_instances/list", idempotency_key="deployment-2"),
                _item(idempotency_key="deployment-3"),
            ]
        },
        "<secret 1>",
    ),
    Call("without a token", "POST /bulk", bulk(_item()), "none"),
]
