"""Every fault, how a program that meets it is run, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tests.architecture.sources import ROOT
from tests.fake_api import Json, named, refusal
from tests.faults import backend
from tests.faults.backend import Backend, Fault, Strikes, always
from tests.faults.program import BIG_EVERY, STEPS
from tests.inside import LOSS_TYPE, httpx
from tests.loopback import serving, unused_port

Report: TypeAlias = dict[str, Any]

RUNS: Final = 2 * STEPS
# How many requests are answered well before a fault of the middle begins.
MIDDLE: Final = 7
# Of each run: its root, the agent, three steps; and four times a large text is read.
SPANS: Final = 5 * RUNS + 4
# Time enough for a program on a busy machine to get as far as the fault.
MEET_S: Final = 60.0
EXIT_TIMEOUT_S: Final = 2.0
MAX_BODY_BYTES: Final = 20_000
# A rejected request is sent again in parts: after so many, an item is rejected alone.
FOR_GOOD: Final = 20
HTML: Final = "<html><body>Log in to the hotel's network</body></html>"
ENVIRONMENT: Final = {
    "REMIT_API_TOKEN": "pf_0123456789abcdef",
    "REMIT_MODE": "remote",
    "REMIT_FLUSH_INTERVAL_S": "0.1",
    "REMIT_EXIT_TIMEOUT_S": str(EXIT_TIMEOUT_S),
}


@dataclass(frozen=True)
class Case:
    """One row of the matrix.

    Attributes:
        name: What goes wrong, in words.
        fault: What the back end does, None if it does nothing wrong.
        strikes: Which requests meet it.
        enough: Which of those have to, before the back end recovers.
        least: How many of those have to.
        trouble: What goes wrong inside the program's own process.
        host: By what name the back end is reached.
        listens: Whether something listens at the address before the recovery.
        changes: Changes of health, and so lines of the log: one for the trouble, one for its end.
        refuses: Whether the server refuses what is sent for good: it is set aside, counted, said.
        cuts: Whether payloads are too large for the server: they arrive cut, and that is counted.
        timeout_s: How long a request waits: short where nothing arrives; otherwise long enough for
            a busy machine.
    """

    name: str
    fault: Fault | None = None
    strikes: Strikes = always
    enough: Strikes = always
    least: int = 1
    trouble: str = "none"
    host: str = "127.0.0.1"
    listens: bool = True
    changes: int = 2
    refuses: bool = False
    cuts: bool = False
    timeout_s: int = 30


def _answers(status: int, code: str) -> Fault:
    return backend.says(refusal(status, code))


def _is_bad(item: Json) -> bool:
    details: Json = item.get("details", {})
    return named("tests.faults.program:program.<locals>.look_up")(item) and (
        details["payload"]["number"] % BIG_EVERY == 1
    )


CASES: Final = (
    Case("nothing", changes=0),
    Case("refuses connections", trouble="refusal", listens=False),
    Case("never answers", backend.never_answers, timeout_s=2),
    Case("answers slowly", backend.answers_slowly, changes=0),
    Case("answers byte by byte", backend.drips, timeout_s=2),
    Case("resets in mid-body", backend.resets),
    Case("answers HTML", backend.says(httpx.Response(200, html=HTML))),
    Case("answers nothing", backend.says(httpx.Response(200))),
    Case("answers half a JSON", backend.half_json),
    Case("400", _answers(400, "bad_request"), least=FOR_GOOD, changes=0, refuses=True),
    Case("401, a wrong token that becomes right", _answers(401, "unauthorized")),
    Case("403", _answers(403, "forbidden")),
    Case("404 for everything", backend.says(httpx.Response(404, text="not found"))),
    Case("409", _answers(409, "conflict"), least=FOR_GOOD, changes=0, refuses=True),
    Case(
        "413 above a size",
        _answers(413, "too_large"),
        strikes=backend.larger_than(MAX_BODY_BYTES),
        enough=backend.of_one_item,
        changes=0,
        cuts=True,
    ),
    Case("429, Retry-After in seconds", backend.asks_for_patience(as_date=False)),
    Case("429, Retry-After as a date", backend.asks_for_patience(as_date=True)),
    Case("500", _answers(500, "internal_error")),
    Case("503", _answers(503, "unavailable")),
    Case(
        "one bad item in a bulk",
        backend.refuses_items(_is_bad, "validation_errors"),
        strikes=backend.bulks_with(_is_bad),
        changes=0,
        refuses=True,
    ),
    Case("DNS that hangs", trouble="names", host="localhost", changes=0, timeout_s=2),
    Case("a clock that jumps an hour ahead", trouble="forth", changes=0),
    Case("a clock that jumps an hour back", trouble="back", changes=0),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one fault.

    Attributes:
        report: What the program says.
        exit_s: Seconds from its last word to its end.
        code: Its exit code.
        errors: What it wrote on stderr.
        back_end: What the server has.
    """

    report: Report
    exit_s: float
    code: int
    errors: str
    back_end: Backend

    @property
    def counted(self) -> int:
        """How many items, or payloads of items, are counted as refused or lost."""
        return sum(self.losses.values())

    @property
    def losses(self) -> Counter[str]:
        """Items, or payloads of items, that were refused or lost, by reason."""
        return Counter(self.report["set_aside"]) + Counter(self.report["dropped"])

    @property
    def cut(self) -> int:
        """How many spans arrived with their payload cut."""
        marker = "'unit': 'bytes'"  # what is cut when it is recorded is cut by characters
        return sum(marker in str(span["payload"]) for span in self.spans)

    @property
    def warnings(self) -> list[str]:
        """The lines of the log about trouble."""
        return [line for line in self.report["log"] if line.startswith("WARNING")]

    @property
    def recoveries(self) -> list[str]:
        """The lines of the log that say that it is over."""
        return [line for line in self.report["log"] if "works again" in line]

    @property
    def spans(self) -> list[Json]:
        """The spans that arrived, but for those that tell of losses."""
        spans = self.back_end.api.spans.values()
        return [span for span in spans if span["schema_name"] != LOSS_TYPE]

    @property
    def delivered(self) -> int:
        """How many spans have arrived and ended."""
        return sum(span["status"] not in ("active", "pending") for span in self.spans)

    @property
    def told(self) -> Counter[str]:
        """What the server was told of losses, by reason."""
        found: Counter[str] = Counter()
        for span in self.back_end.api.spans.values():
            if span["schema_name"] == LOSS_TYPE:
                found.update(span["payload"]["counts"])
        return found

    @property
    def finished(self) -> int:
        """How many runs are finished."""
        return sum("finished_at" in each for each in self.back_end.api.instances.values())


