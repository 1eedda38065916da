"""The corpus of signatures with its golden schemas.

`python -m tests.data.corpus` writes the golden files anew; read the difference before you commit
it: a changed schema is a new version of every agent that has it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator

from remit._schema import params_schema, result_schema
from remit._signature import CallKind, read
from tests.data import signatures, signatures_postponed
from tests.data.redaction import redact

GOLDEN = Path(__file__).parent / "schemas"
CASES = {case.__name__: case for case in (*signatures.CASES, *signatures_postponed.CASES)}


def kind_of(function: Callable[..., object]) -> CallKind:
    """Return how *function* runs."""
    if inspect.isasyncgenfunction(function):
        return CallKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        return CallKind.GENERATOR
    return CallKind.COROUTINE if inspect.iscoroutinefunction(function) else CallKind.FUNCTION


def schemas_of(function: Callable[..., object]) -> dict[str, object]:
    """Return the two schemas of a function, and what is skipped of it."""
    names = list(inspect.signature(function).parameters)
    reading = read(function, skip_first=names[:1] in (["self"], ["cls"]))
    return {
        "params": params_schema(reading, redact=redact, doc=function.__doc__),
        "result": result_schema(reading, kind_of(function), redact=redact),
        "skipped": sorted(reading.skipped),
    }


def is_valid(schema: object, value: object) -> bool:
    """Return whether someone else's checker finds *value* valid."""
    checker: Any = Draft202012Validator(cast("dict[str, Any]", schema))
    return bool(checker.is_valid(value))


def text_of(name: str) -> str:
    """Return the golden text of a case as the code makes it now."""
    return json.dumps(schemas_of(CASES[name]), indent=2) + "\n"


if __name__ == "__main__":
    for name in CASES:
        (GOLDEN / f"{name}.json").write_text(text_of(name))
