"""`excludes` is checked against values: what a run redacted is found where a step excludes it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple, TypedDict

import pytest
from pydantic import BaseModel, EmailStr, RootModel, SecretStr

import remit
from remit.config import OnViolation, Settings
from remit.errors import DeniedError, Violation
from remit.testing import RecordingSink, isolated
from tests.captured import redacted
from tests.inside import declare, guard, setup, start
from tests.subtests import each
from tests.violating import violation

CONTACT: Final = "contact_information"
MARKER = redacted(f"category:{CONTACT}")
EMAIL = "ada@example.com"
ACCOUNT = 4711123456
STREET = "Königstraße 12"
NEVER = remit.risk(excludes=CONTACT)

Contact = Annotated[str, remit.Sensitive("contact_information")]


class Customer(BaseModel):
    """What the program knows of a customer."""

    email: Contact = EMAIL
    street: Contact = STREET
    quoted: Contact = 'say "hi"\n\\o/'
    account: Annotated[int, remit.Sensitive("contact_information")] = ACCOUNT
    city: Contact = "Cologne"


class Parcel(BaseModel):
    """A model without a mark."""

    label: object


@dataclass
class Box:
    """A dataclass without a mark."""

    parcels: list[Parcel]


@remit.agent("Desk")
def desk() -> None:
    """Hold the runs."""


@remit.agent("Forbidding", data_risk=remit.risk(forbids="destroy_data"))
def forbidding() -> None:
    """Hold runs whose steps destroy nothing."""


@remit.span_type("values:load")
def load() -> Customer:
    """Return a customer, whose fields are redacted."""
    return Customer()


@remit.span_type("values:track", data_risk=NEVER)
def track(event: object, more: object = None) -> str:
    """Say that its parameters hold no contact data."""
    del event, more
    return "tracked"


@remit.span_type("values:note")
def note(event: object) -> None:
    """Say nothing of its parameters."""
    del event


def said(step: str, category: str = CONTACT) -> Violation:
    """Return a finding."""
    return Violation(
        f"{category} in the params: {step} excludes it, but received a value that this run "
        f"redacted as {category}"
    )


def tracked(recorder: RecordingSink, *events: object) -> list[Any]:
    """Track each event in a run that has loaded the customer; return what is recorded."""
    with desk.run():
        load()
        for event in events:
            assert track(event) == "tracked"
    return [span.payload["event"] for span in recorder.spans("track") if span.payload]


QUOTING: list[Any] = [
    pytest.param(EMAIL, MARKER, id="argument"),
    pytest.param(f"Write to <{EMAIL}>, today.", MARKER, id="inside a sentence"),
    pytest.param({"to": EMAIL, "n": 1}, {"to": MARKER, "n": 1}, id="dict value"),
    pytest.param({"a": {EMAIL: 1, "b": 2}, "c": 3}, {"a": MARKER, "c": 3}, id="dict key"),
    pytest.param(["x", [EMAIL], EMAIL], ["x", [MARKER], MARKER], id="list"),
    pytest.param(Parcel(label=f"To: {EMAIL}"), {"label": MARKER}, id="model field"),
    pytest.param(
        Box([Parcel(label=1), Parcel(label=EMAIL)]),
        {"parcels": [{"label": 1}, {"label": MARKER}]},
        id="model in a dataclass",
    ),
    pytest.param(ACCOUNT, MARKER, id="number"),
    pytest.param(f"from {ACCOUNT} to 1", MARKER, id="number in a text"),
    pytest.param(f"an {STREET}, „{EMAIL}“", MARKER, id="letters and signs beyond ASCII"),
    pytest.param(f"„{EMAIL}“…", MARKER, id="between signs beyond ASCII"),
    pytest.param(f"x\n{EMAIL}\tx", MARKER, id="after an escape"),
    pytest.param('say "hi"\n\\o/', MARKER, id="with escapes"),
    pytest.param("x " * 60_000 + EMAIL, MARKER, id="at the end of a text that is cut"),
    pytest.param(EMAIL + " x" * 60_000, MARKER, id="at the beginning of a text that is cut"),
]


@each(("event", "recorded"), QUOTING, recorder=isolated)
def test_a_value_that_is_passed_on_is_found(
    event: object, recorded: object, recorder: RecordingSink
) -> None:
    """One sentence, the marker in place of the value, one count."""
    assert tracked(recorder, event) == [recorded]
    (span,) = recorder.spans("track")
    assert span.violations == (said("values:track"),)
    assert (span.status, span.result) == ("complete", {"result": "tracked"})
    assert remit.status().violations == {"values:track": 1}
    assert remit.status().faults == {}


CLEAN: list[Any] = [
    pytest.param("order A-17 was sent to nobody@example.com", id="another address"),
    pytest.param(f"x{EMAIL}", id="the end of a longer word"),
    pytest.param(f"{EMAIL}x", id="the beginning of a longer word"),
    pytest.param(f"é{EMAIL}é", id="between letters beyond ASCII"),
    pytest.param(EMAIL.upper(), id="upper case"),
    pytest.param("Cologne", id="a single short word"),
    pytest.param(ACCOUNT + 1, id="another number"),
    pytest.param(float(ACCOUNT), id="a number that is no integer"),
    pytest.param(int(f"{ACCOUNT}0"), id="a longer number"),
    pytest.param({"event": True, "n": None}, id="no text"),
]


@each("event", CLEAN, recorder=isolated)
def test_what_was_not_redacted_is_no_finding(event: object, recorder: RecordingSink) -> None:
    """It is recorded as it is."""
    assert tracked(recorder, event) == [event]
    assert recorder.spans("track")[0].violations == ()
    assert remit.status().violations == {}


def test_only_what_the_step_excludes_is_searched_for(remit_recorder: RecordingSink) -> None:
    """A step that says nothing, one that excludes another category, and results, quote freely."""

    @remit.span_type("other", data_risk=remit.risk(excludes="minors_data"))
    def other(event: str) -> None:
        del event

    @remit.span_type("echo", data_risk=NEVER)
    def echo(place: int) -> str:
        del place
        return EMAIL

    with desk.run():
        note(EMAIL)
        track(EMAIL)  # before anything was redacted
        load()
        note(EMAIL)
        other(EMAIL)
        echo(1)
    assert remit.status().violations == {}
    assert [span.violations for span in remit_recorder.spans()] == [()] * 6
    assert remit_recorder.spans("echo")[0].result == {"result": EMAIL}
    assert [(span.payload or {})["event"] for span in remit_recorder.spans("note")] == [EMAIL] * 2


def test_another_run_has_redacted_nothing(remit_recorder: RecordingSink) -> None:
    """What one run redacted is not known in the next one."""
    assert tracked(remit_recorder) == []
    with desk.run():
        track(EMAIL)
    assert remit_recorder.spans("track")[0].violations == ()


class Named(NamedTuple):
    """A named tuple with a mark."""

    mail: Contact


class Typed(TypedDict):
    """A dict with a mark."""

    mail: Contact


class Wrapped(RootModel[EmailStr]):
    """A model of one value."""


class Login(BaseModel):
    """A model whose name and type say what it holds."""

    mail: EmailStr
    password: str = "correct horse"


CATEGORIES: list[Any] = [
    pytest.param(Contact, EMAIL, CONTACT, id="mark of a parameter"),
    pytest.param(SecretStr, SecretStr("correct horse"), "authentication_and_secrets", id="secret"),
    pytest.param(Typed, {"mail": EMAIL}, CONTACT, id="mark of a key"),
    pytest.param(Named, Named(EMAIL), CONTACT, id="mark in a named tuple"),
    pytest.param(
        Annotated[Login, remit.Sensitive("health_and_medical")],
        Login(mail=EMAIL),
        "health_and_medical",
        id="mark of a model before the type of its field",
    ),
    pytest.param(
        Annotated[Login, remit.Sensitive], Login(mail=EMAIL), CONTACT, id="type inside a mark"
    ),
    pytest.param(
        Annotated[Wrapped, remit.Sensitive], Wrapped(EMAIL), CONTACT, id="type of a root model"
    ),
    pytest.param(
        Annotated[dict[str, str], remit.Sensitive], {"e_mail": EMAIL}, CONTACT, id="name of a key"
    ),
    pytest.param(dict, {"password": EMAIL}, "authentication_and_secrets", id="name of a secret"),
    pytest.param(dict, {"ssn": EMAIL}, "personal_identifiers", id="name of an identifier"),
]


@each(("annotation", "value", "category"), CATEGORIES, recorder=isolated)
def test_a_text_has_the_category_of_its_mark_type_or_name(
    annotation: object, value: object, category: str, recorder: RecordingSink
) -> None:
    """In this order; a mark outside applies to all that is inside."""

    def take(value: object) -> None:
        del value

    take.__annotations__["value"] = annotation
    taking = remit.span_type("excluded values:take")(take)

    @remit.span_type("closed", data_risk=remit.risk(excludes="others"))
    def closed(text: str) -> None:
        del text

    with desk.run():
        taking(value)
        closed(f"it is {EMAIL} or correct horse")
    (span,) = recorder.spans("closed")
    assert span.violations == (said("closed", category),)


def test_a_restricted_step_redacts_by_the_names_inside(remit_recorder: RecordingSink) -> None:
    """The class redacts everything, and says of no text what it is."""

    @remit.span_type("secret", data_risk=remit.risk(classification="restricted"))
    def secret() -> dict[str, object]:
        return {"customer": {"email": EMAIL, "word": "correct horse"}}

    with desk.run():
        secret()
        track([EMAIL, "correct horse"])
    (span,) = remit_recorder.spans("track")
    assert span.payload == {"event": [MARKER, "correct horse"], "more": None}


def test_what_a_call_redacts_for_its_name_is_found_beside_it(
    remit_recorder: RecordingSink,
) -> None:
    """The value under the telling name is a marker already, and no finding by itself."""

    @remit.span_type("send", data_risk=NEVER)
    def send(email: str, text: str) -> None:
        del email, text

    with desk.run():
        send(EMAIL, "Hello")
        send(EMAIL, f"Hello {EMAIL}")
    first, second = remit_recorder.spans("send")
    assert (first.payload, first.violations) == ({"email": MARKER, "text": "Hello"}, ())
    assert (second.payload, second.violations) == (
        {"email": MARKER, "text": MARKER},
        (said("send"),),
    )


def test_a_rule_that_is_off_finds_nothing(remit_recorder: RecordingSink) -> None:
    """For the step, for one parameter, and for the process."""

    @remit.span_type("off", data_risk=NEVER, capture={f"category:{CONTACT}": True})
    def off(event: str) -> None:
        del event

    @remit.span_type("half", data_risk=NEVER, capture={"event": True})
    def half(event: str, more: str) -> None:
        del event, more

    with desk.run():
        load()
        off(EMAIL)
        half(EMAIL, EMAIL)
    (span,) = remit_recorder.spans("half")
    assert span.payload == {"event": EMAIL, "more": MARKER}
    assert remit.status().violations == {"half": 1}
    with isolated(redact_off=[f"category:{CONTACT}"]) as recorder:
        assert tracked(recorder, EMAIL) == [EMAIL]


def test_blocks_are_searched_by_their_own_risk_or_their_declaration(
    remit_recorder: RecordingSink,
) -> None:
    """A key beside the parameters has no object around it but the payload."""
    with desk.run():
        load()
        with remit.span("own", {"to": [EMAIL]}, data_risk=NEVER):
            pass
        with remit.span("values:track", {"event": EMAIL}):
            pass
        with remit.span("values:track", {"event": EMAIL}, data_risk=remit.risk(takes=CONTACT)):
            pass
        with remit.span("key", {EMAIL: 1, "to": 2}, data_risk=NEVER):
            pass
        with remit.span("silent", {"to": EMAIL}):
            pass
    payloads = [(span.payload, span.violations) for span in remit_recorder.spans()[1:]]
    assert payloads == [
        ({"to": [MARKER]}, (said("own"),)),
        ({"event": MARKER, "more": None}, (said("values:track"),)),
        ({"event": EMAIL, "more": None}, ()),
        (MARKER, (said("key"),)),
        ({"to": EMAIL}, ()),
    ]


def test_steps_of_adapters_are_searched(remit_recorder: RecordingSink) -> None:
    """A tool that a framework calls, and a step with fields beside its inputs."""
    tool = declare("fake:tool", "tool", data_risk=NEVER)
    step = declare("fake:step", "step", data_risk=NEVER)
    with desk.run():
        load()
        start(tool, {"inputs": {"to": EMAIL}}).end({"outputs": 1})
        start(step, {"to": f"<{EMAIL}>"}).end({"outputs": 1})
    first, second = remit_recorder.spans()[1:]
    assert (first.payload, first.violations) == ({"inputs": {"to": MARKER}}, (said("fake:tool"),))
    assert (second.payload, second.violations) == ({"to": MARKER}, (said("fake:step"),))


def _generator(event: str) -> Iterator[str]:
    yield event


async def _coroutine(event: str) -> str:
    await asyncio.sleep(0)
    return event


def test_calls_of_every_kind_are_searched(remit_recorder: RecordingSink) -> None:
    """Coroutines, generators, an agent inside the run, and a run inside it."""
    wait = remit.span_type("wait", data_risk=NEVER)(_coroutine)
    stream = remit.span_type("stream", data_risk=NEVER)(_generator)

    @remit.agent(data_risk=NEVER)
    def inner(event: str) -> None:
        track(event)

    with desk.run():
        load()
        asyncio.run(wait(EMAIL))
        assert list(stream(EMAIL)) == [EMAIL]
        inner(EMAIL)
        with inner.run():
            track(EMAIL)
    found = [span.name.rpartition(".")[2] for span in remit_recorder.spans() if span.violations]
    assert found == ["wait", "stream", "inner", "values:track", "values:track"]
    payloads = [span.payload for span in remit_recorder.spans()[1:]]
    assert EMAIL not in json.dumps(payloads)


def test_what_an_inner_run_redacts_is_found_outside(remit_recorder: RecordingSink) -> None:
    """Runs inside one another know the same texts."""
    with desk.run():
        with desk.run():
            load()
        track(EMAIL)
    assert remit_recorder.spans("track")[0].violations == (said("values:track"),)


def test_threads_with_the_context_of_a_run_know_what_it_redacted(
    remit_recorder: RecordingSink,
) -> None:
    """Eight threads redact and pass on at once; each finds what it redacted itself."""

    @remit.span_type("keep")
    def keep(text: Contact) -> None:
        del text

    def work(number: int) -> None:
        for turn in range(100):
            text = f"{number}-{turn}@example.com"
            keep(text)
            track(f"write to {text}")

    with desk.run():
        workers = [
            threading.Thread(target=remit.copy_context(work), args=(number,)) for number in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    spans = remit_recorder.spans("track")
    assert [span.payload for span in spans if span.violations != (said("values:track"),)] == []
    assert len(spans) == 800
    assert remit.status().violations == {"values:track": 800}


@each("on_violation", ["observe", "deny", "terminate"])
def test_it_is_a_finding_under_every_setting(on_violation: OnViolation) -> None:
    """The step runs, also one that the policy would refuse for an unknown word."""
    with isolated(on_violation=on_violation) as recorder:
        assert tracked(recorder, EMAIL) == [MARKER]
        assert recorder.runs[0].status == "complete"
        assert remit.status().violations == {"values:track": 1}


def test_the_payload_of_a_refused_step_is_searched_too() -> None:
    """Its arguments are recorded as well."""

    @remit.span_type("safe", data_risk=remit.risk(forbids="destroy_data"))
    def safe() -> Customer:
        return Customer()

    with isolated(on_violation="deny") as recorder:
        with forbidding.run():
            safe()
            with pytest.raises(DeniedError):
                track(EMAIL)
        (span,) = recorder.spans("track")
    assert (span.status, span.payload) == ("failed", {"event": MARKER, "more": None})


def test_nothing_is_searched_without_recording() -> None:
    """In mode `off` a run redacts nothing."""
    with setup.isolated(Settings(mode="off")):
        with desk.run():
            load()
            assert track(EMAIL) == "tracked"
        assert remit.status().violations == {}
        assert remit.status().redacted == {}


def test_the_note_joins_those_of_the_policy(remit_recorder: RecordingSink) -> None:
    """The agent forbids the step, and its registration does not include it: one note."""
    with forbidding.run():
        load()
        destroys = remit.risk(allows="destroy_data", excludes=CONTACT)

        @remit.span_type("late", data_risk=destroys)
        def late(event: str) -> None:
            del event

        late(EMAIL)
        with remit.span("block", {EMAIL: 1}, data_risk=destroys):
            pass
    named = {span.name: span for span in remit_recorder.spans()}
    for name in ("late", "block"):
        agent = "tests.unit.test_excluded_values:forbidding"
        assert named[name].violations == (said(name), violation(name, agent, "destroy_data"))
    assert named["late"].payload == {"event": MARKER}
    assert named["block"].payload == MARKER


def test_the_log_has_one_line_for_each_step_and_category(
    remit_recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the value."""
    with caplog.at_level(logging.DEBUG):
        tracked(remit_recorder, EMAIL, STREET, [EMAIL, STREET])
        tracked(remit_recorder, EMAIL)
    lines = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(lines) == 1
    assert lines[0].startswith("values:track (")
    assert lines[0].endswith(str(said("values:track")))
    assert EMAIL not in caplog.text
    assert STREET not in caplog.text
    assert remit.status().violations == {"values:track": 4}


