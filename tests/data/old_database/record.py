"""Records the database of version 6 and the answers about it, with the collector of that version.

In a copy of commit 0b900798 to which this folder was added,
`PYTHONPATH=src:. python tests/data/old_database/record.py TARGET` writes `version_6.sql.gz` and
`answers.json.gz` to the folder TARGET.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

from remit.collector import Store, create_token, open_store
from remit.testing import FakeClock
from tests.collecting import Api, Json, World
from tests.golden import recorder as recorder_module
from tests.golden.recorder import PREFIX
from tests.golden.scripts import BRIEF, FULL
from tests.inside import httpx
from tests.inside_collector import AskedFor, erase, runs_about

SCRIPTS: Final = (
    "runs",
    "registrations",
    "spans",
    "qualities",
    "summaries",
    "risk",
    "causes",
    "agents",
    "places",
    "versions",
    "tokens",
    "keys",
    "bulk",
    "steps_of_spans",
)
KINDS: Final = (
    "account",
    "environment",
    "agent_version",
    "agent_schema_version",
    "agent_deployment",
    "api_token",
)
OF_AGENT: Final = (
    "/agent/{id}?include_counts=true&include_risk_rollup=true",
    "/agent/{id}/risk",
    "/agent_spans?agent_id={id}&start_time=2026-01-01T00:00:00Z&end_time=2027-01-01T00:00:00Z",
)
OF_RUN: Final = (
    "/agent_instance/{id}",
    "/agent_instance/{id}/agent_context",
    "/agent_instance/{id}/risk",
)
PAGE: Final = 100
OLD: Final = datetime(2025, 3, 1, tzinfo=UTC)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The time at which the scripts begin."""
HERE: Final = Path(__file__).parent


class OwnWorld(World):
    """A collector that gives each recorder a separate account."""

    def account(self) -> Api:
        """Return the view of a token of a new account."""
        return self.foreign()


def main(target: Path) -> None:
    """Write both files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "remit.db"
        for mode in ("observe", "deny"):
            settings = {
                "REMIT_MODE": "local",
                "REMIT_DATA_DIR": folder,
                "REMIT_ON_VIOLATION": mode,
            }
            environment = {**os.environ, **settings}
            subprocess.run([sys.executable, HERE / "agents.py"], env=environment, check=True)
        store = open_store(path)
        secrets = [create_token(store, "account").secret, *recorded(store)]
        with store.reading() as tx:
            runs = runs_about(tx, "customer-0")
        erase(store, runs, AskedFor.SUBJECT, reason="a request", erased_by="somebody")
        answers = []
        for number, secret in enumerate(secrets):
            now = START + timedelta(days=10) if number else datetime.now(UTC)
            http = World(store, clock=FakeClock(now)).http(secret)
            entry = {"secret": secret, "now": now.isoformat(), "answers": sweep(http)}
            answers.append(entry)
        store.close()
        with closing(sqlite3.connect(path)) as connection:
            script = "\n".join(connection.iterdump())
    for name, text in (
        ("version_6.sql.gz", script),
        ("answers.json.gz", json.dumps(answers, sort_keys=True, ensure_ascii=False)),
    ):
        # The folder is part of the agent's name.
        named = text.replace(str(HERE), "shop")
        (target / name).write_bytes(gzip.compress(named.encode(), mtime=0))


def recorded(store: Store) -> Iterator[str]:
    """Yield a token of each account, after its script."""
    # The name that `Recorder` looks up.
    setattr(recorder_module, "World", OwnWorld)  # noqa: B010 - as an assignment it has no right type
    for start, name in ((OLD, "spans"), *((START, name) for name in SCRIPTS)):
        recorder = recorder_module.Recorder(store, FakeClock(start))
        before, calls = {**FULL, **BRIEF}[name]
        recorder_module.record(recorder, [*before, *calls])
        # Deletes spans of the first account, whose runs are still counted with them.
        store.retain(int(START.timestamp() - 1_000_000) * 1_000_000)
        client = recorder._clients["account"]  # noqa: SLF001 - it has the token
        yield client.headers["Authorization"].removeprefix("Bearer ")


def sweep(http: httpx.Client) -> dict[str, Json]:  # noqa: C901 - every kind of thing
    """Return the answers of the endpoints that read, by their paths."""
    answers: dict[str, Json] = {}

    def get(path: str) -> Json:
        answers[path] = http.get(PREFIX + path).json()
        return answers[path]

    def ids(path: str) -> Iterator[str]:
        for number in count():
            page = f"pagination[page_size]={PAGE}&pagination[offset]={number * PAGE}"
            items = get(f"{path}{'&' if '?' in path else '?'}{page}")["summaries"]
            yield from (item["id"] for item in items)
            if len(items) < PAGE:
                return

    for kind in KINDS:
        for item in ids(f"/{kind}"):
            get(f"/{kind}/{item}")
    for agent in ids("/agent"):
        for path in OF_AGENT:
            get(path.format(id=agent))
        for run in ids(f"/agent_instance?agent_id={agent}"):
            for path in OF_RUN:
                get(path.format(id=run))
            deque(ids(f"/agent_spans?agent_instance_id={run}&include_summaries=true"), 0)
    return answers


if __name__ == "__main__":
    main(Path(sys.argv[1]))
