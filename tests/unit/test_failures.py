"""What a failure leaves: where it was raised, by which frames, and because of what."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import weakref
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest

import remit
from remit.testing import RecordingSink, isolated
from tests.subtests import each

LLM_KEY = "sk-proj-9aB8cD7eF6gH5iJ4kL3m"
GITHUB_KEY = f"ghp_{'a1B2' * 9}"
REDACTED = "correct-horse-battery"

TOOLS = """\
import json
import remit

class PaymentError(Exception):
    pass

def post(order):
    raise ConnectionError("the socket is closed")

@remit.span_type
def charge(order):
    try:
        post(order)
    except ConnectionError as error:
        raise PaymentError("no answer") from error

@remit.span_type
def pay_back(order):
    charge(order)

@remit.span_type
def look_up(order):
    try:
        post(order)
    except ConnectionError:
        return {}["order"]

@remit.span_type
def forget(order):
    try:
        post(order)
    except ConnectionError:
        raise LookupError("nothing") from None

@remit.span_type
def read(text):
    return json.loads(text)

@remit.span_type
def through(call):
    return call()

@remit.span_type
def deep(levels):
    def down(left):
        if left:
            down(left - 1)
        raise RecursionError("too deep")
    down(levels)
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module `shop.tools` of a program whose source root is a folder of its own."""
    package = tmp_path / "program" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "tools.py").write_text(TOOLS)
    monkeypatch.syspath_prepend(str(tmp_path / "program"))
    yield import_module("shop.tools")
    for name in ("shop", "shop.tools"):
        sys.modules.pop(name, None)


@remit.agent("Desk")
def desk(call: Callable[[], object]) -> object:
    """Do what is asked for."""
    return call()


def line_of(text: str) -> int:
    """Return the line of `shop/tools.py` that begins with *text*."""
    lines = [line.strip() for line in TOOLS.splitlines()]
    return next(number for number, line in enumerate(lines, 1) if line.startswith(text))


def fail(call: Callable[[], object], sink: RecordingSink, name: str) -> dict[str, Any]:
    """Return what the span *name* records of the failure of *call*, which an agent makes."""
    with pytest.raises(BaseException):  # noqa: B017, PT011 - each test says what is recorded of it
        desk(call)
    error: dict[str, Any] = (sink.spans(name)[-1].result or {})["error"]
    return error


def functions(error: dict[str, Any]) -> list[str]:
    """Return the functions of the frames, the innermost first."""
    return [frame.get("function", "...") for frame in error["frames"]]


def test_a_failure_says_where_it_was_raised_and_what_caused_it(
    recorder: RecordingSink, tools: ModuleType
) -> None:
    """The place is relative to the folder that the program's top-level package lies in."""
    error = fail(lambda: tools.pay_back(7), recorder, "charge")
    line, inner = line_of("raise PaymentError"), line_of("raise ConnectionError")
    assert error == {
        "type": "shop.tools.PaymentError",
        "message": "no answer",
        "at": f"shop/tools.py:{line} in charge",
        "frames": [{"file": "shop/tools.py", "line": line, "function": "charge"}],
        "causes": [
            {
                "type": "ConnectionError",
                "message": "the socket is closed",
                "at": f"shop/tools.py:{inner} in post",
                "relation": "cause",
            }
        ],
    }


def test_enclosing_spans_add_their_frames_without_those_of_remit(
    recorder: RecordingSink, tools: ModuleType
) -> None:
    """The frames are the innermost first; the place stays that where it was raised."""
    error = fail(lambda: tools.pay_back(7), recorder, "desk")
    assert functions(error) == ["charge", "pay_back", "<lambda>", "desk"]
    assert error["at"].endswith(" in charge")
    here = error["frames"][-1]["file"]
    assert here in {"tests/unit/test_failures.py", "test_failures.py"}


@each(
    ("step", "causes"),
    [
        pytest.param("look_up", [("ConnectionError", "context")], id="raised while another is"),
        pytest.param("forget", [], id="raised from None"),
    ],
)
def test_what_was_handled_is_a_context_unless_it_is_suppressed(
    step: str, causes: list[tuple[str, str]], recorder: RecordingSink, tools: ModuleType
) -> None:
    """As Python prints it."""
    error = fail(lambda: getattr(tools, step)(7), recorder, step)
    assert [(each["type"], each["relation"]) for each in error.get("causes", [])] == causes


