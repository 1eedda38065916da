"""`remit doctor` tells the reasons why nothing arrives apart, each with what to do."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from tests.loopback import Behaviour, request_of, serving, unused_port

TOKEN = "prefactor_test_token_0123456789"
NOT_FOUND = {"status": "error", "code": "not_found", "message": "no such thing"}
BAD_TOKEN = {"status": "error", "code": "bad_authtoken", "message": "Invalid API token"}
FORBIDDEN = {"status": "error", "code": "forbidden", "message": "not for this token"}
EMPTY: object = {}
PONG: object = {"status": "success", "details": {}}
DETAILS = {"type": "agent", "id": "a", "name": "A", "status": "active"}
AGENT = {"status": "success", "details": DETAILS}

BOUND = {"token_scope": "agent_deployment", "agent_id": "a"}

Told = tuple[int, object]
Routes = dict[str, Told]


def answer(connection: socket.socket, status: int, body: bytes, *fields: str) -> None:
    """Write one answer with these header fields."""
    head = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", "Connection: close", *fields]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + body)


def api(routes: Routes, *, clock_s: float = 0, dated: bool = True) -> Behaviour:
    """Return a server that answers by the path's beginning; not found otherwise.

    Args:
        routes: Status and body for the beginnings of paths.
        clock_s: By how many seconds its clock is wrong.
        dated: Whether its answers have a date.
    """

    def behave(connection: socket.socket, _: threading.Event) -> None:
        path = request_of(connection).split(b" ")[1].decode()
        status, body = next(
            (told for start, told in routes.items() if path.startswith(start)), (404, NOT_FOUND)
        )
        date = f"Date: {formatdate(time.time() + clock_s, usegmt=True)}"
        answer(connection, status, json.dumps(body).encode(), *([date] if dated else []))

    return behave


def login_page(connection: socket.socket, _: threading.Event) -> None:
    """Answer as a login page in front of the API does."""
    request_of(connection)
    answer(connection, 200, b"<html>Log in</html>", "Content-Type: text/html")


def silent(_: socket.socket, over: threading.Event) -> None:
    """Take the request and never answer."""
    over.wait(30)


def silent_close(connection: socket.socket, _: threading.Event) -> None:
    """Answer a TLS greeting as a plain HTTP server does."""
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def doctor(**variables: str) -> Result:
    """Run the command with these variables alone."""
    cleared = {name: None for name in os.environ if name.startswith(("REMIT_", "PREFACTOR_"))}
    return CliRunner().invoke(main, ["doctor", "--json"], env={**cleared, **variables})


def found(result: Result) -> dict[str, dict[str, str]]:
    """Return the checks by name."""
    checks: list[dict[str, str]] = json.loads(result.stdout)["checks"]
    return {check["name"]: check for check in checks}


def wrong(result: Result) -> dict[str, str]:
    """Return the one check that found something wrong."""
    (only,) = [check for check in found(result).values() if check["verdict"] == "wrong"]
    return only


@contextmanager
def closed_port() -> Generator[str]:
    """Give a URL where nothing listens."""
    yield f"http://127.0.0.1:{unused_port()}"


@contextmanager
def https_of(behave: Behaviour) -> Generator[str]:
    """Serve plain HTTP and give the URL as https."""
    with serving(behave) as url:
        yield url.replace("http:", "https:")


CASES: list[Any] = [
    pytest.param(
        lambda: nullcontext("https://no-such-host.invalid"),
        "host",
        "is not known. Check its spelling",
        id="wrong-host",
    ),
    pytest.param(closed_port, "refused", "nothing listens there. Start the server", id="refused"),
    pytest.param(lambda: https_of(silent_close), "tls", "whether it speaks https at all", id="tls"),
    pytest.param(lambda: serving(silent), "no_answer", "longer timeout", id="no-answer"),
    pytest.param(
        lambda: serving(api({"/api/v1/ping": (401, BAD_TOKEN)})),
        "token",
        "mistyped, suspended, revoked or expired",
        id="wrong-token",
    ),
    pytest.param(
        lambda: serving(
            api({"/api/v1/ping": (200, PONG), "/api/v1/agent_instance": (403, FORBIDDEN)})
        ),
        "scope",
        "its scope does not allow this",
        id="wrong-scope",
    ),
    pytest.param(
        lambda: serving(login_page),
        "not_the_api",
        "another service may have answered",
        id="not-an-api-answer",
    ),
    pytest.param(
        lambda: serving(api({"/api/v1/ping": (404, EMPTY)})),
        "not_the_api",
        "api_url",
        id="wrong-path",
    ),
    pytest.param(
        lambda: serving(api({"/api/v1/ping": (503, EMPTY)})),
        "unavailable",
        "may work later",
        id="not-able-now",
    ),
    pytest.param(
        lambda: serving(api({"/api/v1/ping": (200, PONG)}, clock_s=600)),
        "clock",
        "Set the clock",
        id="clock",
    ),
]


@pytest.mark.parametrize(("server", "code", "advice"), CASES)
def test_each_reason_is_told_apart_with_what_to_do(
    server: Callable[[], AbstractContextManager[str]], code: str, advice: str, tmp_path: Path
) -> None:
    """One check is wrong, the exit status says so, and the token is not shown."""
    with server() as url:
        result = doctor(
            REMIT_API_URL=url,
            REMIT_API_TOKEN=TOKEN,
            REMIT_DATA_DIR=str(tmp_path),
            REMIT_REQUEST_TIMEOUT_S="1",
        )
    check = wrong(result)
    assert result.exit_code == 1
    assert check["code"] == code
    assert advice in f"{check['said']} {check['advice']}"
    assert TOKEN not in result.output


def test_a_clock_that_is_wrong_is_told_by_how_much_and_which_way(tmp_path: Path) -> None:
    """The times that are recorded come from it."""
    with serving(api({"/api/v1/ping": (200, PONG)}, clock_s=600)) as url:
        result = doctor(REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path))
    assert "10 min" in wrong(result)["said"] or "9 min 59" in wrong(result)["said"]
    assert "behind the server's" in wrong(result)["said"]


@pytest.mark.parametrize(
    ("routes", "variables", "verdict", "said"),
    [
        pytest.param(
            {"/api/v1/agent/show": (403, FORBIDDEN)}, {}, "ok", "made for", id="deployment-token"
        ),
        pytest.param({}, {}, "note", "none is named", id="account-token-without-agent"),
        pytest.param(
            {"/api/v1/ping": (200, {"details": {"token_scope": "account"}})},
            {},
            "ok",
            "finds each",
            id="collector-account-token",
        ),
        pytest.param(
            {
                "/api/v1/ping": (
                    200,
                    {"details": {"token_scope": "agent_deployment", "agent_id": "a"}},
                )
            },
            {},
            "ok",
            "made for",
            id="collector-deployment-token",
        ),
        pytest.param(
            {"/api/v1/agent/show": (200, AGENT)},
            {"REMIT_AGENT_ID": "a"},
            "ok",
            "a is there",
            id="account-token-with-agent",
        ),
        pytest.param({}, {"REMIT_AGENT_ID": "b"}, "wrong", "not_found", id="unknown-agent"),
        pytest.param(
            {"/api/v1/agent/show": (500, EMPTY)}, {}, "note", "not looked up", id="not-able-now"
        ),
        pytest.param(
            {"/api/v1/agent/show": (403, FORBIDDEN)},
            {"REMIT_AGENT_ID": "a"},
            "note",
            "was not looked up",
            id="deployment-token-with-agent",
        ),
    ],
)
def test_the_agent_is_looked_for_as_the_token_needs_it(
    routes: Routes, variables: dict[str, str], verdict: str, said: str, tmp_path: Path
) -> None:
    """A deployment's token knows its agent; an account's does not."""
    with serving(api({**routes, "/api/v1/ping": routes.get("/api/v1/ping", (200, PONG))})) as url:
        result = doctor(
            REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path), **variables
        )
    check = found(result)["agent"]
    assert (check["verdict"], said in check["said"]) == (verdict, True), check
    assert result.exit_code == (verdict == "wrong")


def test_an_answer_without_a_date_leaves_the_clock_alone(tmp_path: Path) -> None:
    """Nothing is wrong for want of a header."""
    with serving(api({"/api/v1/ping": (200, PONG)}, dated=False)) as url:
        result = doctor(REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path))
    assert found(result)["clock"]["verdict"] == "note"
    assert result.exit_code == 0


def test_a_connection_that_breaks_otherwise_is_told_in_the_clients_words(tmp_path: Path) -> None:
    """Port 0 is none."""
    result = doctor(
        REMIT_API_URL="http://127.0.0.1:0", REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path)
    )
    assert wrong(result)["name"] == "server"
    assert result.exit_code == 1


def test_local_mode_without_the_collector_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would be recorded, and the program would only log it."""
    monkeypatch.setattr("remit.cli._checks.COLLECTOR_NEEDS", ("starlette", "no_such_library"))
    result = doctor(REMIT_DATA_DIR=str(tmp_path))
    assert wrong(result)["code"] == "collector"
    assert "pip install 'remit[collector]'" in wrong(result)["advice"]


