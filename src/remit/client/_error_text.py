"""Error messages for a request without a response: what was seen, and what to do."""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Iterator
from typing import Final, cast

from remit.client._library import error_types

MAX_REASON_CHARS: Final = 200

NO_CONNECTION: Final = (
    "no connection to {place} within {timeout_s:g} s. Check the host and the port of the api_url, "
    "whether it is http or https, and whether a firewall drops the connection"
)
NOT_READY: Final = (
    "a connection to {place} cannot be prepared ({reason}). Check SSL_CERT_FILE and SSL_CERT_DIR "
    "where they are set, and how many files this process may open"
)
NO_RESPONSE: Final = (
    "no response from {place} within {timeout_s:g} s. It may work later, or with a longer "
    "timeout (request_timeout_s); if it never does, check the api_url"
)
NO_HTTP: Final = (
    "{place} broke off, or does not use HTTP ({reason}). Check the port of the api_url, and "
    "whether it is http or https"
)
PROXY: Final = "the proxy rejected the request ({reason}). Check HTTPS_PROXY and HTTP_PROXY"
NO_PROXY: Final = (
    "the proxy {place} cannot be used ({reason}). Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; "
    "NO_PROXY lists hosts that need none"
)
BROKEN: Final = (
    "the connection to {place} broke ({reason}). It may work later; if it never does, check "
    "whether the api_url is http or https"
)
NOT_PACKED: Final = "the response of {place} cannot be decompressed ({reason}). Check the api_url"

NO_NAME: Final = (
    "the host name of {place} is unknown. Check its spelling in the api_url, and the network"
)
UNTRUSTED: Final = (
    "the TLS certificate of {place} is not trusted ({reason}). Check the host of the api_url; "
    "for an authority of your own set SSL_CERT_FILE"
)
NO_TLS: Final = (
    "no TLS with {place} ({reason}). Check the port of the api_url, and whether it supports https"
)
TLS_REFUSED: Final = (
    "{place} refused the TLS connection ({reason}). If it requires a client certificate, pass one "
    "by transport=httpx.HTTPTransport(verify=context); else check the host and port of the api_url"
)
REFUSED: Final = (
    "{place} refused the connection: nothing listens there. Start the server, or check the host "
    "and the port of the api_url"
)
UNREACHABLE: Final = (
    "{place} cannot be reached ({reason}). Check the host and the port of the api_url, and the "
    "network"
)

TEMPLATES: Final = (
    (("ConnectTimeout",), NO_CONNECTION),
    (("RemoteProtocolError",), NO_HTTP),
    (("ProxyError",), PROXY),
    (("TimeoutException", TimeoutError), NO_RESPONSE),
    (("DecodingError", zlib.error), NOT_PACKED),
    # Before a connection: the certificates of this machine, or the proxy's URL.
    ((OSError,), NOT_READY),
    (("InvalidURL", ImportError, ValueError), NO_PROXY),
)
"""By types of error, the first match wins; a string is the name of a type of httpx."""
CONNECT_TEMPLATES: Final = (
    (socket.gaierror, NO_NAME),
    (ssl.SSLCertVerificationError, UNTRUSTED),
    (ssl.SSLError, NO_TLS),
    (ConnectionRefusedError, REFUSED),
)
"""The same for httpx's `ConnectError`, by the system errors among its causes."""
TLS_ALERT: Final = "_ALERT_"
"""Part of the message if a TLS alert of the server ended the connection; from OpenSSL's names."""
PROXY_TEMPLATES: Final = (NO_NAME, REFUSED, UNREACHABLE, NO_CONNECTION, NO_PROXY)
"""If a proxy is in use, these are about the proxy."""


def describe(error: Exception, *, place: str, timeout_s: float, proxy: str | None) -> str:
    """Return the message for an error in place of a response.

    Args:
        error: Its message is bounded and put on one line.
        place: Host and port.
        timeout_s: The timeout that passed.
        proxy: URL of the proxy in use; its user and password are not shown.
    """
    template, cause = _template(error)
    if proxy is not None and template in PROXY_TEMPLATES:
        template, place = NO_PROXY, proxy.rpartition("@")[2]
    text = str(cause)[:MAX_REASON_CHARS]
    reason = "".join(char if char.isprintable() else " " for char in text)
    return template.format(
        place=place, timeout_s=round(timeout_s, 2), reason=reason or type(cause).__name__
    )


def _template(error: Exception) -> tuple[str, BaseException]:
    """Return the template for *error*, and the most specific error among its causes."""
    causes = list(_causes(error))
    for cause in causes:
        # With TLS 1.3, the alert about a missing certificate arrives with the response.
        if isinstance(cause, ssl.SSLError) and TLS_ALERT in str(cause):
            return TLS_REFUSED, cause
    if isinstance(error, error_types("ConnectError")):
        for kind, template in CONNECT_TEMPLATES:
            for cause in causes:
                if isinstance(cause, kind):
                    return template, cause
        return UNREACHABLE, error
    for kinds, template in TEMPLATES:
        if isinstance(error, error_types(*kinds)):
            return template, error
    return BROKEN, error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, its causes, and the members of groups among them."""
    yield error
    inner = [error.__cause__ or error.__context__]
    if isinstance(error, BaseExceptionGroup):
        inner.extend(cast("BaseExceptionGroup[BaseException]", error).exceptions)
    for cause in inner:
        if cause is not None:
            yield from _causes(cause)
