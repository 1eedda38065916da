"""`remit doctor` tells the reasons why nothing arrives apart, each with what to do."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.bad_servers import login_page, moved, plain, silent, tls
from tests.doctored import (
    AGENT,
    BAD_TOKEN,
    EMPTY,
    FORBIDDEN,
    NOT_FOUND,
    PONG,
    TOKEN,
    Routes,
    api,
    doctor,
    found,
    wrong,
)
from tests.loopback import Behaviour, serving, unused_port
from tests.subtests import each


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
        "is unknown. Check its spelling",
        id="wrong-host",
    ),
    pytest.param(closed_port, "refused", "nothing listens there. Start the server", id="refused"),
    pytest.param(lambda: https_of(plain), "tls", "whether it supports https", id="tls"),
    pytest.param(lambda: serving(silent), "no_response", "longer timeout", id="no-answer"),
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
        lambda: serving(
            api(
                {
                    "/api/v1/ping": (200, {"details": {"may": "read"}}),
                    "/api/v1/agent_instance": (403, FORBIDDEN),
                }
            )
        ),
        "read",
        "the token may only read",
        id="read-only",
    ),
    pytest.param(
        lambda: serving(login_page),
        "not_the_api",
        "another service may have responded",
        id="not-an-api-answer",
    ),
    pytest.param(
        lambda: serving(api({"/api/v1/ping": (404, EMPTY)})),
        "not_the_api",
        "api_url",
        id="wrong-path",
    ),
    pytest.param(
        lambda: serving(api({"/api/v1/ping": (426, EMPTY)})),
        "version",
        "later version of remit",
        id="too-old-for-the-server",
    ),
    pytest.param(lambda: serving(moved), "not_the_api", "https://api.example", id="moved"),
    pytest.param(lambda: serving(tls), "not_http", "http or https", id="http-to-https"),
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


@each(("server", "code", "advice"), CASES)
def test_each_reason_is_told_apart_with_what_to_do(
    server: Callable[[], AbstractContextManager[str]], code: str, advice: str, tmp_path: Path
) -> None:
    """One check is wrong, the exit status says so, and the token is not shown."""
    with server() as url:
        result = doctor(
            REMIT_API_URL=url,
            REMIT_API_TOKEN=TOKEN,
            REMIT_DATA_DIR=str(tmp_path),
            # A busy machine answers slowly. Only one of the servers never answers.
            REMIT_REQUEST_TIMEOUT_S="1" if code == "no_response" else "10",
        )
    check = wrong(result)
    assert result.exit_code == 1
    assert check["code"] == code
    assert advice in f"{check['message']} {check['advice']}"
    assert TOKEN not in result.output


@each("answered", [0, 1, 2], ids=["never", "once", "twice"])
def test_a_server_that_stops_answering_holds_nobody(answered: int, tmp_path: Path) -> None:
    """It may stop at any check; the output names what is missing."""
    right = api({"/api/v1/ping": (200, PONG)})

    def asked(timeout_s: str) -> Result:
        left = iter(range(answered))

        def tires(connection: socket.socket, over: threading.Event) -> None:
            behave = right if next(left, None) is not None else silent
            behave(connection, over)

        with serving(tires) as url:
            return doctor(
                REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path),
                REMIT_REQUEST_TIMEOUT_S=timeout_s,
            )  # fmt: skip

    result = asked("0.3")
    if answered == 2 and result.exit_code:
        # A busy machine was slower than that.
        result = asked("10")
    if answered == 2:
        assert found(result)["agent"]["message"].startswith("not looked up: ")
    else:
        assert "no response from" in wrong(result)["message"]
    assert result.exit_code == (answered < 2)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_nobody_waits_as_long_as_a_program_may(tmp_path: Path) -> None:
    """A check waits ten seconds, even if the request timeout of the program is longer."""
    with serving(silent) as url:
        result = doctor(
            REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path),
            REMIT_REQUEST_TIMEOUT_S="3600",
        )  # fmt: skip
    assert "no response from" in wrong(result)["message"]


def test_a_clock_that_is_wrong_is_told_by_how_much_and_which_way(tmp_path: Path) -> None:
    """The times that are recorded come from it."""
    with serving(api({"/api/v1/ping": (200, PONG)}, clock_s=600)) as url:
        result = doctor(REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path))
    # The time of the answer is part of it.
    assert re.search("10 min 0|9 min 5", wrong(result)["message"])
    assert "behind the server's" in wrong(result)["message"]


@each(
    ("routes", "variables", "status", "said"),
    [
        pytest.param(
            {"/api/v1/agent/show": (403, FORBIDDEN)}, {}, "ok", "created for", id="deployment-token"
        ),
        pytest.param({}, {}, "note", "no agent id is set", id="account-token-without-agent"),
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
            "created for",
            id="collector-deployment-token",
        ),
        pytest.param(
            {"/api/v1/agent/show": (200, AGENT)},
            {"REMIT_AGENT_ID": "a"},
            "ok",
            "a exists",
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
    routes: Routes, variables: dict[str, str], status: str, said: str, tmp_path: Path
) -> None:
    """A deployment's token knows its agent; an account's does not."""
    with serving(api({**routes, "/api/v1/ping": routes.get("/api/v1/ping", (200, PONG))})) as url:
        result = doctor(
            REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path), **variables
        )
    check = found(result)["agent"]
    assert (check["status"], said in check["message"]) == (status, True), check
    assert result.exit_code == (status == "wrong")


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        pytest.param((404, {**NOT_FOUND, "code": "unknown_ask"}), "ok", "takes", id="with-asks"),
        pytest.param((404, NOT_FOUND), "wrong", "does not take requests", id="without-asks"),
        pytest.param((404, EMPTY), "wrong", "does not take requests", id="another-server"),
        pytest.param((403, FORBIDDEN), "wrong", "not for this token", id="token"),
    ],
)
def test_the_approver_server_needs_a_server_that_takes_requests(
    answer: tuple[int, object], status: str, said: str, tmp_path: Path
) -> None:
    """Without it, each step that asks a person is denied."""
    routes = {"/api/v1/ping": (200, PONG), "/api/remit/v1/asks": answer}
    with serving(api(routes)) as url:
        result = doctor(
            REMIT_API_URL=url,
            REMIT_API_TOKEN=TOKEN,
            REMIT_DATA_DIR=str(tmp_path),
            REMIT_APPROVER="server",
        )
    check = found(result)["approver"]
    assert (check["status"], said in check["message"]) == (status, True), check
    assert result.exit_code == (status == "wrong")


def test_a_token_that_may_only_record_is_told_who_sees_colliding_programs(tmp_path: Path) -> None:
    """Its programs log the collision themselves."""
    details = {"token_scope": "account", "may": "record"}
    routes = {
        "/api/v1/ping": (200, {"details": details}),
        "/api/remit/v1/collisions": (403, FORBIDDEN),
    }
    with serving(api(routes)) as url:
        result = doctor(REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path))
    message = "whether two programs use one identifier is shown to a token that may read"
    assert message in result.stdout
    assert result.exit_code == 0


def test_an_answer_without_a_date_leaves_the_clock_alone(tmp_path: Path) -> None:
    """Nothing is wrong for want of a header."""
    with serving(api({"/api/v1/ping": (200, PONG)}, dated=False)) as url:
        result = doctor(REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path))
    assert found(result)["clock"]["status"] == "note"
    assert result.exit_code == 0


def test_a_connection_that_breaks_otherwise_is_told_in_the_clients_words(tmp_path: Path) -> None:
    """Port 0 is none."""
    result = doctor(
        REMIT_API_URL="http://127.0.0.1:0", REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path)
    )
    assert wrong(result)["name"] == "server"
    assert result.exit_code == 1


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "no certificate"])
def test_certificates_that_are_not_where_the_environment_says_are_told(
    tmp_path: Path, content: str | None
) -> None:
    """The output says what to check; there is no traceback."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    result = doctor(
        REMIT_API_URL="https://127.0.0.1:1",
        REMIT_API_TOKEN=TOKEN,
        REMIT_DATA_DIR=str(tmp_path),
        SSL_CERT_FILE=str(bundle),
    )
    assert wrong(result)["code"] == "not_ready"
    assert "SSL_CERT_FILE" in wrong(result)["message"]
    assert result.exit_code == 1
