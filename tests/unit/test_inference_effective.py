"""The data risk in effect, and the declarations that a type contradicts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any, Final

import pytest
from pydantic import BaseModel, EmailStr, IPvAnyAddress

import remit
from remit._declare.inference import effective
from remit._declare.registration import registration
from remit._declare.registry import Registry
from remit.errors import DeclarationError, DeniedError
from remit.testing import isolated
from tests.data.redaction import redact
from tests.declaring import agent
from tests.declaring import step as declared
from tests.subtests import each

CONTACT: Final = "contact_information"


class Customer(BaseModel):
    """Someone to be written to."""

    email: EmailStr
    seen_from: IPvAnyAddress | None = None


class Address(BaseModel):
    """Describes a parameter."""

    email: EmailStr


def find(customer: Customer) -> list[EmailStr]:
    """Take a customer and give addresses."""
    return [customer.email]


TOLD: list[type] = []


def told(kind: type) -> type:
    """Return *kind*, and take note that an annotation was evaluated."""
    TOLD.append(kind)
    return kind


def words(risk: remit.DataRisk | None, side: str, word: str) -> set[str]:
    """Return the categories of which *risk* says *word*."""
    assert risk is not None
    said = dict(getattr(risk, f"{side}_data_categories"))
    return {name for name, each in said.items() if each == word}


def test_what_the_author_left_unknown_is_included_where_a_type_shows_it() -> None:
    """On its own side; no other word is touched."""
    step = declared(
        find,
        data_risk=remit.risk(
            allows="read_data",
            takes="minors_data",
            excludes="criminal_justice",
            classification="internal",
        ),
    )
    risk = effective(step)
    assert words(risk, "params", "included") == {"minors_data", CONTACT, "location_and_tracking"}
    assert words(risk, "result", "included") == {CONTACT}
    assert words(risk, "params", "excluded") == {"criminal_justice"}
    assert words(risk, "result", "internal") == {"classification"}
    assert risk is not None
    assert risk.action_profile.read_data == "allowed"


def test_a_declaration_itself_is_not_changed() -> None:
    """One risk is often shared by many steps."""
    shared = remit.risk(allows="read_data")
    effective(declared(find, data_risk=shared))
    assert shared == remit.risk(allows="read_data")


def test_keys_beside_the_three_parts_are_kept() -> None:
    """As everywhere."""
    extra = remit.DataRisk.model_validate({**remit.risk().model_dump(), "reviewed": "May"})
    risk = effective(declared(find, data_risk=extra))
    assert risk is not None
    assert risk.model_extra == {"reviewed": "May"}


def test_types_speak_where_nothing_was_declared() -> None:
    """And where they say nothing, there is no risk at all."""
    assert words(effective(declared(find)), "result", "included") == {CONTACT}

    def plain(word: str) -> int:
        return len(word)

    assert effective(declared(plain)) is None


def test_what_agrees_is_left_as_it_is() -> None:
    """Nothing to add, nothing new."""
    risk = remit.risk(takes=(CONTACT, "location_and_tracking"), gives=CONTACT)
    assert effective(declared(find, data_risk=risk)) is risk


def test_a_model_in_place_of_the_signature_shows_what_it_holds() -> None:
    """What `params=` and `result=` say is what counts, for both sides."""

    def plain(email: str, word: str) -> object:
        return email + word

    risk = effective(declared(plain, params=Address, result=list[IPvAnyAddress]))
    assert words(risk, "params", "included") == {CONTACT}
    assert words(risk, "result", "included") == {"location_and_tracking"}


def test_a_registration_says_what_the_types_show() -> None:
    """Of the agent's own call as well; a step that shows nothing has no risk."""

    def answer(address: EmailStr) -> str:
        return address

    def plain(word: str) -> int:
        return len(word)

    registry = Registry()
    for step in (find, plain):
        registry.add_span_type(declared(step))
    own = agent(answer)
    registry.add_agent(own)
    payload: Any = registration(own, registry, redact=redact)
    entries = {
        each["name"].rpartition(":")[2]: each.get("data_risk")
        for each in payload["agent_schema_version"]["span_type_schemas"]
    }
    assert entries["find"]["result_data_categories"][CONTACT] == "included"
    assert entries["find"]["result_data_categories"]["minors_data"] == "unknown"
    local = "test_a_registration_says_what_the_types_show.<locals>."
    assert entries[f"{local}answer"]["params_data_categories"][CONTACT] == "included"
    assert entries[f"{local}plain"] is None


def decorators() -> list[Any]:
    """Return what declares, with a declaration that excludes what `find` handles."""
    risk = remit.risk(excludes=CONTACT)
    only_result = {"result_data_categories": {CONTACT: "excluded"}}
    return [
        pytest.param(remit.span_type(data_risk=risk), "span_type", "params", id="span_type"),
        pytest.param(remit.agent(data_risk=risk), "agent", "params", id="agent"),
        pytest.param(remit.span_type(data_risk=only_result), "span_type", "result", id="mapping"),
    ]


