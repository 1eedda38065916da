"""What every answer of the page has: headers, sizes, and a server that knows its name."""

from __future__ import annotations

import html
import zlib
from http import HTTPStatus
from pathlib import Path

import pytest

from remit.collector import Store, create_token, open_store
from tests.collecting import NOBODY, World
from tests.inside import httpx
from tests.inside_collector import create_app, static_files, static_version
from tests.page_data import REJECTED, SCREENS, places_of
from tests.signing_in import sign_in, signed_in, stranger
from tests.stores import on_each_store

POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types remit",
)
YEAR = "public, max-age=31536000, immutable"
KB = 1024 * 1.1
"""The budgets are in KB; a tenth more is allowed, as each zlib compresses differently."""


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return a client with a session."""
    return signed_in(store)


def assert_guarded(answer: httpx.Response, *, cached: str = "no-store") -> None:
    """Check the headers that every answer of the page has."""
    header: str = answer.headers["content-security-policy"]
    assert sorted(part.strip() for part in header.split(";")) == sorted(POLICY)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    permissions = answer.headers["permissions-policy"].split(", ")
    assert {"camera=()", "geolocation=()", "microphone=()"} <= set(permissions)
    assert all(each.endswith("=()") for each in permissions)
    assert answer.headers["cache-control"] == cached


@on_each_store
def test_every_screen_answers(world: World, http: httpx.Client) -> None:
    """With nothing that the policy of the page forbids, and nothing for caches."""
    places = places_of(world, world.account())
    for screen in (*SCREENS, *REJECTED):
        answer = http.get(screen.address.format_map(places))
        assert answer.status_code == screen.status, (screen, answer.text)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert_guarded(answer)
        assert " style=" not in answer.text, screen
        assert "<script>" not in answer.text, screen
        assert "://" not in answer.text.replace("http://127.0.0.1:8420", "").replace(
            "https://", "", answer.text.count("<code")
        ), screen


def test_the_first_steps_name_the_database_of_this_server(tmp_path: Path) -> None:
    """A token in another one would be rejected; a reader of one agent does not see where it is."""
    folder = tmp_path / "with a space"
    folder.mkdir()
    store = open_store(folder / "remit.db")
    secret = create_token(store, "agent_deployment", agent="desk").secret
    page = html.unescape(signed_in(store).get("/runs").text)
    reader = stranger(create_app(store, page_hosts=()))
    sign_in(reader, secret)
    assert f"--to token --db '{folder}/remit.db'</pre>" in page
    assert "--to token --db ..." in reader.get("/runs").text
    store.close()


def test_help_begins_with_the_words(http: httpx.Client) -> None:
    """With the rules of the demo, and where a run is ended."""
    page = http.get("/help").text
    assert page.index('id="words"') < page.index('id="rules"') < page.index('id="keys"')
    for word in ("remit", "deny", "observe", "marked", "class", "fold", "undeclared", "Terminate"):
        assert f"<dt><b>{word}</b></dt>" in page
    for rule in ("type:Sensitive", "type:SecretStr"):
        assert f'<span class="bar">{rule}</span>' in page
    assert page.count('id="rule-type"') == 1


def test_every_kind_of_answer_is_guarded(world: World, http: httpx.Client) -> None:
    """Also rejections, data, files and what is not there."""
    api = world.account()
    run = api.instance()["id"]
    live = http.get(f"/runs/{run}/outline").json()["cursor"]
    kinds = {
        "/": HTTPStatus.SEE_OTHER,
        f"/live?run={run}&since={live}": HTTPStatus.NO_CONTENT,
        f"/runs/{run}/outline": HTTPStatus.OK,
        f"/runs/{run}/export": HTTPStatus.OK,
        "/runs.csv": HTTPStatus.OK,
        f"/runs/{NOBODY}": HTTPStatus.NOT_FOUND,
        "/runs?status=odd": HTTPStatus.UNPROCESSABLE_ENTITY,
        f"/static/{static_version()}/page.css": HTTPStatus.OK,
    }
    for path, status in kinds.items():
        answer = http.get(path)
        assert answer.status_code == status, path
        assert_guarded(answer, cached=YEAR if path.startswith("/static/") else "no-store")
    files = [http.get(path) for path in (f"/runs/{run}/export", "/runs.csv")]
    assert all(each.headers["content-disposition"].startswith("attachment;") for each in files)
    signed_out = http.get(f"/runs/{run}/outline", headers={"Cookie": "", "Sec-Fetch-Dest": "empty"})
    assert signed_out.status_code == HTTPStatus.UNAUTHORIZED
    assert_guarded(signed_out)


def test_a_head_is_answered_where_a_get_is(world: World, http: httpx.Client) -> None:
    """With the same status and the same headers, for programs that watch the pages."""
    places = places_of(world, world.account())
    paths = [screen.address.format_map(places) for screen in (*SCREENS, *REJECTED)]
    browser = {"Accept": "text/html"}
    for path in ("/", "/sign-in", "/runz", "/runs.csv", "/healthz", "/api/remit/v1/runs", *paths):
        got, head = (http.request(method, path, headers=browser) for method in ("GET", "HEAD"))
        assert head.status_code == got.status_code, path
        assert head.headers.get("content-type") == got.headers.get("content-type"), path
    signed_out = http.head("/sign-in", headers={"Cookie": ""})
    assert signed_out.status_code == HTTPStatus.OK


def test_static_files_are_small_and_kept_for_a_year(http: httpx.Client) -> None:
    """Their addresses change with their content; nobody has to be signed in."""
    sizes, own = {".js": 0, ".css": 0, ".woff2": 0}, [0]
    for name in static_files():
        answer = http.get(f"/static/{static_version()}/{name}", headers={"Cookie": ""})
        assert answer.status_code == HTTPStatus.OK, name
        assert answer.headers["cache-control"] == YEAR
        suffix = "." + name.rpartition(".")[2]
        sent = len(answer.content)
        if suffix != ".woff2":
            assert answer.headers["content-encoding"] == "gzip"
            sent = len(zlib.compress(answer.content, 9, 16 + zlib.MAX_WBITS))
        # A screen loads the common style sheet, and at most one of its own.
        if suffix == ".css" and name != "page.css":
            own.append(sent)
            continue
        sizes[suffix] = sizes.get(suffix, 0) + sent
    assert sizes[".js"] <= 16 * KB
    assert sizes[".css"] + max(own) <= 8.5 * KB
    assert sizes[".woff2"] <= 52 * KB
    assert http.get(f"/static/{static_version()}/../shell.py").status_code == HTTPStatus.NOT_FOUND
    assert http.get(f"/static/{static_version()}/routes.py").status_code == HTTPStatus.NOT_FOUND


def test_a_foreign_name_is_rejected(store: Store, http: httpx.Client) -> None:
    """As a site has that points its name to this machine; the server is told which are its own."""
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:8420", ""):
        for path in ("/sign-in", "/runs"):
            answer = http.get(path, headers={"host": host})
            assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST, host
            assert_guarded(answer)
    assert "--page-host evil.example" in http.get("/runs", headers={"host": "evil.example"}).text
    for host in ("localhost:8420", "192.0.2.1", "[::1]:8420", "remit", "desk.localhost"):
        assert http.get("/runs", headers={"host": host}).status_code != (
            HTTPStatus.MISDIRECTED_REQUEST
        ), host
    named = stranger(create_app(store, page_hosts=("evil.example",)))
    answer = named.get("/sign-in", headers={"host": "evil.example"})
    assert answer.status_code == HTTPStatus.OK


def test_the_page_can_be_off(store: Store) -> None:
    """Then there is the API alone."""
    http = stranger(create_app(store))
    for path in ("/", "/runs", "/sign-in", f"/static/{static_version()}/page.css"):
        assert http.get(path).status_code == HTTPStatus.NOT_FOUND, path
    assert http.post("/sign-in", data={"secret": "x"}).status_code == HTTPStatus.NOT_FOUND
    assert http.get("/healthz").status_code == HTTPStatus.OK


def test_a_wrong_address_is_a_page_for_people(world: World, http: httpx.Client) -> None:
    """Programs get the API's answer, as they do where there is no page."""
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = http.get("/runz", headers=browser)
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "There is no such path" in answer.text
    assert 'href="/runs"' in answer.text
    assert_guarded(answer)
    programs = (
        http.get("/runz"),
        http.post("/runz", headers=browser),
        http.get("/api/v1/runz", headers=browser),
        http.get(f"/api/remit/v1/runs/{NOBODY}/file", headers=browser),
        stranger(create_app(world.store)).get("/runz", headers=browser),
    )
    assert [answer.headers["content-type"] for answer in programs] == ["application/json"] * 5
