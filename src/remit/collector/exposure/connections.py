"""Connections that are slow, too many, or say too much before they say anything.

The server underneath knows no limit for a request's head and none for the time that it takes.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from remit.collector.refusals import Refusal, malformed
from remit.collector.routes import RETRY_AFTER_S
from remit.collector.settings import Settings
from remit.collector.views import error_answer

LINGER_S: Final = 1.0
"""Who was refused may still send for so long; it is thrown away."""
CROWDED_S: Final = 1.0
"""A connection that is one too many has so long to ask something, to be told so."""
TOO_SLOW: Final = Refusal(
    HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "the request did not come whole in time"
)
TOO_MANY: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable",
    "the collector has too many connections: try again later",
    headers={"Retry-After": str(RETRY_AFTER_S)},
)


class Connection(HttpToolsProtocol):
    """One connection, within the limits of a collector."""

    settings: ClassVar[Settings] = Settings()

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Begin with nothing received."""
        super().__init__(*args, **kwargs)
        # Everybody can make it warn that a request was none, as often as he likes.
        self.logger = self.logger.getChild("connections")
        self.logger.setLevel(logging.ERROR)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._moved = False
        self._head_bytes = 0
        self._refused = False
        self._crowded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Give the first head its time, unless there are too many already."""
        super().connection_made(transport)
        there, most = len(self.connections), self.settings.max_connections
        self._crowded = there > most
        if there > 2 * most:
            self._refused = True
            transport.abort()
        elif self._crowded:
            self._start(CROWDED_S, TOO_MANY)
        else:
            self._start(self.settings.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is the head of one request without an end."""
        if self._refused:
            return
        if self._timer is None:
            self._start(self.settings.head_timeout_s)
        self._moved = False
        super().data_received(data)
        if self._in_head and not self._moved:
            self._head_bytes += len(data)
            self._check_head(self._head_bytes, 0)

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._moved = self._in_head = True
        self._head_bytes = 0
        if self._timer is None:
            self._start(self.settings.head_timeout_s)

    def on_headers_complete(self) -> None:
        """Let a head through that is within the limits, and give the body its time."""
        self._moved = True
        if self._crowded:
            self._refuse(TOO_MANY)
        said = sum(len(name) + len(value) for name, value in self.headers)
        self._check_head(len(self.url) + said, len(self.headers))
        if not self._refused:
            self._start(self.settings.body_timeout_s)
            super().on_headers_complete()
            # Not before: a target that is none is found there, and answered as a head.
            self._in_head = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop waiting."""
        if not self._refused:
            self._stop()
            self._moved = self._in_head = True
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, as everything else is answered."""
        del msg
        self._refuse(malformed("this is no HTTP request"))

    def _check_head(self, size: int, headers: int) -> None:
        if size > self.settings.max_header_bytes:
            self._refuse(_too_much(f"more than {self.settings.max_header_bytes} bytes"))
        elif headers > self.settings.max_headers:
            self._refuse(_too_much(f"more than {self.settings.max_headers} headers"))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, unless an answer is under way, and close."""
        if self._refused:
            return
        self._refused = True
        self._stop()
        if self.transport.is_closing():
            return
        if not self._may_answer():
            self.transport.close()
            return
        self._write(refusal)
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        # To close while more is coming would take the answer away from who still sends.
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _may_answer(self) -> bool:
        """Return whether what is written now is read as the answer to what is refused."""
        if self._in_head:
            last = cast("RequestResponseCycle | None", self.cycle)
            return last is None or last.response_complete
        return not self.pipeline and not self.cycle.response_started

    def _write(self, refusal: Refusal) -> None:
        body = error_answer(refusal)
        status = HTTPStatus(refusal.status)
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *(f"{name.lower()}: {value}" for name, value in (refusal.headers or {}).items()),
            "connection: close",
        )
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def _start(self, timeout_s: float, refusal: Refusal = TOO_SLOW) -> None:
        self._stop()
        self._timer = self.loop.call_later(timeout_s, self._refuse, refusal)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def connections_within(limits: Settings) -> type[Connection]:
    """Return the class of connections with these limits."""

    class Limited(Connection):
        settings = limits

    return Limited


def _too_much(what: str) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        f"the head of the request has {what}",
    )
