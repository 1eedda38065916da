"""`remit doctor`, run in this process, what it found, and servers that it asks."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from email.utils import formatdate

from click.testing import CliRunner, Result

from remit.cli import main
from tests.loopback import Behaviour, request_of

TOKEN = "prefactor_test_token_0123456789"
NOT_FOUND = {"status": "error", "code": "not_found", "message": "no such thing"}
BAD_TOKEN = {"status": "error", "code": "bad_authtoken", "message": "Invalid API token"}
FORBIDDEN = {"status": "error", "code": "forbidden", "message": "not for this token"}
EMPTY: object = {}
INVALID = {"status": "error", "code": "validation_errors", "message": "no", "errors": {}}
REGISTER = "/api/v1/agent_instance/register"
PONG: object = {"status": "success", "details": {}}
DETAILS = {"type": "agent", "id": "a", "name": "A", "status": "active"}
AGENT = {"status": "success", "details": DETAILS}

Told = tuple[int, object]
Routes = dict[str, Told]
KINDS = ("REMIT_", "PREFACTOR_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def doctor(**variables: str) -> Result:
    """Run the command with these variables alone."""
    cleared = {name: None for name in os.environ if name.upper().startswith(KINDS)}
    return CliRunner().invoke(main, ["doctor", "--json"], env={**cleared, **variables})


def found(result: Result) -> dict[str, dict[str, str]]:
    """Return the checks by name."""
    checks: list[dict[str, str]] = json.loads(result.stdout)["checks"]
    return {check["name"]: check for check in checks}


def wrong(result: Result) -> dict[str, str]:
    """Return the one check that found something wrong."""
    (only,) = [check for check in found(result).values() if check["status"] == "wrong"]
    return only


def answer(connection: socket.socket, status: int, body: bytes, *fields: str) -> None:
    """Write one answer with these header fields."""
    head = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", "Connection: close", *fields]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + body)


def api(routes: Routes, *, clock_s: float = 0, dated: bool = True) -> Behaviour:
    """Return a server that answers by the path's beginning; not found otherwise.

    Where there is a ping, a registration that is no registration is refused as invalid.

    Args:
        routes: Status and body for the beginnings of paths.
        clock_s: By how many seconds its clock is wrong.
        dated: Whether its answers have a date.
    """
    pings = [path for path in routes if path.endswith("/ping") and routes[path][0] == 200]
    registers = {path.removesuffix("/api/v1/ping") + REGISTER: (422, INVALID) for path in pings}
    known: Routes = {**routes, **registers}

    def behave(connection: socket.socket, _: threading.Event) -> None:
        path = request_of(connection).split(b" ")[1].decode()
        status, body = next(
            (told for start, told in known.items() if path.startswith(start)), (404, NOT_FOUND)
        )
        date = f"Date: {formatdate(time.time() + clock_s, usegmt=True)}"
        answer(connection, status, json.dumps(body).encode(), *([date] if dated else []))

    return behave