def test_local_mode_with_everything_in_place_has_nothing_wrong(tmp_path: Path) -> None:
    """The doctor makes no folder and no file: it only looks."""
    folder = tmp_path / "new"
    result = doctor(REMIT_DATA_DIR=str(folder))
    assert result.exit_code == 0
    assert {check["verdict"] for check in found(result).values()} == {"ok"}
    assert not folder.exists()


def test_a_wrong_setting_is_named_and_ends_the_examination() -> None:
    """Nothing else can be said before it is mended."""
    result = doctor(REMIT_FLUSH_ON="never")
    assert wrong(result)["name"] == "settings"
    assert "REMIT_FLUSH_ON" in wrong(result)["said"]
    assert list(found(result)) == ["versions", "settings"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """Here a file stands where a folder is needed."""
    (tmp_path / "file").touch()
    result = doctor(REMIT_DATA_DIR=str(tmp_path / "file" / "remit"))
    assert wrong(result)["code"] == "data_dir"
    assert str(tmp_path / "file") in wrong(result)["said"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param({"REMIT_MODE": "off"}, "nothing is recorded", id="off"),
        pytest.param({"REMIT_API_URL": "http://127.0.0.1"}, "REMIT_API_TOKEN is not set", id="url"),
        pytest.param({"REMIT_API_TOKEN": TOKEN}, "REMIT_API_URL is not set", id="token"),
    ],
)
def test_settings_that_are_half_there_are_noted(
    variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    """They are allowed, and rarely meant."""
    result = doctor(REMIT_DATA_DIR=str(tmp_path), **variables)
    assert found(result)["mode"]["verdict"] == "note"
    assert said in found(result)["mode"]["said"]
    assert result.exit_code == 0


def test_a_url_that_cannot_be_right_is_told_without_the_token(tmp_path: Path) -> None:
    """What is in the URL may be a secret as well."""
    result = doctor(
        REMIT_API_URL="https://me:hunter2@example.com",
        REMIT_API_TOKEN=TOKEN,
        REMIT_DATA_DIR=str(tmp_path),
    )
    assert "user or password" in wrong(result)["said"]
    assert TOKEN not in result.output


def test_people_read_a_line_for_each_check(tmp_path: Path) -> None:
    """The verdict is a word, so that it is readable without colours."""
    variables = {"REMIT_MODE": "local", "REMIT_DATA_DIR": str(tmp_path)}
    result = CliRunner().invoke(main, ["doctor"], env=variables)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok     versions     remit ")
    assert lines[-1] == "Nothing is wrong."
    refused = CliRunner().invoke(main, ["doctor"], env={"REMIT_MODE": "nonsense"})
    assert refused.exit_code == 1
    assert refused.stdout.splitlines()[-1] == "Something is wrong: settings."
