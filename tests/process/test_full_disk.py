"""A server whose database cannot grow, as on a full disk: unready, alive, and well again."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

import pytest

from tests.collecting import Api
from tests.processes import wait_until
from tests.serving import serving, token_of

pytestmark = pytest.mark.gate

KIB = 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
def test_a_server_without_room_is_not_ready_until_it_has_some(tmp_path: Path) -> None:
    """The limit of a file's size takes the place of the disk's."""
    db = tmp_path / "remit.db"
    secret = token_of(db)
    with serving(db) as collector, collector.client(secret) as http:
        made = http.post("/api/v1/agent", json={"details": {"name": "Desk"}}).json()
        api = Api(http, made["details"]["id"])
        run = api.instance("active")["id"]
        payload = {"text": "x" * 100 * KIB}

        def status(path: str) -> int:
            return http.get(path, headers={"Authorization": ""}).status_code

        def records() -> bool:
            answer = api.post("/agent_spans", api.span_body(run, payload=payload))
            assert answer.status_code in {200, 503}, answer.text
            return answer.status_code == 200

        assert status("/readyz") == 200
        unlimited = resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE)
        limit = (db.stat().st_size + 2048 * KIB, unlimited[1])
        resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, limit)
        wait_until(lambda: not records())
        assert (status("/readyz"), status("/healthz")) == (503, 200)

        resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, unlimited)
        # Nobody writes meanwhile.
        wait_until(lambda: status("/readyz") == 200)
        assert records()
        assert collector.end(signal.SIGTERM).code == 0
