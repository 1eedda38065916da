"""`recorder.effects`, `never`, `only` and `no_flow`: assertions on what the steps of a run did."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import remit
from remit.errors import DeniedError, RunTerminated, UsageError
from remit.testing import FakeClock, RecordedSpan, RecordingSink, isolated
from tests.declaring import define
from tests.governed import KINDS, agent, free
from tests.inside import Registry, SpanRecorder, current_context, declare, process, start
from tests.subtests import each

PAY: Final = "financial_transactions"
SEND: Final = "external_communication"
CONTACT: Final = "contact_information"
risk = partial(remit.risk, forbids="others", excludes="others")
READS: Final = risk(allows="read_data", gives=CONTACT)
PAYS: Final = risk(allows=PAY, takes=CONTACT)
SENDS: Final = risk(allows=SEND)
LEAVES_PAY_OPEN: Final = remit.risk(
    allows="read_data",
    forbids=("create_data", "update_data", "destroy_data", SEND),
    excludes="others",
)

Step = Callable[[], object]


def step(name: str, data_risk: remit.DataRisk | None, inside: Step = lambda: None) -> Step:
    """Declare a step, which calls *inside*."""

    @remit.span_type(name, data_risk=data_risk)
    def call() -> None:
        inside()

    return call


def desk(*steps: Step, data_risk: remit.DataRisk | None = None) -> None:
    """Run an agent that calls *steps* and goes on after a refusal."""

    @remit.agent(data_risk=data_risk)
    def desk_agent() -> None:
        for call in steps:
            with suppress(DeniedError):
                call()

    desk_agent()


def outcome(check: Callable[[], list[RecordedSpan] | None]) -> object:
    """Return the first word of a failed assertion, else `holds` or the names of spans."""
    try:
        spans = check()
    except AssertionError as error:
        return str(error).partition(":")[0]
    return "holds" if spans is None else [span.name for span in spans]


# The table


def no_step_ran() -> None:
    """A step could do it, and none is called."""
    step("find", READS)
    step("pay", PAYS)
    desk()


def no_step_can() -> None:
    """Every step that is registered says that it does not do it."""
    desk(step("find", READS))


def one_leaves_it_open() -> None:
    """A step that ran may do it."""
    desk(step("find", READS), step("draft", LEAVES_PAY_OPEN))


def one_does_it() -> None:
    """A step that ran does it."""
    desk(step("find", READS), step("pay", PAYS))


def one_is_refused() -> None:
    """A step that does it is called, and its agent forbids it."""
    desk(step("find", READS), step("pay", PAYS), data_risk=remit.risk(forbids=PAY))


CHECKS: Final[dict[str, Callable[[RecordingSink], list[RecordedSpan] | None]]] = {
    "effects": lambda recorder: recorder.effects(PAY),
    "never": lambda recorder: recorder.never(PAY),
    "only": lambda recorder: recorder.only("read_data"),
    "no_flow": lambda recorder: recorder.no_flow(CONTACT, to=PAY),
}
PROGRAMS: Final = [
    no_step_ran, no_step_can, one_leaves_it_open, one_does_it, one_is_refused,
]  # fmt: skip
TABLE: Final[dict[str, list[object]]] = {
    "effects": [[], [], "undecided", ["pay"], []],
    "never": ["vacuous", "vacuous", "undecided", "violated", "holds"],
    "only": ["vacuous", "holds", "undecided", "violated", "holds"],
    "no_flow": ["vacuous", "vacuous", "violated", "violated", "holds"],
}


@pytest.mark.usefixtures("no_integrations")
@pytest.mark.parametrize(
    ("name", "program", "expected"),
    [
        pytest.param(name, program, expected, id=f"{name}-{program.__name__}")
        for name, row in TABLE.items()
        for program, expected in zip(PROGRAMS, row, strict=True)
    ],
)
def test_each_cell_of_the_table(name: str, program: Step, expected: object) -> None:
    """Refusals under `deny`, the rest under either setting."""
    refuses = program is one_is_refused
    with isolated(on_violation="deny" if refuses else "observe") as recorder:
        program()
        assert outcome(lambda: CHECKS[name](recorder)) == expected
    assert outcome(lambda: CHECKS[name](recorder)) == expected  # after the block as well


@pytest.mark.usefixtures("no_integrations")
@pytest.mark.parametrize("on_violation", ["deny", "terminate"])
def test_a_refused_source_brings_nothing(on_violation: Any) -> None:
    """`no_flow` then proves nothing."""
    with isolated(on_violation=on_violation) as recorder, suppress(RunTerminated):
        desk(
            step("pay", SENDS),
            step("find", READS),
            data_risk=remit.risk(excludes=CONTACT),
        )
    assert [span.denied for span in recorder.spans() if span.name == "find"] == [True]
    assert outcome(lambda: recorder.no_flow(CONTACT)) == "vacuous"
    assert recorder.effects(CONTACT) == []


@given(st.data())
def test_an_assertion_that_holds_is_proved(data: st.DataObject) -> None:
    """For any declarations and calls, by the words alone; what fails says which of three it is."""
    answers = {True: PAYS, None: LEAVES_PAY_OPEN, False: READS}
    called = data.draw(st.lists(st.sampled_from([*answers]), max_size=4))
    idle = data.draw(st.lists(st.sampled_from([*answers]), max_size=2))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(process.state, "registry", Registry())
        recorder = stack.enter_context(isolated())
        steps = [step(f"step{number}", answers[does]) for number, does in enumerate(called + idle)]
        desk(*steps[: len(called)])
        never = outcome(lambda: recorder.never(PAY))
        effects = outcome(lambda: recorder.effects(PAY))
    if True in called:
        assert never == "violated"
    elif None in called:
        assert never == "undecided"
    else:
        assert never == ("holds" if called and {True, None} & set(idle) else "vacuous")
    expected = [f"step{number}" for number, does in enumerate(called) if does]
    assert effects == ("undecided" if None in called else expected)


# Which spans are steps, and what they declare


@each("kind", list(KINDS), recorder=isolated)
def test_a_step_of_every_kind_counts(kind: str, recorder: RecordingSink) -> None:
    """Functions, streams, coroutines, threads and tasks; an agent's own span is no step."""
    with free.run():
        KINDS[kind]()
    did = [span.name for span in recorder.effects(PAY)]
    assert did == ([] if "agent" in kind else [span.name for span in recorder.spans()])
    expected = "vacuous" if "agent" in kind else "violated"
    assert outcome(lambda: recorder.never(PAY)) == expected


