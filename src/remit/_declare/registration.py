"""Builds the registration of an agent from its declarations.

The identifier of a schema version is a hash of its content. The same code registers the same
version in every process, under every hash seed and on every Python, for one version of remit and
of pydantic. Data of the machine is added when the registration is sent.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Final, cast, get_args
from weakref import WeakKeyDictionary

from remit._base.guard import guarded
from remit._base.memo import memo
from remit._capture.encode import Rules, redacted
from remit._declare.inference import effective, plan_of
from remit._declare.registry import (
    ANSWERED_TYPE,
    ASKED_TYPE,
    LOSS_TYPE,
    RUN_TYPE,
    AgentType,
    Registry,
    SpanType,
    display_name,
)
from remit._declare.schema.build import params_schema, quality_schema, result_schema
from remit._declare.schema.canonical import ASKS, OWNER, STEP_KIND, Redact, canonical
from remit._inspect.docstrings import free_of_secrets, summary
from remit._inspect.fields import are_resolvable
from remit._inspect.signature import RETURN
from remit._policy.maxima import KEYWORD, maxima_of
from remit._policy.words import WITHOUT_EFFECT
from remit.models._types import Purpose

Entry = dict[str, object]

# Without the user's hook: the same source registers the same payload whatever the settings.
REDACT: Final = partial(redacted, rules=Rules())

SHORT_HASH_CHARS: Final = 12
"""Length of the hash in the name of a version that the author did not name."""

_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}

_OWN_TYPES: Final[tuple[Entry, ...]] = (
    {
        "name": RUN_TYPE,
        "title": "Run",
        "description": "One run of the agent, from its start to its end.",
        "params_schema": {
            "type": "object",
            "properties": {
                "host": _TEXT,
                "labels": {"type": ["object", "null"]},
                "pid": {"type": "integer"},
                "purpose": {"type": "string", "enum": sorted(get_args(Purpose))},
                "sdk": _TEXT,
                "subject": _TEXT_OR_NULL,
            },
        },
        "result_schema": {
            "type": "object",
            "properties": {
                "error": {"type": "object"},
                "lost": _COUNT,
                "reason": _TEXT_OR_NULL,
                "spans": _COUNT,
                "status": _TEXT,
            },
        },
    },
    {
        "name": LOSS_TYPE,
        "title": "Loss",
        "description": "What was recorded and could not be delivered.",
        "params_schema": {
            "type": "object",
            "properties": {
                "counts": {"type": "object", "additionalProperties": _COUNT},
                "reason": _TEXT,
            },
        },
        "result_schema": {"type": "object"},
    },
)

_ASK_TYPES: Final[tuple[Entry, ...]] = (
    {
        "name": ASKED_TYPE,
        "title": "Asked",
        "description": "A question to a person: whether a step may run.",
        "params_schema": {
            "type": "object",
            "properties": {
                "arguments": {"type": "object"},
                "asked": {},
                "how": _TEXT,
                "step": _TEXT,
                "ticket": _TEXT,
                "time_limit_s": {"type": "number"},
                "unbound": {"type": "array", "items": _TEXT},
                "words": {"type": "array", "items": _TEXT},
            },
        },
        "result_schema": {"type": "object"},
    },
    {
        "name": ANSWERED_TYPE,
        "title": "Answered",
        "description": "The answer to a question, or how it ended without one.",
        "params_schema": {
            "type": "object",
            "properties": {
                "answer": {},
                "as_claimed": {"type": "boolean"},
                "by": _TEXT_OR_NULL,
                "decision": _TEXT,
                "ticket": _TEXT_OR_NULL,
                "waited_ms": {"type": ["number", "null"]},
                "why": _TEXT_OR_NULL,
            },
        },
        "result_schema": {"type": "object"},
    },
)
"""In the registration of an agent that asks."""


def registration(agent: AgentType, registry: Registry, *, redact: Redact = REDACT) -> Entry:
    """Return the registration of *agent* as plain JSON, without the fields of a single run.

    It has `agent_version`, `agent_schema_version`, and the ids that the author gave. `redact` is
    applied to defaults, examples, enumerated values and descriptions.
    """
    with memo():
        schemas = [_span_type_schema(each, redact) for each in registry.span_types_of(agent)]
    asks = agent.data_risk is not None and bool(agent.data_risk.asks)
    own_types = (*_OWN_TYPES, *_ASK_TYPES) if asks else _OWN_TYPES
    content: Entry = {"span_type_schemas": _sorted([*schemas, *copy.deepcopy(own_types)])}
    if agent.quality:
        content["quality_schemas"] = _sorted(
            {"name": name, "schema": quality_schema(declared, redact=redact)}
            for name, declared in agent.quality.items()
        )
    digest = hashlib.sha256(canonical(content).encode()).hexdigest()
    version = free_of_secrets(agent.version, redact) or f"schema-{digest[:SHORT_HASH_CHARS]}"
    return {
        **_present(agent_id=agent.agent_id, environment_id=agent.environment_id),
        "agent_version": _present(
            name=agent.name,
            external_identifier=version,
            description=free_of_secrets(agent.description, redact),
        ),
        "agent_schema_version": {"external_identifier": f"schema-{digest}", **content},
    }


@guarded("preparing the registrations")
def prepare(registry: Registry) -> None:
    """Read the types of the declared agents and their steps, and build the schemas.

    The first run then has less to do. A step whose annotations refer to a name that does not exist
    yet is left to that run: `configure()` may be called before the end of a module.
    """
    span_types = {each for agent in registry.agents() for each in registry.span_types_of(agent)}
    with memo():
        for span_type in span_types:
            _prepare(span_type)


@guarded("preparing a registration")
def _prepare(span_type: SpanType) -> None:
    # By a copy, because a declaration reads its signature once.
    reading = replace(span_type)
    if are_resolvable(reading.recorded_signature):
        vars(span_type).update(vars(reading))
        _span_type_schema(span_type, REDACT)


_SCHEMAS: Final[WeakKeyDictionary[SpanType, str]] = WeakKeyDictionary()
"""By declaration, the JSON that was built with `REDACT`."""


def _span_type_schema(span_type: SpanType, redact: Redact) -> Entry:
    if redact is not REDACT:
        return _built(span_type, redact)
    text = _SCHEMAS.get(span_type)
    if text is None:
        text = _SCHEMAS[span_type] = json.dumps(_built(span_type, redact))
    return cast("Entry", json.loads(text))


def _built(span_type: SpanType, redact: Redact) -> Entry:
    plan, risk = plan_of(span_type), effective(span_type)
    off = plan.rules_off
    return _present(
        name=span_type.name,
        title=free_of_secrets(span_type.title, redact) or display_name(span_type.qualname),
        description=free_of_secrets(span_type.description or summary(span_type.doc), redact),
        template=free_of_secrets(span_type.template, redact),
        params_schema=params_schema(
            span_type.declared_signature,
            redact=redact,
            doc=span_type.doc,
            declared=span_type.params,
            redacted=plan.redacted,
            rules_off=off,
        )
        | ({STEP_KIND: kind} if (kind := span_type.step_kind) in WITHOUT_EFFECT else {})
        | _present(
            **{
                OWNER: free_of_secrets(span_type.owner, redact),
                KEYWORD: dict(maxima_of(span_type.limits)) or None,
            }
        )
        | ({ASKS: list(risk.asks)} if risk is not None and risk.asks else {}),
        result_schema=result_schema(
            span_type.recorded_signature,
            span_type.kind,
            redact=redact,
            declared=span_type.result,
            redacted=plan.result_plan.rule,
            rules_off=sorted({*off[""], *off[RETURN]}),
        ),
        data_risk=None if risk is None else risk.model_dump(mode="json"),
    )


def _present(**members: object) -> Entry:
    """Return the members that have a value: the API tells an absent one from null."""
    return {name: value for name, value in members.items() if value is not None}


def _sorted(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: str(entry["name"]))
