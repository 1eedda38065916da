"""The access log: one JSON object a line, without queries, tokens and payloads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from remit._base.files import PRIVATE_FILE, refuse_link
from remit._base.guard import logger

_STREAMS: Final = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
"""Descriptors by name. The devices are symbolic links, which are not followed otherwise."""


class AccessLog:
    """A file to which each request adds a line; several processes may write it."""

    def __init__(self, target: str) -> None:
        """Open *target*: a path, `/dev/stdout`, `/dev/stderr`, or `-` for standard output.

        Raises:
            OSError: It cannot be written.
        """
        self._own = target not in _STREAMS
        if self._own:
            refuse_link(Path(target))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            self._descriptor = os.open(target, flags, PRIVATE_FILE)
        else:
            self._descriptor = _STREAMS[target]
        self._failed = False

    def write(self, entry: Mapping[str, object]) -> None:
        """Add a line; one that cannot be written is left out, which is said once."""
        try:
            # One call, so that the lines of several processes do not mix.
            os.write(self._descriptor, msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            if not self._failed:
                logger.warning("the access log cannot be written: %s", error)
            self._failed = True
        else:
            self._failed = False

    def close(self) -> None:
        """Close the file."""
        if self._own:
            os.close(self._descriptor)
