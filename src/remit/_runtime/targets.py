"""Clients of the target: a server, or the collector inside this process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from remit import config
from remit._base.clock import Clock, SystemClock
from remit._base.text import install_extra
from remit._declare.registry import Registry
from remit._deliver.calls import Client
from remit._deliver.circuit import without_credentials
from remit._deliver.spool.folder import Folder, Identity
from remit._record.items import Sink
from remit.client._approver import ServerApprover
from remit.client._http import AsyncHttpClient, HttpClient
from remit.client._inprocess import InProcessTransport
from remit.client.endpoints.endpoint import Call
from remit.errors import DeclarationError, SettingsError, UnavailableError

T = TypeVar("T")

# Imported by name, because the collector is an optional extra.
LOCAL_APP: Final = "remit.collector.local"
# Imported by name, because OpenTelemetry is an optional extra.
EXPORT: Final = "remit.otel.export"
LOCAL_FILE: Final = "remit.db"
LOCAL_URL: Final = "http://remit.local"


def make_client(settings: config.Settings, clock: Clock, spool: Path) -> Client:
    """Return the client for the settings; *spool* is where items wait meanwhile."""
    if settings.resolved_mode == "local":
        return LocalClient(settings, clock, spool)
    return remote_client(settings, clock)


def remote_client(settings: config.Settings, clock: Clock) -> HttpClient:
    """Return a client of the server in the settings."""
    token = settings.api_token
    return HttpClient(
        settings.api_url or "",
        token.get_secret_value() if token is not None else None,
        transport=settings.transport,
        timeout_s=settings.request_timeout_s,
        clock=clock,
    )


def make_approver(settings: config.Settings, clock: Clock, spool: Path) -> ServerApprover:
    """Return an approver that asks the server in the settings, or the collector in this process."""
    client = make_client(settings, clock, spool)
    if settings.resolved_mode == "local" or settings.transport is not None:
        return ServerApprover(client, clock=clock)
    token = settings.api_token
    secret = token.get_secret_value() if token is not None else None
    return ServerApprover(
        client, partial(AsyncHttpClient, settings.api_url or "", secret), clock=clock
    )


class LocalClient:
    """A client of the collector inside this process; the first call opens the database.

    Attributes:
        holds_locks: True, because a call works with SQLite.
    """

    holds_locks: bool = True

    def __init__(self, settings: config.Settings, clock: Clock, spool: Path) -> None:
        """Import the collector, because background threads import nothing."""
        self._settings = settings
        self._clock = clock
        self._spool = spool
        self._http: HttpClient | None = None
        self._local: Any = None
        self._missing = ""
        try:
            self._local = importlib.import_module(LOCAL_APP)
        except ImportError as error:
            self._missing = (error.name or str(error)).partition(".")[0]

    @property
    def hold_number(self) -> int | None:
        """Number of the holds in the last answer that had one; None before."""
        return None if self._http is None else self._http.hold_number

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return the answer of the collector.

        Raises:
            ApiError: The collector rejects or is not installed, or its database cannot be opened.
        """
        if self._http is None:
            self._http = self._open()
        return self._http.send(call, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections; the last one closes the database."""
        if self._http is not None:
            self._http.close()

    def _open(self) -> HttpClient:
        if self._local is None:
            raise UnavailableError(
                f"local mode needs the collector, and {self._missing} is not installed: "
                f"recorded data waits in {self._spool}. To read it, {install_extra('collector')}; "
                "then run `remit spool send` and `remit runs list`. Or set REMIT_API_URL and "
                "REMIT_API_TOKEN, or REMIT_MODE=off"
            )
        folder = self._settings.data_dir
        try:
            app, token = self._local.open_app(folder)
        except (OSError, RuntimeError) as error:
            raise UnavailableError(
                f"{folder / LOCAL_FILE} cannot be opened: {error}. Or choose another directory "
                "with REMIT_DATA_DIR"
            ) from error
        return HttpClient(
            LOCAL_URL,
            token,
            transport=InProcessTransport(app),
            timeout_s=self._settings.request_timeout_s,
            clock=self._clock,
        )


class Export(Sink, Protocol):
    """A sink that also hands each ended span to a span processor."""

    def begin_flush(self, timeout_s: float) -> Callable[[float], None]:
        """Begin to flush the span processor; return a function that waits for the flush."""
        ...


def make_export(processor: object, sink: Sink, registry: Registry) -> Export:
    """Return a sink that passes items to *sink*, and ended spans to an OpenTelemetry processor.

    Raises:
        DeclarationError: OpenTelemetry is not installed.
    """
    export: Export = importlib.import_module(EXPORT).ExportSink(processor, sink, registry)
    return export


def spool_of(settings: config.Settings) -> Folder:
    """Return the spool folder of the target in the settings."""
    token = settings.api_token
    if settings.resolved_mode == "local":
        identity = Identity.of("local", None)
    else:
        target = without_credentials(settings.api_url or "")
        identity = Identity.of(target, token.get_secret_value() if token is not None else None)
    return Folder(settings.data_dir, identity, settings.max_spool_bytes)


def check_target(settings: config.Settings) -> None:
    """Check the URL, if there is one, and the token before they are used; import the export.

    Raises:
        SettingsError: One is not valid, or OpenTelemetry is not installed. The message does not
            quote the token.
    """
    if settings.span_processor is not None:
        try:
            importlib.import_module(EXPORT)
        except DeclarationError as error:
            raise SettingsError(f"setting span_processor: {error}") from error
    if settings.resolved_mode == "remote" and settings.api_url:
        remote_client(settings, SystemClock()).close()
