"""The chat API of the examples, served on a port and asked by real clients."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples import chat_api
from remit.testing import RecordingSink, isolated
from tests.collecting import on_a_port
from tests.inside import httpx
from tests.served import PATIENCE

ROOT = Path(__file__).parent.parent.parent
KEYS = tuple(chat_api.CUSTOMERS)
WARRANTY = {"question": "How long is the warranty on a kettle?"}
QUESTIONS = ("Can I return a lamp?", "How do gift cards work?", "When is a refund paid?")


@contextmanager
def asking(key: str = KEYS[0]) -> Generator[httpx.Client]:
    """Serve the API and yield a client; at the end every request has been answered or left."""
    with (
        on_a_port(chat_api.app) as url,
        httpx.Client(base_url=url, headers={"X-Api-Key": key}, timeout=60) as client,
    ):
        yield client


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingSink]:
    """Record into memory; a fault of remit's would raise, and so would a step beyond the remit."""
    monkeypatch.setattr(chat_api, "PAUSE_S", 0.001)
    with isolated(on_violation="deny") as sink:
        yield sink


def test_an_answer_is_streamed_and_is_one_run(recorder: RecordingSink) -> None:
    """It ends with the stream, long after the endpoint has returned."""
    with asking() as client, client.stream("POST", "/chat", json=WARRANTY) as response:
        parts = list(response.iter_text())
    assert len(parts) > 5
    assert "".join(parts).startswith("Warranty: Everything we sell has a warranty of two years.")
    (run,) = recorder.runs
    assert response.headers["X-Run"] == run.key
    assert run.status == "complete"
    assert run.root.payload["subject"] == "customer-17"
    words = len("".join(parts).split())
    assert run.quality == {"answer": {"words": words, "answered": True}}
    prefix = "examples.chat_api:"
    assert run.tree() == [
        [f"{prefix}assistant", [[f"{prefix}find_page", []], [f"{prefix}write", []]]]
    ]
    for span in recorder.spans("assistant") + recorder.spans("write"):
        assert span.status == "complete"
        assert (span.result or {})["count"] == words


def test_a_client_that_goes_away_cancels_its_answer(
    recorder: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent stops to write, and the record says so."""
    monkeypatch.setattr(chat_api, "PAUSE_S", 0.1)
    with asking() as client, client.stream("POST", "/chat", json=WARRANTY) as response:
        next(response.iter_text())
    (run,) = recorder.runs
    assert {span.name.rpartition(":")[2]: span.status for span in run.spans[1:]} == {
        "assistant": "cancelled",
        "find_page": "complete",
        "write": "cancelled",
    }
    assert run.quality == {}


def test_answers_at_the_same_time_are_told_apart(recorder: RecordingSink) -> None:
    """Each run holds the spans of its own question and is about its own customer."""
    asked = [(key, question) for key in KEYS for question in QUESTIONS for _ in range(5)]

    def ask(client: httpx.Client, key: str, question: str) -> str:
        answer = client.post("/chat", json={"question": question}, headers={"X-Api-Key": key})
        assert answer.status_code == httpx.codes.OK
        return answer.headers["X-Run"]

    with asking() as client, ThreadPoolExecutor(len(asked)) as pool:
        keys = list(pool.map(ask, [client] * len(asked), *zip(*asked, strict=True)))
    runs = {run.key: run for run in recorder.runs}
    assert set(keys) == set(runs)
    for key, (customer, question) in zip(keys, asked, strict=True):
        run = runs[key]
        assert run.root.payload["subject"] == chat_api.CUSTOMERS[customer]
        assert [span.payload.get("question", question) for span in run.spans[1:]] == [question] * 3


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        pytest.param("nobody's", WARRANTY, 401, id="a key that is not known"),
        pytest.param(KEYS[0], {"question": ""}, 422, id="no question"),
    ],
)
def test_a_request_that_is_refused_opens_no_run(
    recorder: RecordingSink, key: str, body: dict[str, str], status: int
) -> None:
    """Nothing was answered, so there is nothing to record."""
    with asking(key=key) as client:
        assert client.post("/chat", json=body).status_code == status
    assert recorder.runs == []


def test_it_runs_as_its_first_lines_say(tmp_path: Path) -> None:
    """It runs under uvicorn and records in local mode; the end of the server delivers."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("REMIT", "PREF"))
    } | {"REMIT_DATA_DIR": str(tmp_path), **PATIENCE}
    serve = [sys.executable, "-m", "uvicorn", "examples.chat_api:app", "--port", "0"]
    with subprocess.Popen(
        serve, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            lines: list[str] = []
            found = None
            while found is None:
                lines.append(server.stderr.readline())
                assert lines[-1], lines
                found = re.search(r"http://[\d.]+:\d+", lines[-1])
            answer = httpx.post(
                f"{found[0]}/chat", json=WARRANTY, headers={"X-Api-Key": KEYS[0]}, timeout=60
            )
            server.send_signal(signal.SIGINT)
            lines += server.stderr.readlines()
        finally:
            server.kill()
    assert "warranty of two years" in answer.text
    assert "Traceback" not in "".join(lines)
    show = [sys.executable, "-m", "remit", "runs", "show", answer.headers["X-Run"], "--json"]
    shown = subprocess.run(show, env=environment, check=True, capture_output=True, text=True)
    record = json.loads(shown.stdout)
    assert {span["status"] for span in record["spans"]} == {"complete"}
    assert len(record["spans"]) == 4
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"customer-17" in kept
    assert KEYS[0].encode() not in kept
