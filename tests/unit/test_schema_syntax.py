"""What newer Pythons spell anew: `type` statements and type parameters (PEP 695, PEP 696)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from remit._declare.schema.build import params_schema, result_schema
from remit._inspect.signature import CallKind, read
from tests.data.redaction import redact

# In a text, because older Pythons cannot read it.
SOURCE = """
{future}
from typing import TypeVar

from pydantic import BaseModel

type Tags = list[str]
type Tree = dict[str, Tree] | str
type Pair[T] = tuple[T, T]

class Page[T](BaseModel):
    items: list[T]

class Shelf[K: str, V]:
    def put(self, key: K, value: list[V]) -> Page[int]: ...

def first[T: (int, str)](items: list[T], tags: Tags, tree: Tree, pair: Pair[int]) -> T: ...
"""

pytestmark = [
    pytest.mark.python,
    pytest.mark.skipif(
        sys.version_info < (3, 12), reason="only on Python 3.12 and later: the syntax is new"
    ),
]


@pytest.fixture(params=["", "from __future__ import annotations"], ids=["evaluated", "postponed"])
def names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a module in that syntax."""
    module = type(sys)("remit_test_syntax")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(SOURCE.format(future=request.param), vars(module))
    return vars(module)


def params_of(function: Callable[..., object], *, skip_first: bool = False) -> Any:
    """Return the schema of the parameters of *function*."""
    return params_schema(read(function, skip_first=skip_first), redact=redact)


def test_type_statements_and_parameters_of_functions_are_read(names: dict[str, Any]) -> None:
    """As the spellings before them."""
    schema = params_of(names["first"])
    assert schema["properties"] == {
        "items": {
            "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            "type": "array",
        },
        "pair": {"$ref": "#/$defs/Pair_int_"},
        "tags": {"$ref": "#/$defs/Tags"},
        "tree": {"$ref": "#/$defs/Tree"},
    }
    assert schema["$defs"]["Tree"]["anyOf"][0] == {
        "additionalProperties": {"$ref": "#/$defs/Tree"},
        "type": "object",
    }


def test_parameters_of_a_class_are_known_in_its_methods(names: dict[str, Any]) -> None:
    """Also where annotations are texts."""
    put = names["Shelf"].put
    assert params_of(put, skip_first=True)["properties"] == {
        "key": {"type": "string"},
        "value": {"items": {}, "type": "array"},
    }
    result = result_schema(read(put, skip_first=True), CallKind.FUNCTION, redact=redact)
    assert result["properties"] == {"items": {"items": {"type": "integer"}, "type": "array"}}
