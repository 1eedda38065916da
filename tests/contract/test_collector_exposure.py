"""A collector that strangers can reach: limits, rates, and what it says to whom."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from remit.collector import Settings, Store, create_token
from remit.testing import FakeClock
from tests.collecting import Api, details, refusal
from tests.exposed import answered, served, told
from tests.inside import Deadline, SystemClock, httpx, version
from tests.inside_collector import ServerOptions, StoreUnavailableError
from tests.subtests import each

LIMITS = Settings(max_requests_per_s=5)
HEAD = b"POST /api/v1/agent HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def url(store: Store, clock: FakeClock) -> Iterator[str]:
    """Return where a collector with small limits listens, for which no time passes."""
    with served(store, LIMITS, clock=clock) as listening:
        yield listening


def bearer(store: Store) -> dict[str, str]:
    """Return the header of a new token of the account."""
    return {"Authorization": f"Bearer {create_token(store, 'account').secret}"}


def authorization(store: Store) -> bytes:
    """Return the same as a line of a head."""
    return f"Authorization: {bearer(store)['Authorization']}\r\n".encode()


def until(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """Return the first answer of this *status*; what happens on other connections takes a while."""
    deadline = Deadline.after(60, SystemClock())
    while (answer := ask()).status_code != status:
        assert not deadline.passed, answer.text
    return answer


@each(
    "sent",
    [
        HEAD + b"X: " + b"y" * 20_000,
        HEAD + b"X: 1\r\n" * 5000,
        b"GET /" + b"y" * 20_000,
        b"HELO there\r\n\r\n",
        b"CONNECT elsewhere:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=[
        "long header",
        "many headers",
        "long path",
        "another protocol",
        "a tunnel",
        "a path of bytes",
        "chunks that are none",
    ],
)
def test_a_head_that_is_none_or_too_long_is_refused(
    url: str, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """The log has no line, because any client could fill it."""
    answer = answered(url, sent)
    assert re.match(rb"HTTP/1.1 40[04] ", answer)
    assert not re.search(rb"uvicorn|h11|python", answer, re.IGNORECASE)
    assert caplog.records == []


@each(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 3000 + b"\r\n",
        b"GET /healthz?" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["long header", "many headers", "long query"],
)
def test_a_whole_head_that_is_too_long_is_refused(url: str, sent: bytes) -> None:
    """It may arrive in one piece; the connection ends."""
    assert told(answered(url, sent, closed=True)) == (400, "bad_request")


def test_a_head_within_the_limit_is_read(url: str) -> None:
    """All that is in it counts."""
    sent = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 16_000 + b"\r\n\r\n"
    assert answered(url, sent).startswith(b"HTTP/1.1 200 ")


def test_a_long_body_is_not_counted_as_a_head(url: str, store: Store) -> None:
    """The same holds on a connection that serves several requests."""
    headers = {**bearer(store), "X": "y" * 3000}
    body = {"details": {"name": "x" * 200, "description": "y" * 60_000}}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for _ in range(3):
            assert details(client.post("/api/v1/agent", json=body))


def test_a_body_that_is_said_to_be_too_long_is_refused_at_once(url: str, store: Store) -> None:
    """Nothing of the body has to arrive."""
    head = HEAD + authorization(store)
    assert told(answered(url, head + b"Content-Length: 99999999\r\n\r\n")) == (
        413,
        "payload_too_large",
    )


def test_a_body_in_chunks_is_refused(url: str, store: Store) -> None:
    """Its trailers become nothing, and the connection ends."""
    chunks = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Forwarded-For: a\r\n\r\n"

    sent = HEAD + authorization(store) + chunks
    assert told(answered(url, sent, closed=True)) == (411, "length_required")


def test_bodies_in_memory_are_bounded_together(store: Store) -> None:
    """A request beyond the bound may be sent again when another one is over."""
    limits = Settings(max_pending_bytes=100_000)
    body = {"details": {"name": "x", "description": "y" * 60_000}}
    with (
        served(store, limits) as url,
        httpx.Client(base_url=url, headers=bearer(store), timeout=60) as client,
    ):
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as half:
            half.sendall(HEAD + authorization(store) + b"Content-Length: 70000\r\n\r\n")
            half.sendall(b"x" * 60_000)
            refused = until(lambda: client.post("/api/v1/agent", json=body), 503)
        again = until(lambda: client.post("/api/v1/agent", json=body), 200)

    assert refusal(refused, 503)["code"] == "unavailable"
    assert refused.headers["retry-after"] == "1"
    assert details(again)


def test_connections_beyond_the_limit_are_answered_503(store: Store) -> None:
    """They are accepted again once others are closed."""
    with served(store, Settings(max_connections=2)) as url, ExitStack() as stack:
        host, _, port = url.removeprefix("http://").rpartition(":")
        for _ in range(2):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 503
        stack.close()
        until(lambda: httpx.get(f"{url}/healthz", timeout=60), 200)


def test_who_asks_too_often_has_to_wait(url: str, store: Store) -> None:
    """429 with `Retry-After`; another token is not held up, and signs of life never are."""
    with httpx.Client(base_url=url, headers=bearer(store), timeout=60) as client:
        answers = [client.get("/api/v1/ping") for _ in range(40)]
        late = [answer for answer in answers if answer.status_code != 200]
        assert len(late) > 10
        assert refusal(late[0], 429)["code"] == "too_many_requests"
        assert int(late[0].headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
    assert details(httpx.get(f"{url}/api/v1/ping", headers=bearer(store), timeout=60))


def test_it_says_that_it_is_alive_and_ready(url: str) -> None:
    """It needs no token, and tells the version and nothing else."""
    named = {"version": version.__version__}
    for path, more in (("/healthz", named), ("/readyz", {})):
        answer = httpx.get(url + path, timeout=60)
        assert (answer.status_code, answer.json()) == (200, {"status": "success", **more})


class Away:
    """A store whose database is gone, or of a newer remit."""

    def __init__(self, *, gone: bool) -> None:
        """Choose which."""
        self._gone = gone

    def is_current(self) -> bool:
        """Fail, or say that it is not."""
        if self._gone:
            raise StoreUnavailableError("/secret/path: gone")
        return False


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "newer"])
def test_it_is_not_ready_without_its_database(*, gone: bool) -> None:
    """It is still alive, because a restart would not help."""
    with served(Away(gone=gone), Settings()) as url:  # type: ignore[arg-type]  # only what is asked
        alive, ready = (
            httpx.get(f"{url}/healthz", timeout=60),
            httpx.get(f"{url}/readyz", timeout=60),
        )

    assert alive.status_code == 200
    assert refusal(ready, 503)["code"] == "unavailable"
    assert ready.headers["retry-after"]
    assert "secret" not in ready.text


def sample(text: str, start: str) -> float:
    """Return the one sample whose line, without the worker, begins so."""
    lines = re.sub(r',?worker="[0-9]+"', "", text).splitlines()
    (found,) = [line for line in lines if line.startswith(start)]
    return float(found.rpartition(" ")[2])


def test_it_counts_what_it_did(store: Store) -> None:
    """Requests by route and status, spans, bulk items, refusals by code; not by ids."""
    with served(store, Settings()) as url, httpx.Client(base_url=url, timeout=60) as client:
        client.headers.update(bearer(store))
        agent = details(client.post("/api/v1/agent", json={"details": {"name": "A"}}))["id"]
        api = Api(client, agent)
        run = api.instance("active")
        api.span(run["id"])
        span = {"_type": "agent_spans/create", **api.span_body(run["id"])}
        api.bulk(span, span, {"_type": "agents/show", "agent_id": "none"})
        refusal(api.get("/agent_instance/nothing"), 404)
        client.get("/no/such/path")
        text = client.get("/metrics").text

    route = "/api/v1/agent_instance/{id}"
    assert sample(text, "remit_spans_ingested_total{}") == 3
    assert sample(text, "remit_bulk_items_total{}") == 3
    counted = f'remit_requests_total{{method="GET",route="{route}",status="404"}}'
    assert sample(text, counted) == 1
    assert sample(text, 'remit_requests_total{method="GET",route="none",status="404"}') == 1
    assert sample(text, 'remit_rejections_total{code="not_found"}') == 3
    assert sample(text, 'remit_request_duration_seconds_count{route="/api/v1/bulk"}') == 1
    assert run["id"] not in text


@each(("readers", "status"), [("token", 401), ("all", 200)])
def test_the_metrics_need_a_token_unless_they_are_for_all(
    store: Store, readers: str, status: int
) -> None:
    """The default is a token of the account."""
    with served(store, Settings(metrics=readers)) as url:
        assert httpx.get(f"{url}/metrics", timeout=60).status_code == status
    assert Settings().metrics == "token"


@each("path", ["/healthz", "/readyz", "/metrics"])
@each(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:8420", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:8420", 200),
        ("a.localhost", 200),
        ("collector", 200),
        ("127.0.0.1:8420", 200),
        ("[::1]:8420", 200),
        ("192.0.2.1", 200),
    ],
)
def test_a_page_of_another_site_learns_nothing(
    store: Store, path: str, host: str, status: int
) -> None:
    """A name that a stranger can have, and let resolve to this machine, is rejected."""
    with served(store, Settings(metrics="all")) as url:
        answer = httpx.get(url + path, headers={"Host": host}, timeout=60)

    assert answer.status_code == status
    if status == 403:
        assert refusal(answer, 403)["code"] == "forbidden"


def test_a_proxy_passes_the_name_that_it_was_asked_for(store: Store) -> None:
    """A load balancer sends no name at all in HTTP/1.0."""
    with served(store, Settings()) as url:
        named = {"Host": "remit.example", "X-Forwarded-For": "192.0.2.7"}
        assert httpx.get(f"{url}/healthz", headers=named, timeout=60).status_code == 200
        assert answered(url, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_the_metrics_are_for_tokens_of_the_account(store: Store) -> None:
    """A deployment's token is for its agent."""
    bound = create_token(store, "agent_deployment", agent="a").secret
    with served(store, Settings(metrics="token")) as url:
        mine = httpx.get(f"{url}/metrics", headers=bearer(store), timeout=60)
        other = httpx.get(
            f"{url}/metrics", headers={"Authorization": f"Bearer {bound}"}, timeout=60
        )

    assert (mine.status_code, other.status_code) == (200, 401)


