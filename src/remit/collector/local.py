"""Local mode: the collector inside the program that it records, behind no port.

The SDK calls it on its own threads (`remit.client._inprocess.InProcessTransport`). No other program
can reach it, so that no token is needed; several processes may share the directory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from remit._base.clock import SystemClock
from remit._base.files import make_private_folder
from remit.collector.api.dispatch import Request, Response, Service
from remit.collector.domain.context import Caller
from remit.collector.domain.places import prepare
from remit.collector.domain.tokens import TokenScope
from remit.collector.settings import Settings
from remit.collector.store.sqlite import SqliteStore
from remit.errors import SettingsError

FILE: Final = "remit.db"
TOKEN: Final = "local"  # noqa: S105 - it is not checked
CACHE_KIB: Final = 8 * 1024
"""Pages of the database in memory, in the program that it records."""
SETTINGS: Final = Settings(create_agents=True)


def open_app(data_dir: Path) -> tuple[Callable[..., Response], str]:
    """Return an app for the database in *data_dir*, and a token to call it with.

    Args:
        data_dir: The directory; it is created if it does not exist.

    Raises:
        OSError: The directory is open to other users, or the database there cannot be opened.
    """
    clock = SystemClock()
    try:
        make_private_folder(data_dir)
        store = SqliteStore(data_dir / FILE, cache_kib=CACHE_KIB)
    except SettingsError as error:
        raise OSError(str(error)) from error
    caller = Caller(prepare(store, clock).id, TokenScope.ACCOUNT)
    service = Service(store, SETTINGS, clock, caller=caller)

    def handle(*parts: Any) -> Response:  # noqa: ANN401 - the parts of `Request`, in order
        return service.dispatch(Request(*parts))

    return handle, TOKEN