@each("kind", list(KINDS), recorder=partial(isolated, on_violation="deny"))
def test_a_refused_step_of_every_kind_did_nothing(kind: str, recorder: RecordingSink) -> None:
    """The refusal itself proves that the remit holds."""
    with agent.run(), suppress(DeniedError):
        KINDS[kind]()
    assert recorder.spans()
    assert recorder.effects(PAY) == []
    if "agent" not in kind:
        recorder.never(PAY)


@pytest.mark.usefixtures("no_integrations")
def test_a_step_around_a_refused_one_did_what_it_declares() -> None:
    """The error passes through it; it was not refused itself."""
    with isolated(on_violation="deny") as recorder:
        pay = step("pay", PAYS)
        desk(step("outer", READS, pay), data_risk=remit.risk(forbids=PAY))
    assert [(span.name, span.denied) for span in recorder.spans() if span.name != "desk"][-2:] == [
        ("outer", False),
        ("pay", True),
    ]
    recorder.never(PAY)
    assert [span.name for span in recorder.effects(CONTACT)] == ["outer"]


@pytest.mark.usefixtures("no_integrations")
def test_a_step_that_failed_or_has_not_ended_counts(recorder: RecordingSink) -> None:
    """It began, so it may have done it."""

    def fail() -> None:
        assert [span.status for span in recorder.effects(PAY)] == ["active"]
        raise LookupError

    with suppress(LookupError):
        desk(step("pay", PAYS, fail))
    assert [span.status for span in recorder.effects(PAY)] == ["failed"]


@pytest.mark.usefixtures("no_integrations")
def test_a_block_counts_with_its_data_risk(recorder: RecordingSink) -> None:
    """One without is open; the risk of a block wins over that of its name."""
    step("plan", PAYS)

    def enter(name: str, data_risk: remit.DataRisk | None) -> None:
        with remit.span(name, data_risk=data_risk):
            pass

    desk(
        partial(enter, "pay by hand", PAYS),
        partial(enter, "plan", None),
        partial(enter, "plan", READS),
    )
    assert [span.name for span in recorder.effects(PAY)] == ["pay by hand", "plan"]
    line = enter.__code__.co_firstlineno + 1
    with pytest.raises(AssertionError, match=rf"pay by hand \(.*test_effects.py:{line}\) allows"):
        recorder.never(PAY)
    desk(partial(enter, "silent", None))
    with pytest.raises(AssertionError, match=rf"silent \(.*:{line}\) does not declare {PAY}"):
        recorder.effects(PAY)


