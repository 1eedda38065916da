"""Servers that fork their workers: each worker delivers its own, once, however it is stopped."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.delivering import hang
from tests.loopback import serving
from tests.processes import (
    DECLARED,
    FULL,
    NEVER_S,
    WRITING_EXIT_S,
    inherit,
    left_in,
    once,
    runs_in,
    settings,
    steps_in,
    wait_until,
)
from tests.served import collector

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="only on Linux or macOS: needs os.fork"
)

REQUESTS = 2_000 if FULL else 300
CLIENTS = 4
WORKERS = 2
TASKS = 60 if FULL else 20
TASKS_OF_A_CHILD = 7
STARTED_S = 60
"""A server that takes longer to start does not start."""

ANSWERING = """
import atexit

# Last at the exit of each process, as it was registered first.
atexit.register(lambda: open("exits", "a").write("exit\\n"))

@remit.agent("Server")
def answer(number: int) -> int:
    return step(number)

def app(environ, start_response):
    body = b"%d %d" % (answer(int(environ["QUERY_STRING"])), os.getpid())
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

answer(-1)
"""

WORKING = """
import celery, logging

app = celery.Celery("working", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": "QUEUE", "data_folder_out": "QUEUE", "polling_interval": 0.02,
    },
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=0,
)

@app.task
@remit.agent("Worker")
def work(number: int) -> None:
    step(number)
    wait_until_written()
    with open("DONE", "a") as done:
        done.write(f"{os.getpid()}\\n")

if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        work.delay(number)
"""


@dataclass(frozen=True)
class Gunicorn:
    """A gunicorn that runs.

    Attributes:
        process: Its master.
        port: Where it listens.
    """

    process: subprocess.Popen[str]
    port: int

    def ask(self, number: int) -> int:
        """Have *number* answered; return the pid of the worker that did."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STARTED_S)
        connection.request("GET", f"/?{number}")
        told, pid = connection.getresponse().read().split()
        connection.close()
        assert int(told) == number
        return int(pid)

    def ask_all(self, numbers: range) -> Counter[int]:
        """Have numbers answered by several clients at once; count them by worker."""
        with ThreadPoolExecutor(CLIENTS) as clients:
            return Counter(clients.map(self.ask, numbers))

    def stop(self) -> str:
        """Stop it as a supervisor does; return what it wrote."""
        self.process.send_signal(signal.SIGTERM)
        _, written = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, written
        return written


@contextmanager
def gunicorn(
    folder: Path, environ: dict[str, str], declared: str = DECLARED
) -> Generator[Gunicorn]:
    """Serve the app, which is imported before the workers are forked."""
    (folder / "answering.py").write_text(declared + ANSWERING)
    command = ["gunicorn", "--preload", "--workers", str(WORKERS), "--chdir", str(folder)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        shared = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--bind", f"fd://{shared}", "answering:app"],
            env={**environ, "HOME": str(folder)},
            pass_fds=[shared],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield Gunicorn(process, listener.getsockname()[1])
        finally:
            process.kill()
            process.wait()


def test_gunicorn_with_preload_delivers_each_request_once(tmp_path: Path) -> None:
    """The master recorded before it forked; both workers serve, and stop when they are told."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        with gunicorn(tmp_path, environ) as server:
            workers = server.ask_all(range(REQUESTS))
            while len(workers) < WORKERS:
                # On a busy machine one of them answers all before the other has started.
                workers += server.ask_all(range(workers.total(), workers.total() + CLIENTS))
            written = server.stop()
        inherit(environ)
    assert len(workers) == WORKERS
    assert server.process.pid not in workers
    assert steps_in(tmp_path) == once(range(-1, workers.total()))
    assert Counter(runs_in(tmp_path)) == {"complete": workers.total() + 1}
    assert left_in(tmp_path) == []
    assert "Traceback" not in written
    assert "nothing can be delivered" not in written


def test_gunicorn_stops_in_time_when_the_server_never_answers(tmp_path: Path) -> None:
    """The workers and the master keep to the deadline, each for itself; nothing is lost."""
    with serving(hang) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=WRITING_EXIT_S)
        environ["REMIT_REQUEST_TIMEOUT_S"] = NEVER_S
        with gunicorn(tmp_path, environ) as server:
            server.ask_all(range(20))
            written = server.stop()
    assert (tmp_path / "exits").read_text().count("\n") == WORKERS + 1
    told = [line for line in written.splitlines() if not line.startswith("[")]
    assert all("they are kept in" in line for line in told), written
    assert left_in(tmp_path) != []


@contextmanager
def celery(folder: Path, environ: dict[str, str], *more: str) -> Generator[subprocess.Popen[str]]:
    """Run a worker whose children take the tasks."""
    command = ["celery", "-A", "working", "worker", "--pool", "prefork", "-c", str(WORKERS)]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, *quiet, *more],
        cwd=folder,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with its children
        process.communicate()


def test_celery_delivers_each_task_once(tmp_path: Path) -> None:
    """Its children end without what Python runs at an exit, after some tasks or with the worker."""
    queue, done = tmp_path / "queue", tmp_path / "done"
    queue.mkdir()
    working = WORKING.replace("QUEUE", str(queue)).replace("DONE", str(done))
    (tmp_path / "working.py").write_text(DECLARED + working)
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        # Before the worker starts: the two would write the broker's files at the same time.
        tasks = [sys.executable, "working.py", str(TASKS)]
        subprocess.run(tasks, cwd=tmp_path, env=environ, check=True, timeout=60)
        with celery(tmp_path, environ, "--max-tasks-per-child", str(TASKS_OF_A_CHILD)) as worker:
            wait_until(lambda: done.exists() and done.read_text().count("\n") == TASKS)
            worker.send_signal(signal.SIGTERM)
            # On a busy machine Celery kills its children and may then wait for their lock forever.
            with suppress(subprocess.TimeoutExpired):
                worker.wait(60)
        # What they wrote is there to be sent.
        inherit(environ)
    assert worker.returncode in {0, -signal.SIGKILL}
    of_each = Counter(done.read_text().split()).values()
    assert max(of_each) == TASKS_OF_A_CHILD > min(of_each)
    assert steps_in(tmp_path) == once(range(TASKS))
    runs = Counter(runs_in(tmp_path))
    assert (runs.total(), runs["active"]) == (TASKS, 0)
    # The lock of a child that Celery killed stays until a process looks for files again.
    assert not [name for name in left_in(tmp_path) if name.endswith(".db")]