def meet(case: Case, healthy: int = 0) -> Outcome:
    """Run the program against the fault, have the back end recover, and wait for the end.

    Args:
        case: The fault.
        healthy: How many requests the back end answers well before the fault begins.
    """
    back_end = Backend(
        case.fault, healthy, strikes=case.strikes, enough=case.enough, least=case.least
    )
    port = 0 if case.listens else unused_port()
    with ExitStack() as stack:
        if case.listens:
            url = stack.enter_context(serving(back_end.behave))
        else:
            url = f"http://127.0.0.1:{port}"
        url = url.replace("127.0.0.1", case.host)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        process = stack.enter_context(_running("remit", case, url, folder))
        _ready(process)
        if case.fault is not None and not back_end.met.wait(MEET_S):
            raise RuntimeError("no request met the fault")
        if case.listens:
            back_end.recovered.set()
        else:
            stack.enter_context(serving(back_end.behave, port))
        return _ended(process, back_end)


def moments() -> list[tuple[Case, int]]:
    """Return each fault with the requests that go well before it: from the first on, and later."""
    return [(case, healthy) for case in CASES for healthy in ((0, MIDDLE) if case.fault else (0,))]


def meet_all(
    cases: Sequence[tuple[Case, int]], at_once: int
) -> dict[tuple[str, int], Future[Outcome]]:
    """Run the program against each fault, some at a time: they mostly wait."""
    pool = ThreadPoolExecutor(at_once)
    return {(case.name, healthy): pool.submit(meet, case, healthy) for case, healthy in cases}


def bare() -> Report:
    """Run the program without remit."""
    with tempfile.TemporaryDirectory() as folder, _running("bare", CASES[0], "", folder) as process:
        _ready(process)
        return _ended(process, Backend(None)).report


@contextmanager
def _running(how: str, case: Case, url: str, folder: str) -> Generator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "REMIT_API_URL": url,
        "REMIT_DATA_DIR": folder,
        "REMIT_REQUEST_TIMEOUT_S": str(case.timeout_s),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.program", how, case.trouble],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str]) -> None:
    """Wait until the program has met the fault."""
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        process.kill()
        assert process.stderr is not None
        raise RuntimeError(f"the program ended early: {process.stderr.read()}")


def _ended(process: subprocess.Popen[str], back_end: Backend) -> Outcome:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("recovered\n")
    process.stdin.flush()
    line = process.stdout.readline()
    said = time.perf_counter()
    _, errors = process.communicate(timeout=60)
    report: Report = json.loads(line or errors)
    return Outcome(report, time.perf_counter() - said, process.returncode, errors, back_end)
