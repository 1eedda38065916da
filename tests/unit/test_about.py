"""What a program says of its runs: which conversation, about whom, for whom."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from enum import StrEnum
from functools import partial
from typing import Any

import pytest

import remit
from remit._adapters.declare import declare, declare_agent
from remit._adapters.spans import start
from remit._capture.rules.patterns import key_shaped
from remit.errors import DeclarationError, UsageError
from remit.testing import RecordedRun, RecordingSink, isolated
from tests.subtests import each

pytestmark = pytest.mark.python

THREE = {"conversation": "thread-9", "subject": "customer-17", "on_behalf_of": "user-42"}
NONE = dict.fromkeys(THREE)
KEY = "sk-ant-api03-" + "aB3dE5fG7h" * 9 + "-AA"


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record in memory."""
    with isolated() as sink:
        yield sink


@remit.agent
def desk(question: str = "") -> str:
    """Answer."""
    return question


def said(run: RecordedRun) -> dict[str, str | None]:
    """Return what is recorded of a run."""
    return {
        "conversation": run.conversation,
        "subject": run.subject,
        "on_behalf_of": run.on_behalf_of,
    }


def last(recorder: RecordingSink) -> dict[str, str | None]:
    """Return what is recorded of the last run."""
    return said(recorder.runs[-1])


def test_a_run_has_what_its_arguments_say(recorder: RecordingSink) -> None:
    """In the payload of its root span, which holds nothing of what is not said."""
    with desk.run(conversation="thread-9", subject="customer-17", on_behalf_of="user-42"):
        pass
    assert last(recorder) == THREE
    assert set(recorder.runs[0].root.payload) == {
        *THREE, "labels", "purpose", "sdk", "pid", "host"
    }  # fmt: skip
    with desk.run(conversation="thread-9"):
        pass
    assert last(recorder) == {**NONE, "conversation": "thread-9"}
    assert "on_behalf_of" not in recorder.runs[1].root.payload
    with desk.run(conversation="thread-9", labels=["a"]):
        pass
    assert last(recorder) == {**NONE, "conversation": "thread-9"}
    desk()
    assert last(recorder) == NONE


def test_half_a_surrogate_pair_is_spelt_out(recorder: RecordingSink) -> None:
    """Two conversations stay two, of the program and of a framework."""
    for half in ("\ud800", "\udfff"):
        with desk.run(conversation=f"thread {half}"):
            desk()
    graph(conversation="\ud800", subject="ada")
    names = ["thread \\ud800", "thread \\udfff", "\\ud800"]
    assert [run.conversation for run in recorder.runs] == names


def test_a_block_gives_defaults_to_the_runs_that_begin_inside(recorder: RecordingSink) -> None:
    """Also to an async block of a run, and to none after it."""

    async def answer() -> None:
        async with remit.about(**THREE), desk.run():
            pass

    with remit.about(**THREE):
        desk()
    desk()
    asyncio.run(answer())
    desk()
    assert [said(run) for run in recorder.runs] == [THREE, NONE, THREE, NONE]


def test_an_argument_comes_before_the_innermost_block_and_that_before_an_outer_one(
    recorder: RecordingSink,
) -> None:
    """Each value for itself: an inner block adds to an outer one."""
    with remit.about(conversation="outer", subject="outer"):
        with remit.about(conversation="inner"):
            with desk.run(on_behalf_of="argument"):
                pass
            with desk.run(conversation="argument"):
                pass
        desk()
    assert [said(run) for run in recorder.runs] == [
        {"conversation": "inner", "subject": "outer", "on_behalf_of": "argument"},
        {"conversation": "argument", "subject": "outer", "on_behalf_of": None},
        {"conversation": "outer", "subject": "outer", "on_behalf_of": None},
    ]


def test_a_run_inside_a_run_takes_over_what_is_not_said_of_it(recorder: RecordingSink) -> None:
    """The innermost of block and outer run counts."""
    outer = remit.about(conversation="block", subject="block")
    with outer, desk.run(conversation="run", on_behalf_of="run"):
        with desk.run():
            pass
        with remit.about(conversation="inner"), desk.run(), desk.run():
            pass
        with desk.run():
            pass
    of_run = {"conversation": "run", "subject": "block", "on_behalf_of": "run"}
    of_inner = {**of_run, "conversation": "inner"}
    assert [said(run) for run in recorder.runs] == [of_run, of_run, of_inner, of_inner, of_run]


def test_a_run_that_is_made_current_elsewhere_counts_before_a_block_around(
    recorder: RecordingSink,
) -> None:
    """`run.use()` in a thread that has its own block."""
    with desk.run(conversation="run") as run:

        def work() -> None:
            with remit.about(conversation="thread", subject="thread"):
                with run.use(), desk.run():
                    pass
                desk()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [each.conversation for each in recorder.runs] == ["run", "run", "thread"]
    assert [each.subject for each in recorder.runs] == [None, None, "thread"]


