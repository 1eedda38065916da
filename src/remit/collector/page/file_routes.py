"""A run as one HTML file below `/api/remit/v1`, for a request with a token instead of a session."""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from remit._base.clock import Clock
from remit.collector.api import CALLER, OWN_PREFIX, ROUTE, UNAVAILABLE, Executor, Service
from remit.collector.domain.params import check_names
from remit.collector.page.run_file import HTML, RunFiles
from remit.collector.page.shell import HEADERS
from remit.collector.store.base import Store, StoreUnavailableError

FILE: Final = f"{OWN_PREFIX}/runs/{{id}}/file"
VALUES: Final = f"{FILE}/values"


def file_routes(service: Service, store: Store, executor: Executor, clock: Clock) -> list[Route]:
    """Return the routes that answer a run as one HTML file, without values and with them.

    Args:
        service: The collector.
        store: Its database.
        executor: Runs what may use the database.
        clock: Source of the time.
    """
    files = RunFiles(service, store, clock)

    def read(request: Request, *, values: bool) -> bytes:
        caller = service.authenticate(request.headers.get("authorization", ""))
        request.scope[CALLER] = caller
        check_names(request.query_params, ())
        return files.html(caller, request.path_params["id"], values=values)

    async def answer(route: str, request: Request) -> Response:
        request.scope[ROUTE] = route
        try:
            html = await executor.run(partial(read, request, values=route == VALUES))
        except StoreUnavailableError as error:
            raise UNAVAILABLE from error
        name = f'attachment; filename="{request.path_params["id"]}.html"'
        return Response(
            html, headers={**HEADERS, "content-type": HTML, "content-disposition": name}
        )

    return [Route(path, partial(answer, path), methods=["GET"]) for path in (FILE, VALUES)]
