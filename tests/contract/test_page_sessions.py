"""Sessions of the page on each store: who gets in, how long, and to what."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from threading import Barrier
from typing import Final, TypeVar

import pytest

from remit.collector import Settings, Store, create_token, list_tokens
from remit.testing import FakeClock
from tests import run_pages
from tests.asgi import AsgiTransport
from tests.collecting import Api, World, details
from tests.inside import httpx
from tests.inside_collector import (
    RequestError,
    Sessions,
    create_app,
    create_code,
    revoke_token,
    static_version,
)
from tests.signing_in import SAME_SITE, URL, cookie_of, sign_in, signed_in, stranger
from tests.stores import on_each_store

T = TypeVar("T")

GUIDE: Final = Path(__file__).parents[2] / "docs" / "operate" / "expose.md"

FOREIGN: Final[tuple[dict[str, str], ...]] = (
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8420"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {},
)
"""What a browser sends with a form of another site, or of none."""


@pytest.fixture
def http(store: Store, clock: FakeClock) -> Iterator[httpx.Client]:
    """Return a client of the page that nobody has signed in with."""
    with stranger(create_app(store, clock=clock, page_hosts=())) as client:
        yield client


def is_in(http: httpx.Client) -> bool:
    """Return whether the session shows the list of runs; without one there is the sign-in."""
    answer = http.get("/runs")
    if answer.status_code == HTTPStatus.OK:
        return True
    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert answer.headers["location"] == "/sign-in?next=%2Fruns"
    return False


def flags_of(answer: httpx.Response) -> set[str]:
    """Return the attributes of the cookie that an answer sets."""
    return {flag.strip().lower() for flag in answer.headers["set-cookie"].split(";")[1:]}


def token_of(store: Store, clock: FakeClock) -> str:
    """Return a new token of the account."""
    return create_token(store, "account", clock=clock).secret


@on_each_store
def test_a_token_begins_a_session_and_signing_out_ends_it(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """The cookie is for this host alone, and no script reads it; a kept copy is worth nothing."""
    assert not is_in(http)
    answer = sign_in(http, token_of(store, clock))
    assert (answer.status_code, answer.headers["location"]) == (HTTPStatus.SEE_OTHER, "/runs")
    name, _, value = cookie_of(answer)
    assert name == "remit_8420"
    assert len(value) == 43
    # Safari drops a secure cookie over HTTP, also on this machine.
    assert flags_of(answer) == {"httponly", "max-age=604800", "path=/", "samesite=lax"}
    assert is_in(http)

    answer = http.post("/sign-out", headers=SAME_SITE)
    assert answer.headers["location"] == "/sign-in"
    assert 'remit_8420=""' in answer.headers["set-cookie"]
    assert not is_in(http)


@on_each_store
def test_over_tls_the_cookie_is_secure(store: Store, clock: FakeClock, http: httpx.Client) -> None:
    """No other name of the domain can set it."""
    secret = token_of(store, clock)
    http.base_url = "https://127.0.0.1"
    answer = sign_in(http, secret)
    name, _, _ = cookie_of(answer)
    assert name == "__Host-remit_443"
    assert flags_of(answer) == {"httponly", "max-age=604800", "path=/", "samesite=lax", "secure"}
    assert is_in(http)
    answer = http.post("/sign-out", headers=SAME_SITE)
    assert "secure" in flags_of(answer)
    assert not is_in(http)


@on_each_store
def test_a_session_ends_with_time(store: Store, clock: FakeClock, http: httpx.Client) -> None:
    """After twelve hours without use, and after seven days with it."""
    secret = token_of(store, clock)
    sign_in(http, secret)
    clock.advance(timedelta(hours=11, minutes=50).total_seconds())
    assert is_in(http)
    clock.advance(timedelta(hours=12, seconds=1).total_seconds())
    assert not is_in(http)
    sign_in(http, secret)
    for _ in range(14):
        clock.advance(timedelta(hours=11, minutes=59).total_seconds())
        assert is_in(http)
    clock.advance(timedelta(hours=1).total_seconds())
    assert not is_in(http)


@on_each_store
def test_a_revoked_token_ends_its_sessions(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """Those of other tokens go on."""
    others = stranger(create_app(store, clock=clock, page_hosts=()))
    sign_in(others, token_of(store, clock))
    secret = create_token(store, "account", name="lost", clock=clock).secret
    sign_in(http, secret)
    assert is_in(http)
    (lost,) = (token.id for token in list_tokens(store) if token.name == "lost")
    revoke_token(store, lost, clock=clock)
    assert not is_in(http)
    assert is_in(others)
    assert sign_in(http, secret).status_code == HTTPStatus.UNAUTHORIZED


@on_each_store
def test_a_session_does_not_outlive_its_token(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """A token that is valid for an hour signs in for an hour."""
    hour = timedelta(hours=1)
    end = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC) + hour
    sign_in(http, create_token(store, "account", expires_at=end, clock=clock).secret)
    assert is_in(http)
    clock.advance(hour.total_seconds() + 1)
    assert not is_in(http)


@on_each_store
def test_a_code_signs_in_once_within_ten_minutes(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """It gives what whoever runs the server has anyway."""
    code, late = (create_code(store, clock=clock) for _ in range(2))
    assert sign_in(http, code).status_code == HTTPStatus.SEE_OTHER
    assert is_in(http)
    again = sign_in(http, code)
    assert again.status_code == HTTPStatus.UNAUTHORIZED
    assert "set-cookie" not in again.headers
    assert "wrong, expired, or already used" in again.text
    clock.advance(timedelta(minutes=10).total_seconds())
    assert sign_in(http, late).status_code == HTTPStatus.UNAUTHORIZED


@on_each_store
def test_of_two_sign_ins_with_one_code_only_one_begins(store: Store, clock: FakeClock) -> None:
    """Though both looked it up before either ended it."""
    code = create_code(store, clock=clock)
    sessions = Sessions(store, clock)
    together = Barrier(2)

    def begin() -> bool:
        account_id = sessions.account_of(code)
        together.wait(60)
        try:
            sessions.sign_in(account_id, code)
        except RequestError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        begun = [threads.submit(begin) for _ in range(2)]
        assert sorted(one.result() for one in begun) == [False, True]


class Writers:
    """Runs work at once, and counts what was to run among those that write."""

    count = 0

    async def run(self, work: Callable[[], T], *, writes: bool = False) -> T:
        """Return what *work* returns."""
        self.count += writes
        return work()


def test_a_wrong_secret_does_not_wait_among_those_that_write(
    store: Store, clock: FakeClock
) -> None:
    """A stranger cannot hold them up."""
    writers = Writers()
    app = create_app(store, clock=clock, executor=writers, page_hosts=())
    http = stranger(app)
    assert sign_in(http, "remit_wrong").status_code == HTTPStatus.UNAUTHORIZED
    assert writers.count == 0
    assert sign_in(http, token_of(store, clock)).status_code == HTTPStatus.SEE_OTHER
    assert writers.count == 1


@on_each_store
def test_a_token_has_fifty_sessions_at_most(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """The oldest ends; those of another token stay, and a browser has one."""
    create_token(store, "account", clock=clock)
    account_id = list_tokens(store)[0].account_id
    other = stranger(create_app(store, clock=clock, page_hosts=()))
    sign_in(other, token_of(store, clock))
    secret = token_of(store, clock)
    sign_in(http, secret)
    sessions = Sessions(store, clock)
    newest = ""
    for _ in range(50):
        clock.advance(1)
        assert is_in(http)
        newest = sessions.sign_in(account_id, secret)
    assert not is_in(http)
    assert is_in(other)
    sessions.sign_in(account_id, secret, newest)
    with store.reading() as tx:
        assert len(tx.sessions(account_id)) == 50
    with pytest.raises(RequestError):
        sessions.find(newest)


@on_each_store
def test_a_session_is_a_use_of_its_token(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """From the sign-in on, to about ten minutes."""
    sign_in(http, token_of(store, clock))
    began = list_tokens(store)[0].last_used_at
    assert began is not None
    clock.advance(timedelta(hours=1).total_seconds())
    assert is_in(http)
    used = list_tokens(store)[0].last_used_at
    assert used is not None
    assert used > began


@on_each_store
def test_the_database_has_no_secret(store: Store, clock: FakeClock, http: httpx.Client) -> None:
    """Neither of a code nor of a session: only hashes, which sign nobody in."""
    code = create_code(store, clock=clock)
    _, _, value = cookie_of(sign_in(http, token_of(store, clock)))
    with store.reading() as tx:
        kept = tx.sessions(list_tokens(store)[0].account_id)
    assert sorted(row.kind for row in kept) == ["code", "session"]
    assert not [row for row in kept if code in str(row) or value in str(row)]
    name = "remit_8420"
    for row in kept:
        for wrong in (row.id, row.secret_hash.hex()):
            answer = http.get("/runs", headers={"Cookie": f"{name}={wrong}"})
            assert answer.status_code == HTTPStatus.SEE_OTHER


@on_each_store
def test_a_session_sees_what_its_token_sees(world: World, http: httpx.Client) -> None:
    """No run of another account; with a token of a deployment, none of another agent."""
    own = run_pages.failed(world.account())
    secret = create_token(world.store, "account", clock=world.clock).secret
    made = create_token(world.store, "agent_deployment", agent="desk", clock=world.clock)
    deployed = Api(world.http(made.secret)).instance("complete")["id"]
    foreign = run_pages.failed(world.foreign())
    sign_in(http, secret)
    assert http.get(f"/runs/{own}").status_code == HTTPStatus.OK
    assert http.get(f"/runs/{foreign}").status_code == HTTPStatus.NOT_FOUND
    page = http.get("/runs?from=all").text
    assert (own in page, deployed in page, foreign in page) == (True, True, False)

    sign_in(http, made.secret)
    assert http.get(f"/runs/{deployed}").status_code == HTTPStatus.OK
    for run in (own, foreign):
        for tail in ("", "/print", "/export", "/outline", "/terminate"):
            assert http.get(f"/runs/{run}{tail}").status_code == HTTPStatus.NOT_FOUND, tail
    page = http.get("/runs?from=all").text
    assert (own in page, deployed in page, foreign in page) == (False, True, False)


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_change_that_another_site_asks_for_is_rejected(
    world: World, http: httpx.Client, headers: dict[str, str]
) -> None:
    """Though the session would allow it; the own address in plain HTTP is enough without more."""
    api = world.account()
    run = run_pages.running(api)
    sign_in(http, create_token(world.store, "account", clock=world.clock).secret)
    body = {"reason": "enough"}
    for path in (f"/runs/{run}/terminate", "/sign-in", "/sign-out", "/runs"):
        answer = http.post(path, data=body, headers=headers)
        assert answer.status_code == HTTPStatus.FORBIDDEN, path
        assert "set-cookie" not in answer.headers
        assert "This request came from a page of another site" in answer.text
    assert api.shown(run)["status"] == "active"
    assert is_in(http)
    own = {"origin": "http://127.0.0.1:8420"}
    answer = http.post(f"/runs/{run}/terminate", data=body, headers=own)
    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert api.shown(run)["status"] == "terminated"


@on_each_store
def test_who_terminated_a_run_is_kept(world: World, http: httpx.Client) -> None:
    """By which way and with which token; remit's own API says so, and that of Prefactor not."""
    api = world.account()
    secret = create_token(world.store, "account", name="night shift", clock=world.clock).secret
    code = create_code(world.store, clock=world.clock)
    terminated = {}
    for given in (secret, code):
        run = run_pages.running(api)
        sign_in(http, given)
        http.post(f"/runs/{run}/terminate", data={"reason": "enough"}, headers=SAME_SITE)
        terminated[run] = (
            "web UI, session of token night shift"
            if given == secret
            else "web UI, session of a one-time link"
        )
    run, body = run_pages.running(api), {"reason": "enough"}
    details(world.http(secret).post(f"/api/v1/agent_instance/{run}/terminate", json=body))
    terminated[run] = "API, token night shift"
    untouched = run_pages.running(api)
    answer = world.http(secret).get("/api/remit/v1/runs")
    listed = {each["id"]: each["terminated_by"] for each in answer.json()["runs"]}
    assert listed == {**terminated, untouched: None}
    for run, by in terminated.items():
        assert f"By <code>{by}</code>." in http.get(f"/runs/{run}").text
        assert "terminated_by" not in api.shown(run)


