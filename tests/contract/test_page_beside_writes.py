"""Pages are read on threads of their own: what they read holds up nothing that is recorded."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from threading import Barrier, Event
from typing import Any, Final, cast

from remit.collector import Store, create_token
from tests.collecting import Api, World, on_a_port
from tests.inside import SystemClock, httpx
from tests.inside_collector import ThreadExecutor, Transaction, create_app
from tests.signing_in import NAME, SAME_SITE, cookie_of

READERS: Final = 3
SPANS: Final = 100
WAIT_S: Final = 30.0


class HeldStore:
    """A store that can block its readers until they are released."""

    def __init__(self, store: Store) -> None:
        """Read from *store*."""
        self._store = store
        self._held = 0
        self.together = Barrier(READERS + 1)
        self.released = Event()

    def __getattr__(self, name: str) -> Any:
        """Return a part of the store."""
        return getattr(self._store, name)

    def hold(self) -> None:
        """Hold the next readers."""
        self._held = READERS

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """Return a block that reads."""
        if self._held:
            self._held -= 1
            self.together.wait(WAIT_S)
            assert self.released.wait(WAIT_S)
        with self._store.reading() as tx:
            yield tx


def test_pages_that_wait_for_the_database_hold_up_no_spans(store: Store) -> None:
    """Three pages wait; a bulk of spans is recorded meanwhile, and the pages come afterwards."""
    held = HeldStore(store)
    executor = ThreadExecutor(1, READERS)
    api = World(store).account()
    run = api.instance()["id"]
    token = create_token(store, "account", name=NAME, clock=SystemClock()).secret
    app = create_app(cast("Store", held), executor=executor, page_hosts=())
    headers = {"Authorization": f"Bearer {token}"}
    with (
        on_a_port(app) as url,
        ThreadPoolExecutor(READERS) as readers,
        httpx.Client(base_url=url, headers=headers, timeout=WAIT_S) as client,
    ):
        name, _, value = cookie_of(
            httpx.post(f"{url}/sign-in", data={"secret": token}, headers=SAME_SITE, timeout=60)
        )
        cookie = {"Cookie": f"{name}={value}"}
        held.hold()
        paths = ("/runs", f"/runs/{run}", f"/runs/{run}/outline")
        pages = [
            readers.submit(httpx.get, url + path, headers=cookie, timeout=WAIT_S) for path in paths
        ]
        try:
            held.together.wait(WAIT_S)
            item = {"_type": "agent_spans/create", **api.span_body(run)}
            outputs = Api(client).bulk(*[item] * SPANS)
            assert not any(page.done() for page in pages)
        finally:
            held.released.set()
        assert [output["status"] for output in outputs.values()] == ["success"] * SPANS
        assert [page.result().status_code for page in pages] == [HTTPStatus.OK] * READERS
    executor.close()
