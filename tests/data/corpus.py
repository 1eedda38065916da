"""The corpus of signatures with its golden schemas, and the registration of all of them.

`python -m tests.data.corpus` writes the golden files anew; read the difference before you commit
it: a changed schema is a new version of every agent that has it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator

from tests.data import (
    signatures,
    signatures_of_callables,
    signatures_of_libraries,
    signatures_postponed,
)
from tests.data.redaction import redact
from tests.inside import (
    AgentType,
    CallKind,
    Registry,
    SpanType,
    canonical,
    params_schema,
    read,
    result_schema,
)
from tests.inside import (
    registration as payload_of,
)

GOLDEN_HASH = Path(__file__).parent / "registration.sha256"
GOLDEN = Path(__file__).parent / "schemas"
FUNCTIONS = (*signatures.CASES, *signatures_postponed.CASES, *signatures_of_libraries.CASES)
CASES: dict[str, Callable[..., object]] = {
    **{each.__name__: each for each in FUNCTIONS},
    **signatures_of_callables.CASES,
}


def kind_of(function: Callable[..., object]) -> CallKind:
    """Return how *function* runs."""
    if inspect.isasyncgenfunction(function):
        return CallKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        return CallKind.GENERATOR
    return CallKind.COROUTINE if inspect.iscoroutinefunction(function) else CallKind.FUNCTION


def has_receiver(function: Callable[..., object]) -> bool:
    """Return whether the first parameter of *function* is the object or class it is called on."""
    return next(iter(inspect.signature(function).parameters), None) in {"self", "cls"}


def schemas_of(function: Callable[..., object]) -> dict[str, object]:
    """Return the two schemas of a function, and what is skipped of it."""
    reading = read(function, skip_first=has_receiver(function))
    return {
        "params": params_schema(reading, redact=redact, doc=function.__doc__),
        "result": result_schema(reading, kind_of(function), redact=redact),
        "skipped": sorted(reading.skipped),
    }


def is_valid(schema: object, value: object) -> bool:
    """Return whether someone else's checker finds *value* valid."""
    checker: Any = Draft202012Validator(cast("dict[str, Any]", schema))
    return bool(checker.is_valid(value))


def golden_text(function: Callable[..., object]) -> str:
    """Return the golden text of a function as the code makes it now."""
    return json.dumps(schemas_of(function), indent=2) + "\n"


def registration(names: Iterable[str] = CASES) -> dict[str, Any]:
    """Return the registration of an agent whose steps are the cases, declared in this order."""
    registry = Registry()
    for name in names:
        registry.add_span_type(_declared(CASES[name], f"case:{name}"))
    own = _declared(signatures.documented, "agent")
    agent = AgentType(own, span_types=("case:",), quality={"answer": signatures.Customer})
    registry.add_agent(agent)
    return payload_of(agent, registry)


def _declared(case: Callable[..., object], name: str) -> SpanType:
    return SpanType(case, kind=kind_of(case), skip_first=has_receiver(case), explicit_name=name)


def hash_of(payload: dict[str, Any]) -> str:
    """Return the hash of a registration, byte for byte."""
    return hashlib.sha256(canonical(payload).encode()).hexdigest()


if __name__ == "__main__":
    for name, function in CASES.items():
        (GOLDEN / f"{name}.json").write_text(golden_text(function))
    GOLDEN_HASH.write_text(f"{hash_of(registration())}\n")