def test_the_api_never_looks_at_the_session(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """Or a page of another site could use it."""
    sign_in(http, token_of(store, clock))
    assert is_in(http)
    for path in ("/api/v1/agent", "/api/remit/v1/runs", "/metrics"):
        assert http.get(path).status_code == HTTPStatus.UNAUTHORIZED, path


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("/runs?status=failed", "/runs?status=failed"),
        ("//evil.example", "/runs"),
        ("/\\evil.example", "/runs"),
        ("https://evil.example/", "/runs"),
        ("javascript:alert(1)", "/runs"),
        ("/runs\r\nSet-Cookie: a=b", "/runs"),
    ],
)
def test_the_sign_in_leads_back_to_this_site_only(
    store: Store, clock: FakeClock, http: httpx.Client, wanted: str, expected: str
) -> None:
    """Whatever the link to it says."""
    form = {"secret": token_of(store, clock), "next": wanted}
    answer = http.post("/sign-in", data=form, headers=SAME_SITE)
    assert answer.headers["location"] == expected


def test_a_wrong_token_is_rejected(http: httpx.Client) -> None:
    """And a form that is none, or too long."""
    answer = sign_in(http, "remit_wrong")
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "set-cookie" not in answer.headers
    answer = http.post("/sign-in", json={"secret": "x"}, headers=SAME_SITE)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    answer = http.post("/sign-in", data={"secret": "x" * 70_000}, headers=SAME_SITE)
    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_over_plain_http_from_elsewhere_it_says_why_it_cannot_work(http: httpx.Client) -> None:
    """Everybody on the way could read the token and the session."""
    answer = http.get("/sign-in", headers={"host": "192.0.2.1:8420"})
    assert answer.status_code == HTTPStatus.OK
    assert "--ssl-certfile" in answer.text
    assert "<form" not in answer.text


