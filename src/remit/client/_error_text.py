"""The sentences that say why there is no answer: what was seen, and what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final, cast

MAX_REASON_CHARS: Final = 200

NO_CONNECTION: Final = (
    "no connection to {place} within {timeout_s:g} s. Check the host and the port of the api_url, "
    "whether it is http or https, and whether a firewall swallows the connection"
)
NOT_READY: Final = (
    "a connection to {place} cannot be prepared ({reason}). Check SSL_CERT_FILE and SSL_CERT_DIR "
    "where they are set, and how many files this process may open"
)
NO_ANSWER: Final = (
    "no answer from {place} within {timeout_s:g} s. It may work later, or with a longer "
    "timeout (request_timeout_s); if it never does, check the api_url"
)
NO_HTTP: Final = (
    "{place} broke off, or does not speak HTTP ({reason}). Check the port of the api_url, and "
    "whether it is http or https"
)
PROXY: Final = "the proxy refused ({reason}). Check HTTPS_PROXY and HTTP_PROXY"
NO_PROXY: Final = (
    "the proxy {place} cannot be used ({reason}). Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; "
    "NO_PROXY names hosts that need none"
)
BROKEN: Final = (
    "the connection to {place} broke ({reason}). It may work later; if it never does, check "
    "whether the api_url is http or https"
)
NOT_PACKED: Final = "the answer of {place} cannot be decompressed ({reason}). Check the api_url"

NO_NAME: Final = (
    "the host name of {place} is not known. Check its spelling in the api_url, and the network"
)
UNTRUSTED: Final = (
    "the TLS certificate of {place} is not trusted ({reason}). Check the host of the api_url; "
    "for an authority of your own set SSL_CERT_FILE"
)
NO_TLS: Final = (
    "no TLS with {place} ({reason}). Check the port of the api_url, and whether it speaks https "
    "at all"
)
REFUSED: Final = (
    "{place} refused the connection: nothing listens there. Start the server, or check the host "
    "and the port of the api_url"
)
UNREACHABLE: Final = (
    "{place} cannot be reached ({reason}). Check the host and the port of the api_url, and the "
    "network"
)

OF_THE_WAY: Final = (NO_NAME, REFUSED, UNREACHABLE, NO_CONNECTION)
"""If a proxy is in use, these are about the proxy and not about the server."""


def sentence(template: str, error: BaseException, *, place: str, timeout_s: float) -> str:
    """Return *template* filled in.

    Args:
        template: One of this module's.
        error: What was raised; its text is bounded and put on one line.
        place: Host and port.
        timeout_s: Seconds that were allowed.
    """
    text = str(error)[:MAX_REASON_CHARS]
    reason = "".join(char if char.isprintable() else " " for char in text)
    return template.format(
        place=place, timeout_s=round(timeout_s, 2), reason=reason or type(error).__name__
    )


def unconnected(error: BaseException) -> tuple[str, BaseException]:
    """Return why no connection came about: the template, and the error that tells most.

    Args:
        error: What httpx raised; the system's error is among its causes.
    """
    causes = list(_causes(error))
    for kind, template in (
        (socket.gaierror, NO_NAME),
        (ssl.SSLCertVerificationError, UNTRUSTED),
        (ssl.SSLError, NO_TLS),
        (ConnectionRefusedError, REFUSED),
    ):
        for cause in causes:
            if isinstance(cause, kind):
                return template, cause
    return UNREACHABLE, error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, what caused it, and the members of groups on the way."""
    yield error
    inner = [error.__cause__ or error.__context__]
    if isinstance(error, BaseExceptionGroup):
        inner.extend(cast("BaseExceptionGroup[BaseException]", error).exceptions)
    for cause in inner:
        if cause is not None:
            yield from _causes(cause)