def test_a_payload_of_many_findings_stays_within_its_size() -> None:
    """A marker is longer than what it replaces."""
    with isolated(max_payload_bytes=4_096) as recorder:
        with desk.run():
            load()
            track([EMAIL] * 200)
        (span,) = recorder.spans("track")
    payload = json.dumps(span.payload, separators=(",", ":"))
    assert len(payload) <= 4_096
    assert span.violations == (said("values:track"),)
    assert EMAIL not in payload


def test_the_texts_of_a_run_are_bounded_and_the_latest_are_found(
    remit_recorder: RecordingSink,
) -> None:
    """Of 3,000, searched in between; and of a long one its beginning."""

    @remit.span_type("keep")
    def keep(text: Contact) -> None:
        del text

    long = "word " * 1_000
    with desk.run():
        for number in range(3_000):
            keep(f"{number:05}@example.com")
            if number % 100 == 0:
                track(f"say {number:05}@example.com")
        keep(long)
        for text in ("02999@example.com", "02400@example.com", "00001@example.com", long):
            track(text)
    spans = remit_recorder.spans("track")
    assert [bool(span.violations) for span in spans] == [True] * 30 + [True, True, False, True]


FUNCTIONS = [
    "_may_quote",
    "_quotes",
    "_Search._marker_of",
    "_Search.payload",
    "_Search.__init__",
]