@pytest.mark.parametrize("host", ["localhost:abc", "localhost:70000", "localhost:0"])
def test_a_host_whose_port_is_none_is_rejected(http: httpx.Client, host: str) -> None:
    """It names no server."""
    for path in ("/runs", "/sign-in"):
        answer = http.get(path, headers={"host": host})
        assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST


def test_people_sign_in_through_the_documented_proxy_at_any_port(store: Store) -> None:
    """What nginx sends as `Host` has the port, as the origin of a form has."""
    (variable,) = re.findall(r"proxy_set_header Host (\S+);", GUIDE.read_text())
    host = {"$http_host": "remit.example:8443", "$host": "remit.example"}[variable]
    app = create_app(store, page_hosts=("remit.example",))
    with httpx.Client(transport=AsgiTransport(app), base_url=f"https://{host}") as http:
        form = {"secret": create_token(store, "account").secret}
        headers = {"Origin": "https://remit.example:8443"}
        answer = http.post("/sign-in", data=form, headers=headers)
    assert answer.status_code == HTTPStatus.SEE_OTHER


def test_names_of_the_server_have_no_case(store: Store) -> None:
    """Neither in the option nor in the request."""
    http = stranger(create_app(store, page_hosts=("Remit.Example",)))
    for host in ("remit.example", "REMIT.example"):
        assert http.get("/runs", headers={"host": host}).status_code == HTTPStatus.SEE_OTHER


