"""A collector on a port of this process, for programs in processes of their own."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remit.collector import create_token, open_store
from tests.collecting import Api, World, on_a_port


@dataclass(frozen=True)
class Served:
    """A collector that is being served.

    Attributes:
        url: Where.
        token: A token of its account.
        api: A view of it, without the port.
    """

    url: str
    token: str
    api: Api


@contextmanager
def collector(folder: Path) -> Generator[Served]:
    """Serve a collector over an empty store in *folder*."""
    store = open_store(folder / "remit.db")
    world = World(store)
    token = create_token(store, "account", clock=world.clock).secret
    with on_a_port(world.app) as url:
        yield Served(url, token, world.account())
    store.close()


PATIENCE: Final = {"REMIT_EXIT_TIMEOUT_S": "60"}
"""Environment of a program that delivers at its exit: the default is short on a busy machine."""


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a program that keeps its files in *folder*."""
    return {**os.environ, "REMIT_DATA_DIR": str(folder / "data")}