def test_a_proxy_is_believed_where_a_request_comes_from(store: Store, tmp_path: Path) -> None:
    """If it is named, and not otherwise."""
    log = tmp_path / "access.log"
    for options in (ServerOptions(), ServerOptions(proxy="127.0.0.1")):
        with served(store, Settings(), log=log, options=options) as url:
            httpx.get(f"{url}/healthz", headers={"X-Forwarded-For": "192.0.2.7"}, timeout=60)

    clients = [json.loads(line)["client"] for line in log.read_text().splitlines()]
    assert clients == ["127.0.0.1", "192.0.2.7"]


def test_the_access_log_has_a_line_of_json_for_each_request(store: Store, tmp_path: Path) -> None:
    """It has no queries, tokens, payloads or unknown paths, and only its owner may read it."""
    log = tmp_path / "access.log"
    headers = bearer(store)
    secret = headers["Authorization"].partition(" ")[2]
    with (
        served(store, Settings(), log=log) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        client.get("/api/v1/agent", params={"team_id": "canary-query"}, headers=headers)
        client.get(f"/{secret}", headers=headers)
        client.get("/api/v1/agent/canary-none", headers=headers)
        body = {"details": {"name": "canary-payload"}}
        client.post("/api/v1/agent", json=body, headers=headers)

    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["method"], line["route"], line["status"], line["code"]) for line in lines] == [
        ("GET", "/api/v1/agent", 200, None),
        ("GET", None, 404, "not_found"),
        ("GET", "/api/v1/agent/{id}", 404, "not_found"),
        ("POST", "/api/v1/agent", 200, None),
    ]
    assert lines[2]["path"] == "/api/v1/agent/canary-none"
    assert lines[0]["token_id"]
    assert secret not in text
    assert "canary-query" not in text
    assert "canary-payload" not in text
    assert log.stat().st_mode & 0o777 == 0o600


def test_when_a_token_was_last_used_is_known(store: Store) -> None:
    """The time is exact to ten minutes, so that a request is not a write."""
    token = create_token(store, "account")
    with served(store, Settings()) as url:
        headers = {"Authorization": f"Bearer {token.secret}"}
        shown = [
            details(
                httpx.get(f"{url}/api/v1/api_token/{token.info.id}", headers=headers, timeout=60)
            )
            for _ in range(2)
        ]

    assert shown[0]["last_used_at"] is not None
    assert shown[0]["last_used_at"] == shown[1]["last_used_at"]
