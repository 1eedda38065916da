"""Where items can go: to the collector inside this process, or to a server."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final, TypeVar

from remit import config
from remit._clock import Clock, SystemClock
from remit._delivery import Client, without_credentials
from remit._endpoints import Call
from remit._spool import Folder, Identity
from remit.client._http import HttpClient
from remit.client._inprocess import InProcessTransport
from remit.errors import UnavailableError

T = TypeVar("T")

# The collector is an extra, so it is found by name: the one import that the floors do not see.
LOCAL_APP: Final = "remit.collector.local"
LOCAL_FILE: Final = "remit.db"
LOCAL_URL: Final = "http://remit.local"


class LocalClient:
    """A client of the collector inside this process; its database is opened at the first call.

    Attributes:
        in_process: True: it works with SQLite in a call.
    """

    in_process: bool = True

    def __init__(self, settings: config.Settings, clock: Clock) -> None:
        """Import the collector; keep what it needs."""
        self._local = importlib.import_module(LOCAL_APP)
        self._settings = settings
        self._clock = clock
        self._http: HttpClient | None = None

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

    def _open(self) -> HttpClient:
        folder = self._settings.data_dir
        try:
            app, token = self._local.open_app(folder)
        except (OSError, RuntimeError) as error:
            raise UnavailableError(
                f"{folder / LOCAL_FILE} cannot be opened: {error}. Mend the folder, or choose "
                "another with REMIT_DATA_DIR"
            ) from error
        return HttpClient(
            LOCAL_URL,
            token,
            transport=InProcessTransport(app),
            timeout_s=self._settings.request_timeout_s,
            clock=self._clock,
        )


class MissingCollector:
    """The client of local mode where the collector is not installed: nothing can be sent.

    Attributes:
        in_process: False: nothing works here.
    """

    in_process: bool = False

    def __init__(self, package: str, spool: Path) -> None:
        """Say what is missing, and where things wait meanwhile."""
        self._package = package
        self._spool = spool

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Send nothing.

        Raises:
            UnavailableError: Always.
        """
        del call, timeout_s
        raise UnavailableError(
            f"local mode needs the collector, and {self._package} is not installed: what is "
            f"recorded waits in {self._spool}. To look at it: pip install 'remit[collector]', "
            "`remit spool send`, `remit runs list`. Or set REMIT_API_URL and REMIT_API_TOKEN, or "
            "REMIT_MODE=off"
        )

    def close(self) -> None:
        """Do nothing: nothing is open."""


def make_client(settings: config.Settings, clock: Clock, spool: Path) -> Client:
    """Return what sends to where the settings say; what waits meanwhile is in *spool*."""
    if settings.resolved_mode != "local":
        return remote_client(settings, clock)
    try:
        return LocalClient(settings, clock)
    except ImportError as error:
        package = (error.name or str(error)).partition(".")[0]
        return MissingCollector(package, spool)


def spool_of(settings: config.Settings) -> Folder:
    """Return the folder of what was recorded for where the settings say, and for nowhere else."""
    token = settings.api_token
    if settings.resolved_mode == "local":
        identity = Identity.of("local", None)
    else:
        target = without_credentials(settings.api_url or "")
        identity = Identity.of(target, token.get_secret_value() if token is not None else None)
    return Folder(settings.data_dir, identity, settings.max_spool_bytes)


def check_target(settings: config.Settings) -> None:
    """Check the URL and the token before anything is sent with them; an absent URL is not wrong.

    Raises:
        SettingsError: One cannot be right. The message does not quote the token.
    """
    if settings.resolved_mode == "remote" and settings.api_url:
        remote_client(settings, SystemClock()).close()


def remote_client(settings: config.Settings, clock: Clock) -> HttpClient:
    """Return a client of the server that the settings name."""
    token = settings.api_token
    return HttpClient(
        settings.api_url or "",
        token.get_secret_value() if token is not None else None,
        transport=settings.transport,
        timeout_s=settings.request_timeout_s,
        clock=clock,
    )