@each("name", FUNCTIONS)
def test_a_fault_in_the_search_is_contained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call goes on, its payload is not recorded, and the fault is counted."""
    from remit._capture import excluded  # noqa: PLC0415 - what is broken below

    def fault(*_: object) -> None:
        raise RuntimeError(EMAIL)

    owner, _, attribute = name.rpartition(".")
    with monkeypatch.context() as patch, isolated() as recorder:
        patch.setattr(guard.faults, "strict", False)
        patch.setattr(getattr(excluded, owner) if owner else excluded, attribute, fault)
        with desk.run():
            load()
            assert track(EMAIL) == "tracked"
        (span,) = recorder.spans("track")
        assert span.payload == {"$remit": "opaque", "type": "remit.fault"}
        assert span.status == "complete"
        assert remit.status().faults == {"the search for excluded values": 1}


Passed = Callable[["Invented"], object]


class Invented(BaseModel):
    """An invented customer."""

    name: Annotated[str, remit.Sensitive("personal_identifiers")]
    email: Contact
    street: Contact
    phone: Contact
    account: Annotated[int, remit.Sensitive("financial_information")]


PASSED: list[Any] = [
    pytest.param(lambda who: {"to": who.email}, 300, id="e-mail"),
    pytest.param(lambda who: who.account, 300, id="account number"),
    pytest.param(lambda who: [who.street], 300, id="street"),
    pytest.param(lambda who: f"call {who.phone}", 300, id="telephone as stored"),
    pytest.param(lambda who: f"Dear {who.name}, thank you.", 300, id="full name in a sentence"),
    pytest.param(lambda who: who.name.split()[0], 0, id="first name alone"),
    pytest.param(lambda who: who.email.upper(), 0, id="upper case"),
    pytest.param(lambda who: ", ".join(reversed(who.name.split())), 0, id="reordered"),
    pytest.param(lambda who: who.phone.replace(" ", ""), 0, id="reformatted"),
    pytest.param(lambda who: f"order {who.account % 9973} was sent", 0, id="clean: an order"),
    pytest.param(lambda _: {"page": "/help/returns", "ms": 12.5}, 0, id="clean: a page"),
    pytest.param(lambda _: "Please sign in again. Thank you!", 0, id="clean: a sentence"),
]


@each(("passed", "findings"), PASSED, recorder=isolated)
def test_of_300_invented_customers_what_is_passed_on_as_stored_is_found(
    passed: Passed, findings: int, recorder: RecordingSink
) -> None:
    """And of clean messages, and of what is passed on in other words, nothing."""
    first = (
        "Ada",
        "Grace",
        "Alan",
        "Edsger",
        "Barbara",
        "Donald",
        "Karen",
        "Dennis",
        "Fran",
        "Tony",
    )
    last = ("Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Jones", "Hoare")

    @remit.span_type("invent")
    def invent(number: int) -> Invented:
        forename, surname = first[number % 10], last[number // 10 % 8]
        return Invented(
            name=f"{forename} {'ABC'[number // 100]}. {surname}",
            email=f"{forename}.{surname}{number}@example.com".lower(),
            street=f"{number + 1} Analytical Road",
            phone=f"+49 30 {100_000 + 37 * number}",
            account=4_711_000_000 + 7_919 * number,
        )

    @remit.span_type("closed", data_risk=remit.risk(excludes="others"))
    def closed(event: object) -> None:
        del event

    with desk.run():
        for number in range(300):
            closed(passed(invent(number)))
    assert sum(bool(span.violations) for span in recorder.spans("closed")) == findings