@pytest.mark.usefixtures("no_integrations")
def test_each_declaration_of_one_name_counts_for_its_calls(recorder: RecordingSink) -> None:
    """A function that is declared again replaces the earlier one in the registry only."""
    declarations = [step("same", data_risk) for data_risk in (PAYS, READS, PAYS, READS)]
    desk(*declarations)
    assert len(recorder.effects(PAY)) == 2
    assert len(recorder.effects("read_data")) == 2


class Customer(BaseModel):
    """A customer."""

    email: Annotated[str, remit.Sensitive("contact_information")] = ""


@pytest.mark.usefixtures("no_integrations")
def test_a_category_that_only_a_type_shows_counts(recorder: RecordingSink) -> None:
    """As for the policy."""

    @remit.span_type("find", data_risk=remit.risk(forbids="others"))
    def find() -> Customer:
        """Find a customer."""
        return Customer()

    desk(find)
    assert [span.name for span in recorder.effects(CONTACT)] == ["find"]
    assert outcome(lambda: recorder.never(CONTACT)) == "violated"
    (span,) = recorder.spans("find")
    assert span.data_risk is not None
    assert span.data_risk.result_data_categories.contact_information == "included"


@remit.span_type("rows", data_risk=READS)
def rows() -> Generator[int]:
    """Yield two rows."""
    yield 1
    yield 2


def report(recorder: SpanRecorder) -> None:
    """Report a step as an adapter does."""
    start(recorder, {}).end()


SHOP: Final = """
@remit.span_type("pay", data_risk=risk(allows="financial_transactions"))
def pay():
    return None

@remit.span_type("look up", data_risk=risk(allows="read_data"))
def look_up() -> Late:
    return None

@remit.agent
def shop():
    return None
"""


@pytest.mark.usefixtures("no_integrations")
def test_the_steps_of_the_agents_that_ran_could_do_it(recorder: RecordingSink) -> None:
    """Also those of an agent that is called in the run; a late contradiction counts."""
    shop = define({"remit": remit, "risk": risk}, source=SHOP)
    shop["Late"] = Customer
    find = step("find", risk(allows="read_data"))
    declare("fake:llm", "llm")
    desk(find)
    assert outcome(lambda: recorder.never(PAY)) == "vacuous"
    assert outcome(lambda: recorder.never(CONTACT)) == "vacuous"
    desk(find, shop["shop"])
    recorder.never(PAY)
    recorder.never(CONTACT)


@pytest.mark.usefixtures("no_integrations")
def test_a_model_of_an_adapter_leaves_nothing_open(recorder: RecordingSink) -> None:
    """A tool of an adapter does."""
    recorders = {
        kind: declare(f"fake:{kind}", kind) for kind in ("llm", "agent", "retriever", "tool")
    }
    step("pay", PAYS)
    calls = {kind: partial(report, recorders[kind]) for kind in recorders}
    desk(*(calls[kind] for kind in ("llm", "agent", "retriever")))
    recorder.never(PAY)
    recorder.only()
    desk(calls["tool"])
    with pytest.raises(AssertionError, match=r"undecided(?s:.)*fake:tool") as raised:
        recorder.never(PAY)
    assert "fake:llm" not in str(raised.value)


@pytest.mark.usefixtures("no_integrations")
def test_a_step_that_was_reported_late_counts_from_its_start(recorder: RecordingSink) -> None:
    """It is recorded at its end, with the declaration that it was described with."""
    tool = declare("fake:tool", "llm")
    sends = declare("fake:send", "tool", data_risk=SENDS)
    find = step("find", READS)
    with free.run():
        now_ns = recorder.runs[0].root.started_ns
        early = start(tool, {}, announce=False, started_ns=now_ns)
        late = start(tool, {}, announce=False, started_ns=now_ns + 10**15)
        find()
        early.describe({}, sends)
        early.end()
        recorder.no_flow(CONTACT)
        late.describe({}, sends)
        late.end()
    assert len(recorder.effects(SEND)) == 2
    assert outcome(lambda: recorder.no_flow(CONTACT)) == "violated"


@pytest.mark.usefixtures("no_integrations")
def test_a_step_that_is_reported_after_its_run_counts(recorder: RecordingSink) -> None:
    """Its run does not wait for it."""
    pay = declare("fake:pay", "tool", data_risk=PAYS)
    with free.run():
        stream = rows()
        next(stream)
        context = current_context()
    start(pay, {}, parent=context).end()
    stream.close()
    assert [span.name for span in recorder.effects(PAY)] == ["fake:pay"]


