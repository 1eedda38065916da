"""Checks of a request to a page: its host, its origin."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request

from remit.collector.errors import RequestError, forbidden

SIGN_IN: Final = "/sign-in"
_SAME: Final = "same-origin"


def check_host(request: Request, names: tuple[str, ...]) -> None:
    """Reject a host name that a site on the internet may have (DNS rebinding).

    The names of this server with a dot in them are *names*.

    Raises:
        RequestError: 421.
    """
    name = host_name(request.headers.get("host", ""))
    if not is_own_name(name) and name not in map(str.lower, names):
        raise RequestError(
            HTTPStatus.MISDIRECTED_REQUEST,
            "misdirected_request",
            f"this server does not accept the host name {name or '(none)'}: start it "
            f"with --page-host {name or 'NAME'}",
        )


def check_origin(request: Request) -> None:
    """Reject a change that a page of another site asks for.

    Raises:
        RequestError: 403.
    """
    site = request.headers.get("sec-fetch-site")
    origin = urlsplit(request.headers.get("origin", "")).netloc
    own = origin == request.headers.get("host") if site is None else site == _SAME
    if not own:
        raise forbidden("this request came from a page of another site")


def cookie_name(request: HTTPConnection) -> str:
    """Return the name of the session's cookie: cookies do not distinguish ports.

    Over HTTP it is a cookie without `Secure`, and thus without the prefix: Safari drops secure
    ones there, also on this machine.
    """
    try:
        port = request.url.port
    except ValueError:
        port = None
    if is_secure(request):
        return f"__Host-remit_{port or 443}"
    return f"remit_{port or 80}"


def is_secure(request: HTTPConnection) -> bool:
    """Return whether the browser reaches the page over TLS."""
    return request.url.scheme == "https"


def can_sign_in(request: Request) -> bool:
    """Return whether a token and a session travel here safely: over TLS, or on this machine."""
    name = host_name(request.headers.get("host", ""))
    return is_secure(request) or _is_loopback(name)


def is_own_name(name: str) -> bool:
    """Return whether *name* is an address, or a name that no site on the internet can have."""
    if name and ("." not in name or name.endswith(".localhost")):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def host_name(host: str) -> str:
    """Return the name in a `Host` header, empty if it is not valid."""
    try:
        parts = urlsplit(f"//{host}")
        # It raises for a port that is none.
        return "" if parts.port == 0 else (parts.hostname or "").removesuffix(".")
    except ValueError:
        return ""
