"""A program that is killed while it waits for a person at the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.inside import httpx
from tests.processes import inherit, settings, start, wait_until
from tests.served import collector
from tests.serving import token_of

ASKS: Final = "/api/remit/v1/asks"
PROGRAM: Final = """
import remit

@remit.span_type(data_risk=remit.risk(allows="financial_transactions", forbids="others"))
def pay():
    print("paid", flush=True)

@remit.agent(data_risk=remit.risk(asks="financial_transactions"))
def desk():
    remit.flush()
    pay()

desk()
"""


def test_the_next_process_withdraws_what_a_killed_one_asked(tmp_path: Path) -> None:
    """It ends the run, and a yes after that changes nothing."""
    with collector(tmp_path) as served:
        headers = {"Authorization": f"Bearer {token_of(tmp_path / 'remit.db', 'approve,read')}"}
        person = httpx.Client(base_url=served.url, headers=headers, timeout=60)

        def asks() -> list[dict[str, Any]]:
            """Return the requests."""
            found: list[dict[str, Any]] = person.get(ASKS).json()["asks"]
            return found

        environ = settings(tmp_path, served.url, served.token)
        environ |= {"REMIT_ON_VIOLATION": "deny", "REMIT_APPROVER": "server"}
        with start(PROGRAM, environ) as process:
            wait_until(lambda: [each["status"] for each in asks()] == ["waiting"])
            process.kill()
        assert asks()[0]["status"] == "waiting"

        inherit(environ)
        wait_until(lambda: asks()[0]["status"] == "withdrawn")
        path = f"{ASKS}/{asks()[0]['id']}/answer"
        answered = person.post(path, json={"answer": "approved", "why": None}).json()
        assert (answered["counted"], answered["details"]["status"]) == (False, "withdrawn")
        assert answered["details"]["used_at"] is None
        person.close()