@pytest.mark.usefixtures("no_integrations")
def test_a_step_counts_as_it_was_described(recorder: RecordingSink) -> None:
    """An adapter may learn after the start which step it is."""
    tool = declare("fake:tool", "tool")
    pay = declare("fake:pay", "tool", data_risk=PAYS)
    with free.run():
        span = start(tool, {})
        assert outcome(lambda: recorder.effects(PAY)) == "undecided"
        span.describe({}, pay)
        span.end()
    assert [span.name for span in recorder.effects(PAY)] == ["fake:pay"]


# What flows


@pytest.mark.usefixtures("no_integrations")
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["find", "send"], "violated"),
        (["send", "find"], "holds"),
        (["find"], "holds"),
        (["send"], "vacuous"),
        (["both"], "holds"),
        (["both", "both"], "violated"),
        (["send around find"], "holds"),
        (["find around send"], "violated"),
        (["open", "send"], "violated"),
        (["find", "open"], "violated"),
        (["open"], "holds"),
        (["takes", "send"], "vacuous"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_a_step_that_begins_after_a_source(order: list[str], expected: str) -> None:
    """A source counts from its start, and what is open counts as done; the clock does not move."""
    with isolated(clock=FakeClock()) as recorder:
        steps = {
            "find": step("find", READS),
            "send": step("send", SENDS),
            "both": step("both", risk(allows=SEND, gives=CONTACT)),
            "open": step("open", None),
            "takes": step("takes", risk(allows="read_data", takes=CONTACT)),
        }
        steps["send around find"] = step("outer", SENDS, steps["find"])
        steps["find around send"] = step("outer", READS, steps["send"])
        desk(*(steps[name] for name in order))
        assert outcome(lambda: recorder.no_flow(CONTACT)) == expected


@pytest.mark.usefixtures("no_integrations")
def test_a_source_is_named_that_is_declared(recorder: RecordingSink) -> None:
    """Rather than an earlier one that does not declare it; the advice is about undeclared words."""
    steps = step("open", None), step("find", READS), step("send", SENDS)
    desk(*steps)
    with pytest.raises(AssertionError, match=r"\n  send .* began after find ") as raised:
        recorder.no_flow(CONTACT)
    assert "undeclared" not in str(raised.value)
    desk(steps[0], steps[2])
    with pytest.raises(
        AssertionError, match=rf"\n  send .* after open .*, which does not declare {CONTACT}"
    ):
        recorder.no_flow(CONTACT)


@pytest.mark.usefixtures("no_integrations")
def test_a_source_in_another_thread_counts_from_its_start(recorder: RecordingSink) -> None:
    """What it read may have been passed on before it ended."""
    began, sent = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        assert sent.wait(60)

    find, send = step("find", READS, work), step("send", SENDS)
    with free.run():
        thread = threading.Thread(target=remit.copy_context(find))
        thread.start()
        assert began.wait(60)
        send()
        assert outcome(lambda: recorder.no_flow(CONTACT)) == "violated"
        sent.set()
        thread.join(60)


@pytest.mark.usefixtures("no_integrations")
async def test_streams_and_tasks_count_in_the_order_of_their_starts(
    recorder: RecordingSink,
) -> None:
    """A stream is open from its call."""

    @remit.span_type("rows", data_risk=READS)
    async def rows() -> AsyncIterator[int]:
        yield 1
        yield 2

    @remit.span_type("lines", data_risk=READS)
    def lines() -> Iterator[int]:
        yield 1

    @remit.span_type("send", data_risk=SENDS)
    async def send() -> None:
        """Send something."""

    async with free.run():
        await send()
        assert list(lines()) == [1]
        recorder.no_flow(CONTACT)
        async for _ in rows():
            await asyncio.create_task(send())
    assert len(recorder.effects(SEND)) == 3
    with pytest.raises(AssertionError, match=r"(?s)send .* began after lines .*\(2 calls\)"):
        recorder.no_flow(CONTACT)


def nested(find: Step, send: Step) -> None:
    """Send in the run of another agent, opened in the block of the first."""
    with free.run():
        find()
        with agent.run():
            send()


def called(find: Step, send: Step) -> None:
    """Send in an agent that is called as a step."""
    inner = remit.agent(lambda: send())  # noqa: PLW0108 - a function of this call
    with free.run():
        find()
        inner()


def traced(find: Step, send: Step) -> None:
    """Send in a run that the first one caused."""
    with free.run():
        find()
        headers = remit.trace_headers()
    with agent.run(**headers):
        send()


def of_one_trace(find: Step, send: Step) -> None:
    """Find and send in two runs that a foreign trace caused."""
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with free.run(traceparent=header):
        find()
    with agent.run(traceparent=header):
        send()


def resumed(find: Step, send: Step) -> None:
    """Send after the instance was resumed."""
    instance = "01m87w8wm0q8f390g9b02c8fnhe7825b"
    for call in (find, send):
        with free.run(resume=instance):
            call()


def apart(find: Step, send: Step) -> None:
    """Send in a separate run."""
    with free.run():
        find()
    with agent.run():
        send()


@pytest.mark.usefixtures("no_integrations")
@pytest.mark.parametrize("play", [nested, called, traced, of_one_trace, resumed, apart])
def test_joined_runs_count_as_one(play: Callable[[Step, Step], None]) -> None:
    """Nested ones, those of one trace, and those of one instance."""
    with isolated() as recorder:
        play(step("find", READS), step("send", SENDS))
        assert outcome(lambda: recorder.no_flow(CONTACT)) == (
            "holds" if play is apart else "violated"
        )


# Words and messages


@each(
    "check, message",
    [
        (lambda sink: sink.effects("read_dat"), r"effects\(\) got 'read_dat'.*mean 'read_data'"),
        (lambda sink: sink.never("contact_info"), "mean 'contact_information'"),
        (lambda sink: sink.never("refund"), "which is not an action or category; expected one of"),
        (
            lambda sink: sink.never(None),
            "got an object of type NoneType, which is not an action or",
        ),
        (
            lambda sink: sink.only(["read_data"]),
            "of type list, which is not an action; expected one",
        ),
        (
            lambda sink: sink.only("minors_data"),
            "'minors_data', which is not an action; expected one",
        ),
        (
            lambda sink: sink.no_flow("read_data"),
            "'read_data', which is not a category; expected one",
        ),
        (lambda sink: sink.no_flow("minors_data", "mail"), "'mail', which is not an action or"),
        (lambda sink: sink.never("classification"), "which is not an action or category"),
        (lambda sink: sink.never("others"), "'others', which is not an action or category"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
    recorder=isolated,
)
def test_a_wrong_word_is_an_error(
    check: Callable[[RecordingSink], object], message: str, recorder: RecordingSink
) -> None:
    """It says what there is, and what was perhaps meant."""
    with pytest.raises(UsageError, match=message):
        check(recorder)


PROGRAM: Final = '''
import remit

@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
def pay(amount: int) -> None:
    """Pay."""

@remit.span_type
def draft() -> None:
    """Draft."""

@remit.agent
def desk() -> None:
    pay(1)
    pay(2)
    draft()

def test_it_does_not_pay(remit_recorder):
    desk()
    remit_recorder.never("financial_transactions")

def test_it_only_pays(remit_recorder):
    desk()
    remit_recorder.only("financial_transactions")

def test_it_is_not_called(remit_recorder):
    remit_recorder.never("financial_transactions")
'''


SHOWN: Final = """\
AssertionError: violated: never('financial_transactions'), but it was done:
  test_desk:pay (test_desk.py:4) allows financial_transactions (2 calls)
AssertionError: undecided: only('financial_transactions'), but steps that ran do not declare \
whether they do more:
  test_desk:pay (test_desk.py:4) does not declare create_data, read_data, update_data, \
destroy_data and external_communication (2 calls)
  test_desk:draft (test_desk.py:8) does not declare create_data, read_data, update_data, \
destroy_data and external_communication
Write forbids='others' in the data_risk of a step that does nothing but what it allows
AssertionError: vacuous: never('financial_transactions'), but no step ran, so the assertion cannot \
fail. Let the test call the agent, and the agent its steps"""


def test_pytest_shows_the_steps_and_the_line_of_the_test(tmp_path: Path) -> None:
    """And no line of remit."""
    file = tmp_path / "test_desk.py"
    file.write_text(PROGRAM)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "remit.testing.pytest_plugin", str(file)]
    shown = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "100"},
    ).stdout
    errors = [line[8:] for line in shown.splitlines() if line.startswith("E   ")]
    assert "\n".join(errors).replace(f"{tmp_path}/", "") == SHOWN
    assert shown.count("remit_recorder.never(") + shown.count("remit_recorder.only(") == 3
    assert "_recording.py" not in shown