@each(("decorate", "decorator", "side"), decorators())
def test_a_type_that_contradicts_is_an_error_at_the_decoration(
    decorate: Callable[..., object], decorator: str, side: str
) -> None:
    """It shows both: what is declared, and which type at which place says otherwise."""
    path = {"params": "customer.email", "result": "return[]"}[side]
    with isolated(), pytest.raises(DeclarationError) as caught:
        decorate(find)
    said = str(caught.value)
    assert said.startswith(f"@remit.{decorator} on {__name__}:find ({__file__}:")
    assert (
        f"data_risk excludes {CONTACT} from the {side}, but `{path}: EmailStr` is of that category"
        in said
    )


def test_a_mark_contradicts_as_a_type_does() -> None:
    """A value cannot be what the declaration says is not there."""
    with isolated(), pytest.raises(DeclarationError, match=r"`note: Sensitive\('minors_data'\)`"):

        @remit.span_type(data_risk=remit.risk(excludes="minors_data"))
        def step(note: Annotated[str, remit.Sensitive("minors_data")]) -> None:
            """Take a note."""


def test_what_is_injected_contradicts_nothing() -> None:
    """A parameter that is left out of payloads holds no data of the step's."""
    with isolated():

        @remit.span_type(data_risk=remit.risk(excludes=CONTACT))
        def step(note: str, sender: Annotated[EmailStr, remit.Skip]) -> str:
            return note + sender

    assert step("a", "b") == "ab"


def test_a_type_that_is_known_only_later_is_logged_once_and_registered_as_included(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value is redacted: the declaration excludes it."""

    def step(customer: Late) -> None:  # type: ignore[name-defined]  # noqa: F821 - the point
        del customer

    with isolated() as recorder:
        decorated = remit.span_type("late", data_risk=remit.risk(excludes=CONTACT))(step)
        answer = remit.agent(lambda: None)
        monkeypatch.setitem(globals(), "Late", Customer)
        with caplog.at_level(logging.WARNING, "remit"), answer.run():
            decorated(Customer(email="who@example.org"))
            decorated(Customer(email="who@example.org"))
        registered: Any = answer.registration()
    (line,) = [each for each in caplog.messages if "excludes" in each]
    assert line.startswith(f"late ({__file__}:")
    assert "`customer.email: EmailStr` is of that category" in line
    entries = registered["agent_schema_version"]["span_type_schemas"]
    (entry,) = [each for each in entries if each["name"] == "late"]
    assert entry["data_risk"]["params_data_categories"][CONTACT] == "included"
    marker = {"$remit": "redacted", "rule": f"category:{CONTACT}"}
    assert [each.payload["customer"]["email"] for each in recorder.spans("late")] == [marker] * 2


@each(
    ("options", "read"),
    [
        pytest.param({}, False, id="undeclared"),
        pytest.param({"data_risk": remit.risk(allows="read_data")}, False, id="excludes-nothing"),
        pytest.param({"data_risk": remit.risk(excludes=CONTACT)}, True, id="excludes"),
    ],
)
def test_annotations_are_read_at_import_only_for_who_excludes_something(
    options: dict[str, Any],
    read: bool,
) -> None:
    """It takes time, and names that stand further down in a module are missing yet."""
    TOLD.clear()

    def step(word: told(str)) -> None:  # type: ignore[valid-type]  # a call, to see it evaluated
        """Take a word."""

    with isolated():
        remit.span_type(**options)(step)
        assert bool(TOLD) is read


SAYS = f"{CONTACT} in the params: write declares included, but the agent "


def test_a_ceiling_holds_for_what_only_the_types_show() -> None:
    """A step that nobody declared is seen to handle what its agent excludes."""
    with isolated() as recorder:

        @remit.span_type("write")
        def write(to: EmailStr) -> None:
            """Write to someone."""

        @remit.agent(data_risk=remit.risk(excludes=CONTACT))
        def answer() -> None:
            write("who@example.org")

        answer()
    (span,) = recorder.spans("write")
    assert [str(each).startswith(SAYS) for each in span.violations] == [True]


def test_a_contradiction_that_is_found_late_counts_as_included_for_the_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An agent that excludes the category may not take the step."""

    def step(customer: LateToo) -> None:  # type: ignore[name-defined]  # noqa: F821 - the point
        raise AssertionError(customer)

    with isolated(on_violation="deny") as recorder:
        decorated = remit.span_type("late too", data_risk=remit.risk(excludes=CONTACT))(step)
        answer = remit.agent(data_risk=remit.risk(excludes=CONTACT))(lambda: None)
        monkeypatch.setitem(globals(), "LateToo", Customer)
        with answer.run(), pytest.raises(DeniedError, match=f"it handles {CONTACT} in the params"):
            decorated(Customer(email="who@example.org"))
    assert [span.status for span in recorder.spans("late too")] == ["failed"]


def test_a_block_of_a_declared_name_is_compared_as_the_declaration_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if its type contradicts it, which is found late."""

    def step(customer: LateInBlock) -> None:  # type: ignore[name-defined]  # noqa: F821 - the point
        del customer

    with isolated(on_violation="deny"):
        remit.span_type("late block", data_risk=remit.risk(excludes=CONTACT))(step)
        answer = remit.agent(data_risk=remit.risk(excludes=CONTACT))(lambda: None)
        monkeypatch.setitem(globals(), "LateInBlock", Customer)
        with (
            answer.run(),
            pytest.raises(DeniedError, match=f"it handles {CONTACT} in the params"),
            remit.span("late block"),
        ):
            raise AssertionError("it does not begin")