def test_the_values_hold_in_copies_of_the_context(recorder: RecordingSink) -> None:
    """Tasks, threads of asyncio, and what `copy_context` carries; not in a thread of its own."""

    async def answers() -> None:
        async with remit.about(conversation="thread-9"):
            await asyncio.create_task(asyncio.to_thread(desk))
            plain = threading.Thread(target=desk)
            carried = threading.Thread(target=remit.copy_context(desk))
            for thread in (plain, carried):
                thread.start()
                thread.join()
            contextvars.copy_context().run(desk)

    asyncio.run(answers())
    assert [run.conversation for run in recorder.runs] == ["thread-9", None, "thread-9", "thread-9"]


def test_tasks_do_not_mix(recorder: RecordingSink) -> None:
    """Each has the values of its own block."""

    async def answer(number: int) -> None:
        with remit.about(conversation=f"thread-{number}"):
            await asyncio.sleep(0)
            async with desk.run(subject=str(number)):
                await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def answers() -> None:
        await asyncio.gather(*(answer(number) for number in range(5)))

    asyncio.run(answers())
    assert all(run.conversation == f"thread-{run.subject}" for run in recorder.runs)
    assert len(recorder.runs) == 5


def test_a_generator_that_leaves_its_block_does_not_end_that_of_its_consumer(
    recorder: RecordingSink,
) -> None:
    """The previous values are restored only while those of the block are current."""

    def numbers() -> Iterator[int]:
        with remit.about(conversation="generator"):
            yield 1

    def consume() -> None:
        stream = numbers()
        next(stream)
        with remit.about(conversation="consumer"):
            assert next(stream, None) is None
            desk()

    contextvars.copy_context().run(consume)
    assert last(recorder)["conversation"] == "consumer"


def test_a_decorator_of_functions_and_coroutine_functions(recorder: RecordingSink) -> None:
    """Each call has a block of its own; the function keeps its name, and may be recursive."""

    @remit.about(conversation="thread-9")
    def answer(depth: int = 0) -> int:
        desk()
        return answer(depth - 1) if depth else 1

    @remit.about(subject="customer-17")
    async def awaited() -> str:
        await asyncio.sleep(0)
        return desk("x")

    class Awaited:
        """An object that is called as a coroutine function."""

        async def __call__(self) -> str:
            await asyncio.sleep(0)
            return desk("y")

    assert answer(1) == 1
    assert asyncio.run(awaited()) == "x"
    assert asyncio.run(remit.about(subject="customer-18")(Awaited())()) == "y"
    desk()
    assert answer.__name__ == "answer"
    assert [(run.conversation, run.subject) for run in recorder.runs] == [
        ("thread-9", None), ("thread-9", None), (None, "customer-17"), (None, "customer-18"),
        (None, None),
    ]  # fmt: skip


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


class _Streaming:
    """An object whose call is a generator."""

    def __call__(self) -> Iterator[int]:
        """Yield a number."""
        yield 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param(_Streaming(), "_Streaming: a generator function", id="object"),
        pytest.param(partial(_generator), "partial: a generator function", id="partial"),
        pytest.param(_generator, "_generator: a generator function.*around the loop", id="sync"),
        pytest.param(_async_generator, "_async_generator: a generator function", id="async"),
        pytest.param(threading.Thread, "got a class; expected a function", id="class"),
        pytest.param(17, "an object of int; expected a function", id="no-callable"),
    ],
)
def test_a_generator_is_not_decorated(target: Any, message: str) -> None:
    """Its values would hold for the consumer between the steps."""
    with pytest.raises(DeclarationError, match=message):
        remit.about(conversation="thread-9")(target)


def test_a_block_is_entered_once() -> None:
    """As the blocks of runs and spans."""
    block = remit.about(conversation="thread-9")
    with block:
        pass
    with pytest.raises(UsageError, match="entered twice: create a new one"), block:
        pass


class Thread(StrEnum):
    """Names of conversations."""

    NINE = "thread-9"


@each("name", list(THREE), recorder=isolated)
def test_a_value_is_a_text_of_1_to_200_characters(recorder: RecordingSink, name: str) -> None:
    """Said where `run` or `about` is called, before anything is recorded."""
    wrong: list[tuple[Any, str]] = [
        (17, f"{name}=.*of type int; expected a string of 1 to 200 characters"),
        (uuid.uuid4(), f"{name}=.*of type UUID; expected a string"),
        ("", f"{name}=.*a string of 0 characters; expected 1 to 200"),
        ("x" * 201, f"{name}=.*a string of 201 characters; expected 1 to 200"),
    ]
    for value, message in wrong:
        given: dict[str, Any] = {name: value}
        with pytest.raises(UsageError, match=f"run.{message}"):
            desk.run(**given)
        with pytest.raises(UsageError, match=f"about.{message}"):
            remit.about(**given)
    assert recorder.runs == []
    with desk.run(**{name: "x" * 200}):
        pass
    with remit.about(**{name: Thread.NINE}):
        desk()
    assert [said(run)[name] for run in recorder.runs] == ["x" * 200, "thread-9"]