def test_addresses_beyond_latin_1_are_no_fault(store: Store) -> None:
    """A header has no such characters."""
    http = signed_in(store)
    answer = http.get("/agents/\u2713?view=runs")
    assert answer.headers["location"] == "/runs?agent=%E2%9C%93"
    form = {"secret": create_token(store, "account").secret, "next": "/\u2713"}
    answer = http.post("/sign-in", data=form, headers=SAME_SITE)
    assert answer.headers["location"] == "/runs"


def test_a_link_submits_only_where_nobody_is_signed_in(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """It would replace the session of the reader without a notice."""
    assert "data-submit" in http.get("/sign-in").text
    sign_in(http, token_of(store, clock))
    assert "data-submit" not in http.get("/sign-in").text
    http.headers["Cookie"] = http.headers["Cookie"] + "x"
    assert "data-submit" in http.get("/sign-in").text


def test_the_page_has_the_rate_limit(store: Store, clock: FakeClock) -> None:
    """By session; a sign-in counts for the address."""
    app = create_app(store, settings=Settings(max_requests_per_s=2), clock=clock, page_hosts=())
    secret = token_of(store, clock)

    async def statuses() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
            form = {"secret": secret}
            answers = [await http.post("/sign-in", data=form, headers=SAME_SITE)]
            name, _, value = cookie_of(answers[0])
            session = {"Cookie": f"{name}={value}"}
            answers += [await http.get("/help", headers=session) for _ in range(5)]
            form = {"secret": "remit_wrong"}
            sent = SAME_SITE | session
            answers += [await http.post("/sign-in", data=form, headers=sent) for _ in range(4)]
            answers.append(await http.get("/healthz"))
        return [answer.status_code for answer in answers]

    expected = [303, *[200] * 4, 429, *[401] * 3, 429, 200]
    assert asyncio.run(statuses()) == expected


def test_a_form_that_does_not_arrive_is_given_up(store: Store) -> None:
    """A client that sends nothing holds nothing."""
    app = create_app(store, settings=Settings(body_timeout_s=1), page_hosts=())

    async def never() -> AsyncIterator[bytes]:
        yield b"secret="
        await asyncio.sleep(60)

    async def status() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
            form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "9"}
            headers = SAME_SITE | form
            return (await http.post("/sign-in", content=never(), headers=headers)).status_code

    assert asyncio.run(status()) == HTTPStatus.REQUEST_TIMEOUT


