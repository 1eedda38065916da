"""The export of a run: sent in pieces, in turn with others, one at a time for each session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final, cast

from starlette.types import ASGIApp, Message

from remit.collector import Store, create_token
from tests import run_pages
from tests.collecting import Api, World
from tests.inside import httpx
from tests.inside_collector import (
    StoreUnavailableError,
    ThreadExecutor,
    Transaction,
    create_app,
)
from tests.signing_in import sign_in, signed_in, stranger

PAGE: Final = 1_000
STEPS: Final = 2_500


class CountingStore:
    """A store that counts the blocks that read, and whose database can be gone."""

    def __init__(self, store: Store) -> None:
        """Read from *store*."""
        self._store = store
        self.blocks = 0
        self.is_gone = False

    def __getattr__(self, name: str) -> Any:
        """Return a part of the store."""
        return getattr(self._store, name)

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """Return a block that reads."""
        self.blocks += 1
        if self.is_gone:
            raise StoreUnavailableError("gone")
        with self._store.reading() as tx:
            yield tx


class Download:
    """A client of an app that takes each part of an answer when it is told to."""

    def __init__(self, app: ASGIApp, session: httpx.Client, path: str, query: str = "") -> None:
        """Ask *app* for *path* with the cookie of *session*."""
        self.status = 0
        self.body = b""
        self.parts = 0
        self._takes, self._gone = asyncio.Semaphore(0), asyncio.Event()
        self.offered = asyncio.Event()
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [
                (b"host", b"127.0.0.1:8420"), (b"cookie", session.headers["Cookie"].encode()),
            ],
            "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8420),
        }  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            self.offered.set()
            await self._takes.acquire()
            self.body += message["body"]
            self.parts += 1

    async def take(self, count: int) -> None:
        """Take so many parts, and wait for the next one."""
        for _ in range(count):
            await self.offered.wait()
            self.offered.clear()
            self._takes.release()
        await self.offered.wait()

    async def whole(self) -> int:
        """Take the rest of the answer; return its status."""
        for _ in range(100):
            self._takes.release()
        await self.task
        return self.status

    async def leave(self) -> None:
        """Close the connection."""
        self._gone.set()
        await self.task


def long_run(api: Api) -> str:
    """Return a run of so many steps that their export has three pages."""
    story = run_pages.Story(api)
    step = api.span_body(story.run_id, parent_span_id=story.root, payload={"text": "x" * 100})
    for _ in range(STEPS // 100):
        api.bulk(*({"_type": "agent_spans/create", **step} for _ in range(100)))
    return story.finish("complete")


def app_over(store: Store, execute: Callable[[], ThreadExecutor] | None = None) -> ASGIApp:
    """Return a collector with pages."""
    executor = None if execute is None else execute()
    return create_app(store, executor=executor, page_hosts=())


def reader(app: ASGIApp, store: Store) -> httpx.Client:
    """Return somebody who is signed in at *app*."""
    http = stranger(app)
    sign_in(http, create_token(store, "account").secret)
    return http


def test_an_export_has_each_step_oldest_first(world: World, store: Store) -> None:
    """After the run; of more steps than are read at once, and compressed if the client takes it."""
    run_id = long_run(world.account())
    http = signed_in(store)
    answer = http.get(f"/runs/{run_id}/export", headers={"Accept-Encoding": "identity"})
    run, *spans = [json.loads(line) for line in answer.text.splitlines()]
    steps = [span for span in spans if span["schema_name"] != "remit:run"]
    assert (run["id"], len(spans), len(steps)) == (run_id, STEPS + 1, STEPS)
    ids = [span["id"] for span in spans]  # the root has that of the run, made in the same time
    assert ids == sorted(ids)
    assert steps[-1]["payload"] == {"text": "x" * 100}
    assert answer.headers["content-type"] == "application/x-ndjson"
    packed = http.get(f"/runs/{run_id}/export")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == answer.text


def test_a_run_that_nobody_has_is_rejected_before_anything_is_sent(store: Store) -> None:
    """As every other page is."""
    World(store)
    answer = signed_in(store).get("/runs/013xrzp12g3nqk8nzzzzzzzzzzzzzzzz/export")
    assert answer.status_code == HTTPStatus.NOT_FOUND


def test_no_page_is_read_before_the_client_takes_the_one_before(world: World, store: Store) -> None:
    """So a process holds one page of an export, however long the run and slow the client are."""
    run_id, counting = long_run(world.account()), CountingStore(store)
    app = app_over(cast("Store", counting))
    http = reader(app, store)

    async def ask() -> None:
        before = counting.blocks
        export = Download(app, http, f"/runs/{run_id}/export")
        await export.offered.wait()
        begun = counting.blocks - before
        assert await export.whole() == HTTPStatus.OK
        assert export.parts == 4  # the run, and three pages of its steps
        assert counting.blocks - before == begun + 3

    asyncio.run(ask())


def test_others_are_answered_between_the_pages(world: World, store: Store) -> None:
    """Also if one thread reads for all, as under heavy load."""
    run_id = long_run(world.account())
    executor = ThreadExecutor(1, 1)
    app = app_over(store, lambda: executor)
    mine, other = reader(app_over(store), store), reader(app_over(store), store)

    async def ask() -> None:
        export = Download(app, mine, f"/runs/{run_id}/export")
        await export.offered.wait()
        page = Download(app, other, "/runs")
        assert await page.whole() == HTTPStatus.OK
        assert not export.task.done()
        assert await export.whole() == HTTPStatus.OK
        assert len(export.body.splitlines()) == STEPS + 2

    try:
        asyncio.run(ask())
    finally:
        executor.close()


def test_a_session_has_one_export_at_a_time(world: World, store: Store) -> None:
    """The next one is rejected until the first has ended or its client is gone."""
    run_id = long_run(world.account())
    app = app_over(store)
    mine, other = reader(app, store), reader(app, store)
    path = f"/runs/{run_id}/export"

    async def ask() -> None:
        first = Download(app, mine, path)
        await first.offered.wait()
        second, others = Download(app, mine, path), Download(app, other, path)
        assert await second.whole() == HTTPStatus.TOO_MANY_REQUESTS
        assert b"export of this session is still being sent" in second.body
        assert await others.whole() == HTTPStatus.OK
        await first.leave()
        third = Download(app, mine, path)
        assert await third.whole() == HTTPStatus.OK
        assert await Download(app, mine, path).whole() == HTTPStatus.OK

    asyncio.run(ask())


def test_a_table_of_runs_is_sent_page_by_page(world: World, store: Store) -> None:
    """As an export of steps is."""
    api, counting = world.account(), CountingStore(store)
    ids = [api.instance()["id"] for _ in range(150)]
    app = app_over(cast("Store", counting))
    http = reader(app, store)

    async def ask() -> bytes:
        table = Download(app, http, "/runs.csv", "from=all")
        await table.take(1)
        begun = counting.blocks
        assert await table.whole() == HTTPStatus.OK
        assert counting.blocks > begun
        return table.body

    first, *lines = asyncio.run(ask()).splitlines()
    assert first.startswith(b"run,agent_id,agent,status,")
    assert sorted(line.partition(b",")[0].decode() for line in lines) == sorted(ids)


def test_an_export_that_cannot_go_on_says_so_in_its_last_line(world: World, store: Store) -> None:
    """As where the database does not answer meanwhile; with the step up to which it came."""
    run_id, counting = long_run(world.account()), CountingStore(store)
    app = app_over(cast("Store", counting))
    http = reader(app, store)

    async def ask() -> bytes:
        export = Download(app, http, f"/runs/{run_id}/export")
        await export.take(2)
        counting.is_gone = True
        await export.whole()
        return export.body

    *_, step, last = map(json.loads, asyncio.run(ask()).splitlines())
    assert last == {"type": "incomplete", "after": step["id"], "code": "unavailable"}
