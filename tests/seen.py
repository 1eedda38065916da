"""A program that records, and what became of it, counted at the server and on the disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import remit
from tests.fake_api import FakeApi, refusal
from tests.inside import FlushResult, Status
from tests.loopback import serving
from tests.recording import ROOT
from tests.unconfigured import unconfigured

TOKEN = "prefactor_test_token_0123456789"
NEVER_S = 600.0
"""The writer moves nothing by itself in a test."""
RUN_ITEMS = 4
"""Of each run: its registration, the beginning and the end of its root span, its end."""
ANSWERS = 10
LOSS = "remit:loss"


@contextmanager
def fresh() -> Generator[None]:
    """Give a block a process that has configured nothing."""
    with unconfigured():
        yield


def taken(api: FakeApi) -> int:
    """Count the items that the server took, while it set nothing aside.

    An item that was tried in a bulk request and alone has one key. The start of a run and the look
    for its agent are no items.
    """
    keys = {seen.body["idempotency_key"] for seen in api.seen if "idempotency_key" in seen.body}
    keys.update(*api.bulk_keys())
    return sum(not key.startswith(("start-", "show-", "agent-")) for key in keys)


def arrived(api: FakeApi) -> int:
    """Count the spans that came, but for roots and for reports of losses."""
    return sum(name != LOSS for name in api.names())


def whole(api: FakeApi) -> int:
    """Count the spans that came with their ends, but for roots and for reports of losses."""
    spans = [span for span in api.spans.values() if span["schema_name"] not in (ROOT, LOSS)]
    return sum(span["status"] != "active" for span in spans)


def cut(api: FakeApi) -> int:
    """Count the spans that came without what was in their payloads or results."""
    return sum('"$remit":"cut"' in text for text in _payloads(api))


def redacted(api: FakeApi) -> int:
    """Count the values that came as redacted."""
    return sum(text.count('"$remit":"redacted"') for text in _payloads(api))


def _payloads(api: FakeApi) -> list[str]:
    """Return payload and result of each span as one text."""
    both = [(span["payload"], span.get("result_payload")) for span in api.spans.values()]
    return [json.dumps(each, separators=(",", ":")) for each in both]


def on_disk(data_dir: Path, query: str = "SELECT sum(items) FROM chunk") -> Any:
    """Return the sum, over the spool's files, of what a query answers."""
    found = 0
    for path in (data_dir / "spool").glob("*.db"):
        with closing(sqlite3.connect(path)) as opened:
            found += opened.execute(query).fetchone()[0] or 0
    return found


def oldest_put_s(data_dir: Path) -> float:
    """Return when the oldest item in the spool was written, in seconds since 1970."""
    oldest: list[int] = []
    for path in (data_dir / "spool").glob("*.db"):
        with closing(sqlite3.connect(path)) as opened:
            oldest.append(opened.execute("SELECT min(put_ns) FROM chunk").fetchone()[0])
    return min(oldest) / 1e9


def folder_bytes(data_dir: Path) -> int:
    """Return the bytes of all files in the spool's folder."""
    return sum(path.stat().st_size for path in (data_dir / "spool").iterdir())


@remit.span_type("answer")
def answer(text: str) -> str:
    """Do a step."""
    return text


@remit.agent("Status' agent")
def agent(answers: int = ANSWERS, text: str = "") -> None:
    """Do some steps; the call of the agent is a span as well."""
    for _ in range(answers):
        answer(text)


def configure(url: str, data_dir: Path, **more: Any) -> None:
    """Record for the server at *url*."""
    settings: dict[str, Any] = {
        "api_token": TOKEN,
        "flush_interval_s": NEVER_S,
        "exit_timeout_s": 0.1,
        **more,
    }
    remit.configure(api_url=url, data_dir=data_dir, **settings)


def recorded(runs: int = 1, answers: int = ANSWERS) -> int:
    """Return how many items runs are whose spans are sent at once, but for their roots."""
    return runs * (RUN_ITEMS + 1 + answers)


@contextmanager
def served(api: FakeApi) -> Generator[str]:
    """Serve *api* on a port while the block runs, and give its URL."""
    with serving(api.behave) as url:
        try:
            yield url
        finally:
            remit.shutdown(0)


def down() -> FakeApi:
    """Return a server that can do nothing until its rules are cleared."""
    return FakeApi(rules=[lambda _path, _body: refusal(503)])


def checked() -> Status:
    """Return the status; no form of it shows the token."""
    status = remit.status()
    assert TOKEN not in str(status) + repr(status)
    return status


def agrees(status: Status, flushed: FlushResult) -> None:
    """Assert that a status and the result of a flush just before say the same."""
    assert (status.sent, status.pending, status.spooled) == (
        flushed.sent, flushed.pending, flushed.spooled,
    )  # fmt: skip
    assert sum(status.set_aside.values()) == flushed.set_aside
    assert (status.dropped, status.last_error) == (flushed.dropped, flushed.last_error)
    assert bool(flushed) is not bool(status.pending or status.set_aside or status.dropped)
