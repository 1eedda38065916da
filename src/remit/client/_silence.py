"""Keeps remit's own requests out of the host's log: httpx tells each one at level INFO.

Only requests made within `silence()` on this thread are left out; the host's own stay.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

HTTPX_LOGGER: Final = "httpx"


class _Here(threading.local):
    """Whether this thread makes a request of remit's."""

    silent = False


_here: Final = _Here()


def _is_theirs(record: logging.LogRecord) -> bool:
    """Return whether a record of httpx's tells of a request of the host's."""
    del record
    return not _here.silent


@contextmanager
def silence() -> Generator[None]:
    """Leave the requests made in this block, on this thread, out of httpx's log."""
    # A filter is added once: the logger knows it already, by equality, every other time.
    logging.getLogger(HTTPX_LOGGER).addFilter(_is_theirs)
    before, _here.silent = _here.silent, True
    try:
        yield
    finally:
        _here.silent = before
