"""The access log: one JSON object a line, without queries, tokens and payloads."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from logging.handlers import WatchedFileHandler
from pathlib import Path

import msgspec

from remit._base.files import make_private_file, reject_link
from remit._base.guard import logger


class AccessLog:
    """Writes a line for each request; several processes may write to one file."""

    def __init__(self, target: str) -> None:
        """Open *target*: a path, `/dev/stdout`, `/dev/stderr`, or `-` for standard output.

        Raises:
            OSError: The file cannot be written, or is a symbolic link.
        """
        self._handler: logging.Handler
        # The devices are symbolic links, which are not followed otherwise.
        if target in {"-", "/dev/stdout"}:
            self._handler = logging.StreamHandler(sys.stdout)
        elif target == "/dev/stderr":
            self._handler = logging.StreamHandler(sys.stderr)
        else:
            self._handler = _PrivateFileHandler(Path(target))
        self._handler.setFormatter(_JsonFormatter())

    def write(self, entry: Mapping[str, object]) -> None:
        """Add a line."""
        self._handler.handle(logging.makeLogRecord({"msg": entry}))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return msgspec.json.encode(record.msg).decode()


class _PrivateFileHandler(WatchedFileHandler):
    """Appends to a file that only its owner may read, and reopens it after a rotation."""

    def __init__(self, path: Path) -> None:
        self._failed = False
        reject_link(path)
        make_private_file(path)
        super().__init__(path, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; a record that cannot be written is dropped, which is logged once."""
        try:
            path = Path(self.baseFilename)
            reject_link(path)
            make_private_file(path)
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name of `logging`
        del record
        if not self._failed:
            logger.warning("the access log cannot be written: %s", sys.exc_info()[1])
        self._failed = True