def test_a_text_that_looks_like_a_key_is_an_error_that_does_not_show_it(
    recorder: RecordingSink,
) -> None:
    """A rule that is switched off recognises none."""
    for call in (desk.run, remit.about):
        with pytest.raises(UsageError, match="looks like a key, a token or a password") as raised:
            call(conversation=KEY)
        assert KEY[:20] not in str(raised.value)
    assert recorder.runs == []
    rule = key_shaped(KEY)
    assert rule is not None
    with isolated(redact_off=[rule]) as other:
        with desk.run(conversation=KEY), remit.about(subject=KEY):
            desk()
            with desk.run():
                pass
        assert [run.conversation for run in other.runs] == [KEY, KEY]


def test_the_hook_of_the_program_redacts_the_values() -> None:
    """As every payload."""

    def hook(payload: dict[str, object]) -> dict[str, object]:
        return {**payload, "subject": "somebody"} if payload.get("subject") else payload

    with isolated(redact=hook) as recorder, desk.run(**THREE):
        pass
    assert last(recorder) == {**THREE, "subject": "somebody"}


def test_a_payload_without_room_for_the_values_is_cut() -> None:
    """Within the limit of every payload."""
    texts: dict[str, Any] = dict.fromkeys(THREE, "\x01" * 200)
    with isolated(max_payload_bytes=1024) as recorder, desk.run(**texts):
        pass
    assert len(str(recorder.runs[0].root.payload)) < 2048


@pytest.mark.usefixtures("recorder")
def test_a_resumed_run_warns_of_arguments_and_not_of_a_block(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server keeps what the run was begun with."""
    with desk.run() as run:
        run.leave_open()
    with remit.about(**THREE), desk.run(resume=run.key):
        pass
    assert "the run keeps the earlier ones" not in caplog.text
    with desk.run(resume=run.key, conversation="thread-9"):
        pass
    assert "the run keeps the earlier ones" in caplog.text


# Frameworks


def graph(**suggested: object) -> None:
    """Run the agent of a framework, which says something of its runs."""
    agent = declare("about-test:agent", "agent")
    runs = declare_agent("about.agents:Graph", name="Graph")
    with start(agent, {"agent_name": "Graph"}, agent=runs, suggested=suggested):
        pass


def test_what_a_framework_says_counts_where_the_program_says_nothing(
    recorder: RecordingSink,
) -> None:
    """Numbers and UUIDs are ids, too."""
    thread = uuid.uuid4()
    graph(conversation=thread, on_behalf_of=7, labels=["tag"])
    with remit.about(conversation="block"):
        graph(conversation=thread, on_behalf_of=7)
    assert [said(run) for run in recorder.runs] == [
        {"conversation": str(thread), "on_behalf_of": "7", "subject": None},
        {"conversation": "block", "on_behalf_of": "7", "subject": None},
    ]
    assert recorder.runs[0].root.payload["labels"] == ["tag"]
    assert recorder.spans("about-test:agent")[0].payload == {"agent_name": "Graph"}


@each("value", ["", "x" * 201, KEY, 1.5, True, object(), {"a": 1}], recorder=isolated)
def test_what_is_not_valid_of_a_framework_is_left_out(
    recorder: RecordingSink, value: object
) -> None:
    """It never raises, and the other values stay."""
    graph(conversation=value, subject="customer-17", labels="no list")
    assert last(recorder) == {**NONE, "subject": "customer-17"}
    assert recorder.runs[0].root.payload["labels"] is None


def test_what_a_framework_says_inside_a_run_is_in_the_payload_of_its_agent(
    recorder: RecordingSink,
) -> None:
    """Where the run says nothing else, the collector reads it there."""
    with desk.run(subject="customer-17"):
        graph(conversation="thread-9", subject="customer-17", on_behalf_of=KEY)
        tool = declare("about-test:tool", "tool")
        with start(tool, {"city": "Rome"}, suggested={"conversation": "thread-9"}):
            pass
    assert last(recorder) == {**NONE, "subject": "customer-17"}
    (agent,), (call,) = recorder.spans("about-test:agent"), recorder.spans("about-test:tool")
    assert agent.payload == {"agent_name": "Graph", "conversation": "thread-9"}
    assert call.payload == {"city": "Rome"}