def test_the_place_is_the_innermost_frame_of_the_program(
    recorder: RecordingSink, tools: ModuleType
) -> None:
    """Frames of the standard library are recorded, relative to it."""
    error = fail(lambda: tools.read("{"), recorder, "read")
    assert error["at"] == f"shop/tools.py:{line_of('return json.loads')} in read"
    assert error["frames"][0]["file"] == "json/decoder.py"
    assert functions(error)[-2:] == ["loads", "read"]


def test_frames_of_installed_packages_are_relative_to_their_folder(
    recorder: RecordingSink, tools: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No path of the machine is recorded."""
    installed = tmp_path / "lib" / "site-packages"
    (installed / "kit").mkdir(parents=True)
    (installed / "kit" / "__init__.py").write_text("def break_down():\n    raise OSError('no')\n")
    monkeypatch.syspath_prepend(str(installed))
    kit = import_module("kit")
    error = fail(lambda: tools.through(kit.break_down), recorder, "through")
    assert error["frames"][0] == {"file": "kit/__init__.py", "line": 2, "function": "break_down"}
    assert error["at"] == f"shop/tools.py:{line_of('return call()')} in through"
    assert str(tmp_path) not in json.dumps(error)
    sys.modules.pop("kit")


def test_of_many_frames_the_innermost_and_the_outermost_are_kept(
    recorder: RecordingSink, tools: ModuleType
) -> None:
    """Ten of each, with a marker between that says how many there were."""
    error = fail(lambda: tools.deep(90), recorder, "deep")
    assert functions(error) == [*["down"] * 10, "...", *["down"] * 9, "deep"]
    assert error["frames"][10] == {"$remit": "cut", "of": 92, "unit": "items"}


def test_a_coroutine_that_fails_says_where(recorder: RecordingSink) -> None:
    """No frame of remit's stands between those of the program."""

    @remit.span_type
    async def inner() -> None:
        await asyncio.sleep(0)
        raise ValueError

    @remit.span_type
    async def outer() -> None:
        await inner()

    async def main() -> None:
        with desk.run():
            await outer()

    with pytest.raises(ValueError):  # noqa: PT011 - it has no message
        asyncio.run(main())
    error = (recorder.spans("outer")[0].result or {})["error"]
    assert functions(error) == ["inner", "outer"]


def test_a_chain_of_causes_is_cut_after_five_and_ends_at_a_circle(recorder: RecordingSink) -> None:
    """However long a program lets it become."""
    errors = [ValueError(number) for number in range(9)]
    for error, cause in pairwise(errors):
        error.__cause__ = cause

    def failing() -> None:
        raise errors[0]

    shown = fail(failing, recorder, "desk")
    assert [cause["message"] for cause in shown["causes"]] == ["1", "2", "3", "4", "5"]
    assert all("at" not in cause for cause in shown["causes"])
    errors[1].__cause__ = errors[0]
    shown = fail(failing, recorder, "desk")
    assert [cause["message"] for cause in shown["causes"]] == ["1"]


def test_a_group_shows_its_members(recorder: RecordingSink) -> None:
    """At most five, those of inner groups in their place, and how many there are in all."""

    def broken(number: int) -> Exception:
        try:
            raise ValueError(number)  # noqa: TRY301 - a step that fails
        except ValueError as error:
            return error

    def failing() -> None:
        inner = ExceptionGroup("inner", [broken(1), broken(2)])
        raise ExceptionGroup("outer", [broken(0), inner, *map(broken, range(3, 8))])

    error = fail(failing, recorder, "desk")
    assert error["of"] == 8
    assert [member["message"] for member in error["members"]] == ["0", "1", "2", "3", "4"]
    assert error["members"][1]["type"] == "ValueError"
    assert error["members"][1]["at"].endswith(" in broken")
    assert error["at"].endswith(" in failing")


# What must not be in it


@remit.span_type
def log_in(password: str) -> None:
    """Refuse a password."""
    try:
        raise KeyError(f"no user has {password}")  # noqa: TRY301 - a step that fails
    except KeyError as error:
        raise ExceptionGroup("refused", [ValueError(password)]) from error


@remit.span_type(data_risk=remit.risk(classification="restricted"))
def weigh(name: str) -> None:
    """Fail for several reasons."""
    try:
        raise KeyError(name)  # noqa: TRY301 - a step that fails
    except KeyError as error:
        raise ExceptionGroup("refused", [ValueError("member of a group")]) from error


def test_causes_and_members_quote_nothing_that_the_run_has_redacted(
    recorder: RecordingSink,
) -> None:
    """As a message does not."""
    error = fail(lambda: log_in(REDACTED), recorder, "log_in")
    quoted = {"$remit": "redacted", "rule": "quoted"}
    assert error["causes"][0]["message"] == quoted
    assert error["members"][0]["message"] == quoted
    assert REDACTED not in json.dumps([span.result for span in recorder.spans()])
    assert REDACTED not in json.dumps(recorder.runs[-1].root.result)


def test_a_declaration_that_redacts_messages_redacts_those_of_causes_and_members(
    recorder: RecordingSink,
) -> None:
    """Types and places are recorded. The enclosing spans do not quote the messages either."""
    error = fail(lambda: weigh("the name"), recorder, "weigh")
    rule = error["message"]["rule"]
    assert rule == "classification:restricted"
    assert [each["message"]["rule"] for each in (*error["causes"], *error["members"])] == [rule] * 2
    assert error["causes"][0]["type"] == "KeyError"
    assert error["at"].endswith(" in weigh")
    texts = json.dumps([span.result for span in recorder.spans("desk")])
    assert "the name" not in texts
    assert "member of a group" not in texts


@each("key", [LLM_KEY, GITHUB_KEY], ids=["of a model", "of a forge"])
@each("start", ["", "E", "Odd_"], ids=["alone", "after a letter", "after a word"])
def test_a_key_in_the_name_of_an_exceptions_class_is_redacted(
    start: str, key: str, recorder: RecordingSink
) -> None:
    """Also as a cause, and as the reason of the run."""
    odd = type(start + key, (Exception,), {})

    def failing() -> None:
        raise odd from odd("inner")

    with pytest.raises(odd), desk.run():
        desk(failing)
    (run,) = recorder.runs[-1:]
    error = (recorder.spans("desk")[-1].result or {})["error"]
    assert error["type"]["$remit"] == "redacted"
    assert error["causes"][0]["type"] == error["type"]
    assert key not in json.dumps([run.root.result, *(span.result for span in run.spans)])


def test_a_redacted_argument_in_the_name_of_a_class_is_redacted(recorder: RecordingSink) -> None:
    """A program may make a class of what it was given."""

    @remit.span_type
    def refuse(who: Annotated[str, remit.Sensitive()]) -> None:
        raise type(f"Refused{who}", (Exception,), {})

    with pytest.raises(Exception, match=r"^$"), desk.run():
        refuse(REDACTED)
    (run,) = recorder.runs
    assert REDACTED not in json.dumps([run.root.result, *(span.result for span in run.spans)])


@each("place", ["file", "function"])
def test_a_key_in_a_name_of_the_code_is_redacted(place: str, recorder: RecordingSink) -> None:
    """Code that is made at run time has any name."""
    names: dict[str, Any] = {}
    file = f"<rule {LLM_KEY}>" if place == "file" else "<rule>"
    exec(compile("def failing():\n    raise ValueError", file, "exec"), names)
    failing = names["failing"]
    if place == "function":
        failing.__code__ = failing.__code__.replace(co_name=LLM_KEY)

    def failing_step() -> None:
        failing()

    error = fail(failing_step, recorder, "desk")
    marker = {"$remit": "redacted", "rule": "pattern:llm_key"}
    assert error["frames"][0][place] == marker
    assert LLM_KEY not in json.dumps(error)


@each(
    "name",
    [None, 7, "", "..", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "__main__"],
    ids=["none", "a number", "empty", "dots", "too many levels", "main"],
)
@each("file", [None, 7, "", "/nowhere/at/all.py", "\0"], ids=repr)
def test_a_module_that_lies_about_itself_shows_no_path(
    file: object, name: object, recorder: RecordingSink, tmp_path: Path
) -> None:
    """Names and files of modules are whatever a program sets them to."""
    names: dict[str, Any] = {"__name__": name, "__file__": file}
    path = str(tmp_path / f"odd-{name!r}-{file!r}".replace("/", "_") / "rules.py")
    exec(compile("def failing():\n    raise ValueError", path, "exec"), names)

    error = fail(names["failing"], recorder, "desk")
    assert error["frames"][0] == {"file": "rules.py", "line": 2, "function": "failing"}


def test_a_long_message_leaves_room_for_the_place() -> None:
    """Whatever the limit of a payload is, the place and the beginning of the message fit."""
    for limit in (512, 1024, 65_536):
        with isolated(max_payload_bytes=limit) as sink:

            def failing() -> None:
                raise ValueError("word " * 50_000)

            error = fail(failing, sink, "desk")
            assert error["at"].endswith(" in failing")
            assert error["message"]["head"].startswith("word word")
            assert len(json.dumps(error)) <= limit + 64


def test_the_hook_gets_the_whole_failure() -> None:
    """What it returns is recorded, as for every payload."""
    seen: list[dict[str, Any]] = []

    def redact(payload: dict[str, Any]) -> dict[str, Any]:
        seen.append(payload)
        payload.get("error", {}).pop("frames", None)
        return payload

    with isolated(redact=redact) as sink:

        def failing() -> None:
            raise ValueError("no")

        error = fail(failing, sink, "desk")
    assert error == {"type": "ValueError", "message": "no", "at": error["at"]}


def test_nothing_of_a_traceback_is_kept_alive(recorder: RecordingSink) -> None:
    """Neither frames nor their local variables outlive the failure."""

    class Local:
        """A local variable of a frame that fails."""

    seen: list[weakref.ref[Local]] = []

    def failing() -> None:
        local = Local()
        seen.append(weakref.ref(local))
        raise ValueError("no") from KeyError("yes")

    assert fail(failing, recorder, "desk")["at"]
    gc.collect()
    assert seen[0]() is None


# In the block of a run


def test_an_error_in_the_block_of_a_run_is_recorded_in_its_root_span(
    recorder: RecordingSink, tools: ModuleType
) -> None:
    """As each loop of a worker has it: no step failed, but the code between them."""
    with pytest.raises(ConnectionError), desk.run():
        tools.post(7)
    root = recorder.runs[0].root
    assert root.result is not None
    assert (root.status, root.result["status"], root.result["reason"]) == (
        "failed",
        "failed",
        "ConnectionError",
    )
    error = root.result["error"]
    assert (error["type"], error["message"]) == ("ConnectionError", "the socket is closed")
    assert error["at"] == f"shop/tools.py:{line_of('raise ConnectionError')} in post"
    assert functions(error) == ["post", functions(error)[-1]]


def test_a_run_that_is_failed_with_an_error_records_it(recorder: RecordingSink) -> None:
    """`run.fail(error)` is for code that handles the error itself."""
    with desk.run() as run:
        try:
            raise ValueError("wrong") from KeyError("a")  # noqa: TRY301 - a step that fails
        except ValueError as error:
            run.fail(error)
    result = recorder.runs[0].root.result or {}
    assert (result["reason"], result["error"]["message"]) == ("ValueError", "wrong")
    assert result["error"]["causes"][0]["type"] == "KeyError"
    with desk.run() as run:
        run.fail("no answer")
    assert "error" not in (recorder.runs[1].root.result or {})
    with desk.run() as run:
        run.fail(ValueError("first"))
        run.fail("the last counts")
    result = recorder.runs[2].root.result or {}
    assert (result["reason"], "error" in result) == ("the last counts", False)


def test_the_error_of_a_run_quotes_nothing_that_it_has_redacted(recorder: RecordingSink) -> None:
    """Neither a text that a step redacted, nor the message that a declaration redacts."""
    with pytest.raises(ExceptionGroup), desk.run():
        log_in(REDACTED)
    with pytest.raises(ExceptionGroup), desk.run():
        weigh("the name of somebody")
    texts = json.dumps([run.root.result for run in recorder.runs])
    assert REDACTED not in texts
    assert "the name of somebody" not in texts
    assert "member of a group" not in texts


def test_the_declaration_of_an_agent_redacts_the_message_in_its_root_span(
    recorder: RecordingSink,
) -> None:
    """Code in the block of its runs fails over the same data as its steps."""

    @remit.agent("Clinic", data_risk=remit.risk(classification="restricted"))
    def clinic() -> None: ...

    with pytest.raises(KeyError), clinic.run():
        raise KeyError("the name of a patient")
    error = (recorder.runs[0].root.result or {})["error"]
    assert (error["type"], error["message"]["rule"]) == ("KeyError", "classification:restricted")


def test_a_program_that_is_an_installed_package_is_the_place(
    recorder: RecordingSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is deployed as a wheel lies beside the libraries that it uses."""
    installed = tmp_path / "lib" / "site-packages"
    for name, text in {
        "aid": "def break_down():\n    raise OSError('no')\n",
        "service": (
            "import remit\nimport aid\n\n@remit.agent\ndef serve():\n    aid.break_down()\n"
        ),
    }.items():
        (installed / name).mkdir(parents=True)
        (installed / name / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(installed))
    service = import_module("service")
    with pytest.raises(OSError, match="no"):
        service.serve()
    error = (recorder.spans("serve")[0].result or {})["error"]
    assert error["at"] == "service/__init__.py:6 in serve"
    assert functions(error) == ["break_down", "serve"]
    for name in ("aid", "service"):
        sys.modules.pop(name)
