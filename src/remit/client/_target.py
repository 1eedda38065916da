"""The target of a client: URL, token and proxy, checked once; reads responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from remit._base.clock import Clock
from remit._base.text import describe_url
from remit._base.version import __version__, sdk_header
from remit.client.endpoints.endpoint import Call
from remit.client.endpoints.responses import raise_for_status
from remit.config import api_root
from remit.errors import ContractError, SettingsError

T = TypeVar("T")

# A shorter token may be part of an ordinary word, which has to stay readable in a message.
MIN_HIDDEN_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response, unread.

    Attributes:
        headers: Names in lower case.
    """

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """The API at one URL, with one token.

    Attributes:
        url: Without a trailing slash, user or password.
    """

    url: str
    token: str | None = field(repr=False)

    @classmethod
    def of(cls, api_url: str, token: str | None) -> Target:
        return cls(_checked_url(api_url), _checked_token(token))

    @property
    def place(self) -> str:
        return urlsplit(self.url).netloc

    def proxy(self) -> str | None:
        """Return the proxy of the environment for the target, as httpx's client would."""
        parts = urlsplit(self.url)
        proxies = getproxies()
        if proxy_bypass(parts.netloc):
            return None
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        return proxy if proxy is None or "://" in proxy else f"http://{proxy}"

    def where(self, call: Call[T]) -> str:
        """Return *call* in words: method and URL, without the query."""
        return f"{call.method} {self.url}{call.path}"

    def headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Content-Type": "application/json",
            "User-Agent": f"remit/{__version__}",
            "X-Prefactor-SDK": sdk_header(),
        }
        return (
            headers if self.token is None else headers | {"Authorization": f"Bearer {self.token}"}
        )

    def read(self, call: Call[T], answer: RawResponse, clock: Clock) -> T:
        """Return the result of *call* from its *answer*.

        Raises:
            ApiError: It is an error, or not from the API.
        """
        where, body = self.where(call), answer.body
        if self.token is not None and len(self.token) >= MIN_HIDDEN_CHARS:
            # Some servers quote a token that they reject.
            body = body.replace(self.token.encode(), b"<token>")
        raise_for_status(answer.status, answer.headers, body, where=where, wall_ns=clock.wall_ns())
        try:
            return call.parse(answer.body)
        except ContractError as error:
            raise ContractError(
                f"{where} returned {answer.status}: {error}", status=answer.status
            ) from None


def _checked_url(api_url: str) -> str:
    """Return *api_url*, stripped, if httpx reads it in the same way."""
    url = api_root(api_url.strip())
    try:
        parts = urlsplit(url)
        host, userinfo, _ = parts.hostname, "@" in parts.netloc, parts.port
    except ValueError:
        # The error quotes the URL, which may contain a password or be a token.
        raise SettingsError(
            "api_url cannot be read as https://host[:port]: its host or its port is malformed"
        ) from None
    if userinfo:
        raise SettingsError(
            "api_url contains a user or password; remove them, and pass the token as api_token"
        )
    if parts.query or parts.fragment:
        raise SettingsError(
            "api_url contains a query or a fragment (? or #); expected https://host[:port]"
        )
    if parts.scheme not in {"http", "https"} or not host:
        raise SettingsError(
            f"api_url is {describe_url(url)}; expected https://host[:port], or http:// on this "
            "machine"
        )
    return url


def _checked_token(token: str | None) -> str | None:
    """Return *token* without surrounding spaces, as from a file."""
    checked = token.strip() if token is not None else None
    if not checked:
        return None
    if not checked.isascii() or not checked.isprintable() or " " in checked:
        raise SettingsError(
            "api_token contains a space, a line break or a character that no header may have; copy "
            "it again, without anything around it"
        )
    return checked