def test_static_files_have_the_address_of_their_version(http: httpx.Client) -> None:
    """They are kept for a year."""
    assert http.get(f"/static/{static_version()}/page.js").status_code == HTTPStatus.OK
    assert http.get("/static/000000000000/page.js").status_code == HTTPStatus.NOT_FOUND


def test_a_token_that_only_reads_ends_its_own_sessions_only(
    store: Store, clock: FakeClock, http: httpx.Client
) -> None:
    """It sees the others without a button."""
    sign_in(http, token_of(store, clock))
    with store.reading() as tx:
        (writer,) = tx.sessions(list_tokens(store)[0].account_id)
    app = create_app(store, clock=clock, page_hosts=())
    auditor, second = stranger(app), stranger(app)
    secret = create_token(store, "account", may="read", clock=clock).secret
    for each in (auditor, second):
        sign_in(each, secret)
    form = {"any": ""}
    page = auditor.get("/account").text
    assert page.count('<td data-l="Since">') == 3
    assert page.count('/end"><button>') == 1
    answer = auditor.post(f"/account/sessions/{writer.id}/end", data=form, headers=SAME_SITE)
    assert answer.status_code == HTTPStatus.NOT_FOUND
    auditor.post("/account/sessions/end-others", data=form, headers=SAME_SITE)
    assert is_in(http)
    assert is_in(auditor)
    assert not is_in(second)
    http.post("/account/sessions/end-others", data=form, headers=SAME_SITE)
    assert not is_in(auditor)


def test_only_the_account_sees_the_database_and_versions(world: World, http: httpx.Client) -> None:
    """A token of a deployment does not."""
    for scope in ("account", "agent_deployment"):
        sign_in(http, create_token(world.store, scope, agent="desk", clock=world.clock).secret)
        page = http.get("/account").text
        assert ("<h1>Account <bdi>default</bdi></h1>" in page) is (scope == "account")
        assert ("<span>Versions</span>" in page) is (scope == "account")
        assert ("<span>Database</span>" in page) is (scope == "account")


def test_the_account_lists_what_each_token_may(store: Store) -> None:
    """In words, several with commas."""
    http = signed_in(store)
    create_token(store, "account", name="program", may="record")
    create_token(store, "account", name="scraper", may="metrics,record")
    page = http.get("/account").text
    cells = re.findall(r'data-l="May">([^<]*)<', page)
    assert sorted(cells) == ["metrics, record", "read, write", "record"]
    assert "remit token create --name desk-prod" in page
