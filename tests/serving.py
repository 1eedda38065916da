"""Runs `remit serve` as a child process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from remit.collector import create_token, open_store
from tests.inside import httpx

REMIT: Final = (sys.executable, "-m", "remit")
END_S: Final = 60.0
"""One that takes longer to end hangs."""


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        code: Its exit code.
        errors: What was on its standard error.
        output: What was on its standard output, but for the line with the URL.
    """

    code: int
    errors: str = ""
    output: str = ""


class Collector:
    """A collector in a child process; a restart reuses the port.

    Attributes:
        process: The process.
        url: Where it listens.
    """

    process: subprocess.Popen[str]
    url: str

    def __init__(
        self,
        database: Path | str,
        *options: str,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            database: What `--db` names.
            *options: More options of `remit serve`.
            env: The environment; that of the tests if there is none.
        """
        # Otherwise the log of a day as any other would be on standard error.
        quiet = () if "--log-level" in options else ("--log-level", "warning")
        self._command = [*REMIT, "serve", "--db", str(database), *options, *quiet]
        self._env = env
        self.url = "http://127.0.0.1:0"
        self.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    def start(self) -> None:
        """Start, and wait until requests are taken."""
        self.process = subprocess.Popen(
            [*self._command, "--port", str(self.port)],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r"https?://\S+", self.process.stdout.readline())
        assert found, self.ended()
        self.url = found[0]

    def end(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        """Send a signal; return how the process ended."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> Ended:
        """Wait for the end of the process; return how it ended."""
        output, errors = self.process.communicate(timeout=END_S)
        return Ended(self.process.returncode, errors, output)

    def client(self, secret: str) -> httpx.Client:
        """Return a client of it."""
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=END_S)


@contextmanager
def serving(
    database: Path | str,
    *options: str,
    env: Mapping[str, str] | None = None,
) -> Generator[Collector]:
    """Return a block with a collector; it is killed at the end if it still runs."""
    collector = Collector(database, *options, env=env)
    try:
        yield collector
    finally:
        collector.process.kill()
        with collector.process:  # which closes its pipes
            pass


def token_of(database: Path | str, may: str = "write") -> str:
    """Return the secret of a new token of the account; the database is made if there is none."""
    store = open_store(database)
    try:
        return create_token(store, "account", may=may).secret
    finally:
        store.close()


def environment(**more: str) -> dict[str, str]:
    """Return the environment of the tests with some variables more."""
    return {**os.environ, **more}
