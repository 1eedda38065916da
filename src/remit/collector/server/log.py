"""The log of a server: lines on standard error, with time, level and logger."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec
from typing_extensions import override

from remit._base.clock import NS_PER_S, iso8601
from remit._base.guard import logger
from remit._base.text import printable

LEVELS: Final = ("debug", "info", "warning", "error")
INFO: Final = "info"


class LogFormat(StrEnum):
    """How the lines are written."""

    TEXT = "text"
    """`2026-12-01T09:30:00.000Z INFO remit: message`."""
    JSON = "json"
    """One object a line."""


def start_logging(log_format: str, level: str) -> Callable[[], None]:
    """Write what this process logs to standard error, from *level* on; return what ends it.

    Of other libraries than remit and uvicorn only warnings are written.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if log_format == LogFormat.JSON else _TextFormatter())
    before = logger.level
    logging.root.addHandler(handler)
    logger.setLevel(level.upper())

    def end() -> None:
        logging.root.removeHandler(handler)
        logger.setLevel(before)

    return end


def level_of_uvicorn(level: str) -> str:
    """Return the level of uvicorn's own lines; any client can cause warnings, in any number."""
    return level if level == "debug" else "error"


def _time(record: logging.LogRecord) -> str:
    return iso8601(int(record.created * NS_PER_S))[:-4] + "Z"


class _TextFormatter(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        message = printable(record.getMessage())
        line = f"{_time(record)} {record.levelname} {record.name}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _JsonFormatter(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": os.getpid(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()
