"""Annotations of Python 3.14, which are evaluated when they are read and not when they are met.

The programs are text: before 3.14 a module like these cannot be imported.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

import remit
from remit.errors import DeclarationError
from remit.testing import isolated

pytestmark = [
    pytest.mark.python,
    pytest.mark.skipif(
        sys.version_info < (3, 14),
        reason="only on Python 3.14 and later: lazy annotations",
    ),
]

LATER = """
import remit
from typing import Annotated, NamedTuple, TypedDict

@remit.span_type
def book(
    seat: Seat,
    row: Row | None,
    key: Annotated[Name, remit.Sensitive()],
    gone: Annotated[OnlyForTypeCheckers, remit.Sensitive()],
    other: list[OnlyForTypeCheckers] | None = None,
) -> list[Seat]:
    return [seat]

class Seat(NamedTuple):
    number: Number
    pin: Annotated[str, remit.Sensitive()]

class Row(TypedDict):
    label: Name
    code: Annotated[str, remit.Sensitive()]

type Number = int
type Name = str
"""


def run(source: str) -> dict[str, Any]:
    """Return the names of a module with *source*, that inherits no `__future__` of this one."""
    names: dict[str, Any] = {"__name__": "lazy"}
    exec(compile(source, "lazy.py", "exec", dont_inherit=True), names)
    return names


def test_names_that_are_defined_later_are_read_and_one_that_is_missing_costs_no_other() -> None:
    """The schemas hold what the classes say; the parameter with the missing name has a note."""
    names = run(LATER)

    @remit.agent(span_types=[names["book"]])
    def desk() -> None: ...

    registration: dict[str, Any] = desk.registration()
    schemas = registration["agent_schema_version"]["span_type_schemas"]
    (booked,) = [each for each in schemas if each["name"] == "lazy:book"]
    params = booked["params_schema"]
    assert params["properties"]["seat"] == {"$ref": "#/$defs/Seat"}
    assert params["properties"]["row"]["anyOf"][0] == {"$ref": "#/$defs/Row"}
    assert params["$defs"]["Seat"]["prefixItems"][0] == {"$ref": "#/$defs/Number"}
    assert params["$defs"]["Row"]["properties"].keys() == {"label", "code"}
    assert "no name `OnlyForTypeCheckers`" in params["properties"]["other"]["$comment"]


def test_marks_in_lazy_annotations_redact_as_in_others() -> None:
    """Also a mark beside a name that does not exist at run time."""
    with isolated() as recorder:
        names = run(LATER)

        @remit.agent
        def desk() -> None:
            seat = names["Seat"](7, "1234")
            names["book"](seat, {"label": "a", "code": "5678"}, "key", "gone")

        desk()
    (span,) = recorder.spans("lazy:book")
    assert span.result is not None
    assert span.payload["seat"][1]["$remit"] == "redacted"
    assert span.payload["row"]["label"] == "a"
    assert span.payload["row"]["code"]["$remit"] == "redacted"
    assert span.payload["key"]["$remit"] == "redacted"
    assert span.payload["gone"]["$remit"] == "redacted"
    assert span.result["result"][0][1]["$remit"] == "redacted"


BESIDE = """
import remit
from dataclasses import dataclass
from pydantic import SecretStr
from typing import Annotated

@dataclass
class Login:
    pin: Missing | Annotated[str, remit.Sensitive] = ""

@remit.span_type
def enter(word: Missing | SecretStr, login: Login) -> list[SecretStr | Missing]:
    return [word]
"""


def test_a_name_that_is_missing_hides_no_mark_beside_it() -> None:
    """The note in the schema has the annotation as it is written."""
    with isolated() as recorder:
        names = run(BESIDE)
        agent = remit.agent(name="door")(lambda: names["enter"]("canary", names["Login"]("canary")))
        agent()
        (span,) = recorder.spans("enter")
        assert "canary" not in str((span.payload, span.result))
        assert "`Missing | SecretStr` cannot be resolved" in str(agent.registration())


def test_a_mark_of_an_unknown_category_is_an_error_where_it_is_declared() -> None:
    """The call in the annotation fails when it is evaluated, which the decorator does at once."""
    with isolated(), pytest.raises(DeclarationError, match="no_such_category"):
        run(
            "import remit\nfrom typing import Annotated\n\n@remit.span_type\n"
            "def look(of: Annotated[str, remit.Sensitive('no_such_category')]) -> None: ...\n"
        )
