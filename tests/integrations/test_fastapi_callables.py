"""FastAPI: routes and dependencies of every kind, decorated, behave as the bare ones."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, TypeAlias

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

import remit
from remit.testing import RecordingSink, isolated
from tests.subtests import each

Anything: TypeAlias = Any


class Page(BaseModel):
    """A body."""

    text: str
    size: int = 1


@remit.agent
async def answer(question: str, page: int = 1) -> dict[str, object]:
    """Answer on a page."""
    return {"question": question, "page": page}


@remit.span_type
def sync_dependency(q: str = "none") -> str:
    """Return the query."""
    return q


@remit.span_type
async def async_dependency(x_key: Annotated[str, Header()] = "none") -> str:
    """Return a header."""
    return x_key


@remit.span_type
def yielding(q: str = "none") -> Iterator[str]:
    """Return the query, while the request lasts."""
    yield f"open {q}"


@remit.span_type
async def yielding_soon(q: str = "none") -> AsyncIterator[str]:
    """Return the query, while the request lasts."""
    yield f"open {q}"


class Checker:
    """A dependency that is an object."""

    def __init__(self, prefix: str) -> None:
        """Check with a prefix."""
        self.prefix = prefix

    def __call__(self, q: str = "none") -> str:
        """Return the query with the prefix."""
        return self.prefix + q


class AsyncChecker(Checker):
    """The same, awaited."""

    async def __call__(self, q: str = "none") -> str:  # type: ignore[override] # on purpose
        """Return the query with the prefix."""
        return self.prefix + q


class YieldingChecker(Checker):
    """The same, closed after the request."""

    async def __call__(self, q: str = "none") -> AsyncIterator[str]:  # type: ignore[override] # on purpose
        """Return the query with the prefix."""
        yield self.prefix + q


class Decorated(Checker):
    """The same, decorated inside."""

    @remit.span_type
    async def __call__(self, q: str = "none") -> str:  # type: ignore[override] # on purpose
        """Return the query with the prefix."""
        return self.prefix + q


class Paging:
    """A dependency that is a class."""

    @remit.span_type
    def __init__(self, q: str = "none") -> None:
        """Keep the query."""
        self.q = q


DEPENDENCIES: dict[str, tuple[Anything, str]] = {
    "sync": (sync_dependency, "a"),
    "async": (async_dependency, "none"),
    "yield": (yielding, "open a"),
    "async-yield": (yielding_soon, "open a"),
    "object": (remit.span_type(Checker("-")), "-a"),
    "async-object": (remit.span_type(AsyncChecker("-")), "-a"),
    "yielding-object": (remit.span_type(YieldingChecker("-")), "-a"),
    "decorated-call": (Decorated("-"), "-a"),
    "bound-method": (remit.span_type(Checker("-").__call__), "-a"),
}


@pytest.fixture(autouse=True)
def _nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing may be logged as an error."""
    yield
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def ask(app: FastAPI, method: str, url: str, **options: Anything) -> httpx.Response:
    """Send a request to an application in this process."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return await client.request(method, url, **options)


@each(
    ("dependency", "value"),
    list(DEPENDENCIES.values()),
    ids=list(DEPENDENCIES),
    recorder=isolated,
)
async def test_a_decorated_dependency_is_resolved_and_recorded(
    recorder: RecordingSink, dependency: Anything, value: str
) -> None:
    """By its own parameters, on a thread or in the loop as its kind says."""
    app = FastAPI()

    @app.get("/")
    async def route(found: str = Depends(dependency)) -> str:  # noqa: FAST002 - a local name
        return found

    with answer.run():
        response = await ask(app, "GET", "/", params={"q": "a"})
    assert response.json() == value
    (span,) = recorder.spans()
    assert span.status == "complete"
    assert set(span.payload or {}) <= {"q", "x_key"}


async def test_a_class_is_a_dependency_by_its_decorated_constructor(
    recorder: RecordingSink,
) -> None:
    """FastAPI reads the parameters of `__init__` through the wrapper."""
    app = FastAPI()

    @app.get("/")
    async def route(found: Annotated[Paging, Depends()]) -> str:
        return found.q

    with answer.run():
        response = await ask(app, "GET", "/", params={"q": "a"})
    assert response.json() == "a"
    assert recorder.spans()[0].payload == {"q": "a"}


async def test_an_agent_is_a_route(recorder: RecordingSink) -> None:
    """Each request is a run; validation and the OpenAPI document are those of the function."""
    app = FastAPI()
    app.get("/answer")(answer)
    good = await ask(app, "GET", "/answer", params={"question": "where", "page": 2})
    bad = await ask(app, "GET", "/answer", params={"page": "x"})
    assert good.json() == {"question": "where", "page": 2}
    assert bad.status_code == 422
    assert [run.status for run in recorder.runs] == ["complete"]
    operation = app.openapi()["paths"]["/answer"]["get"]
    assert [each["name"] for each in operation["parameters"]] == ["question", "page"]
    assert operation["description"] == "Answer on a page."


async def test_routes_with_bodies_and_failures(recorder: RecordingSink) -> None:
    """Models are validated before the call; an `HTTPException` keeps its status."""
    router = APIRouter()

    @router.post("/pages")
    @remit.agent("Pages")
    def store(page: Page, tasks: BackgroundTasks) -> Page:
        tasks.add_task(sync_dependency, "later")
        if not page.text:
            raise HTTPException(418, "empty")
        return page

    app = FastAPI()
    app.include_router(router)
    good = await ask(app, "POST", "/pages", json={"text": "a"})
    bad = await ask(app, "POST", "/pages", json={"text": ""})
    assert (good.json(), bad.status_code) == ({"text": "a", "size": 1}, 418)
    assert [run.status for run in recorder.runs] == ["complete", "failed"]
    assert (recorder.spans("store")[0].payload or {})["page"] == {"text": "a", "size": 1}


async def test_a_method_is_a_route(recorder: RecordingSink) -> None:
    """A bound method, as class-based applications register it."""

    class Desk:
        def __init__(self) -> None:
            self.app = FastAPI()
            self.app.get("/")(self.ask)

        @remit.agent
        async def ask(self, q: str) -> str:
            return q

    response = await ask(Desk().app, "GET", "/", params={"q": "a"})
    assert response.json() == "a"
    assert recorder.spans()[0].payload == {"q": "a"}


def test_fastapi_is_told_the_kind_of_an_object() -> None:
    """It asks `__call__`, because an object is no coroutine function itself."""
    assert inspect.iscoroutinefunction(DEPENDENCIES["async-object"][0].__call__)
    assert inspect.isasyncgenfunction(DEPENDENCIES["yielding-object"][0].__call__)
