"""Where items can go: nowhere, to the collector inside this process, or to a server."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Final, TypeVar

from remit import config
from remit._clock import Clock
from remit._endpoints import Call
from remit._sink import AnyItem, RunFeed, SpanStart
from remit.client._http import Http, InProcessTransport
from remit.errors import UnavailableError

T = TypeVar("T")

# The collector is an extra, so it is found by name: the one import that the floors do not see.
LOCAL_APP: Final = "remit.collector.local"
LOCAL_FILE: Final = "remit.db"
LOCAL_NEEDS: Final = ("starlette",)
LOCAL_URL: Final = "http://remit.local"


class NoSink:
    """Takes everything and keeps nothing; the sink of mode `off`."""

    def open_run(self, item: AnyItem, feed: RunFeed) -> None:
        """Forget it."""

    def start_span(self, start: SpanStart) -> None:
        """Forget it."""

    def end_span(
        self, start: SpanStart, finished_ns: int, status: str, result: bytes | None
    ) -> None:
        """Forget it."""

    def put(self, item: AnyItem) -> None:
        """Forget it."""


class LocalDoor:
    """A client of the collector inside this process; its database is opened at the first call."""

    def __init__(self, settings: config.Settings, clock: Clock) -> None:
        """Keep what the collector will need."""
        self._settings = settings
        self._clock = clock
        self._http: Http | None = None

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return what the collector answers.

        Raises:
            ApiError: It refuses, or its database cannot be opened.
        """
        if self._http is None:
            self._http = self._open()
        return self._http.send(call, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections; the database is closed with its last one."""
        if self._http is not None:
            self._http.close()

    def _open(self) -> Http:
        local = importlib.import_module(LOCAL_APP)
        folder = self._settings.data_dir
        try:
            app, token = local.open_app(folder)
        except (OSError, RuntimeError) as error:
            raise UnavailableError(
                f"{folder / LOCAL_FILE} cannot be opened: {error}. Mend the folder, or choose "
                "another with REMIT_DATA_DIR"
            ) from error
        return Http(
            LOCAL_URL,
            token,
            transport=InProcessTransport(app),
            timeout_s=self._settings.request_timeout_s,
            clock=self._clock,
        )


def missing_for_local() -> str | None:
    """Return the first package that the collector needs and that is not installed."""
    return next((name for name in LOCAL_NEEDS if importlib.util.find_spec(name) is None), None)


def remote_door(settings: config.Settings, clock: Clock) -> Http:
    """Return a client of the server that the settings name."""
    token = settings.api_token
    return Http(
        settings.api_url or "",
        token.get_secret_value() if token is not None else None,
        transport=settings.transport,
        timeout_s=settings.request_timeout_s,
        clock=clock,
    )
