"""The checks of `remit doctor` that ask a server.

They use the SDK's own client, with its proxies and certificates; each request waits at most ten
seconds.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final, TypeVar, cast
from urllib.parse import urlsplit

from remit._base.backoff import http_date_ns
from remit._base.clock import NS_PER_S, SystemClock
from remit.cli._outcomes import Outcome, note, ok, wrong
from remit.cli._terminal import duration
from remit.cli._wire import get
from remit.client import _error_text
from remit.client._approver import UNKNOWN_ASK, show_no_ask
from remit.client._http import HttpClient
from remit.client._target import RawResponse
from remit.client.endpoints.endpoint import Call
from remit.client.endpoints.table import PING, REGISTER_INSTANCE, SHOW_AGENT
from remit.config import SERVER, Settings, is_loopback
from remit.errors import (
    ApiError,
    ContractError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from remit.models.envelope import PingResponse
from remit.models.remit_api import CollisionList

T = TypeVar("T")

# A `Date` has whole seconds, and the response takes time.
MAX_SKEW_S: Final = 30
MAX_WAIT_S: Final = 10.0
QUOTES: Final = "\"'<>`$"
"""Characters that remain around a token copied from a shell, a file or an example."""
NO_REGISTRATION: Final = REGISTER_INSTANCE.raw(
    read=REGISTER_INSTANCE.response, body=b'{"agent_version":0,"agent_schema_version":0}'
)
"""A registration that a server rejects as invalid, if URL and token are right.

It has no id, so a 404 can only mean that the URL is wrong.
"""
INVALID: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
UNNAMED: Final = "remit:doctor"
UNANSWERED: Final = {
    "host": _error_text.NO_NAME,
    "refused": _error_text.REFUSED,
    "certificate": _error_text.UNTRUSTED,
    "tls": _error_text.NO_TLS,
    "timeout": _error_text.NO_CONNECTION,
    "no_response": _error_text.NO_RESPONSE,
    "not_http": _error_text.NO_HTTP,
    "proxy": _error_text.PROXY,
    "no_proxy": _error_text.NO_PROXY,
    "not_ready": _error_text.NOT_READY,
}
ADVICE: Final = {
    "token": "Set REMIT_API_TOKEN to an active token. A token is shown only when it is created.",
    "scope": "Set REMIT_API_TOKEN to a token of scope agent_deployment or account that may record.",
    "read": "Set REMIT_API_TOKEN to a token that may record: remit token create --may record",
    "agent": "Set REMIT_AGENT_ID to the id of an agent of that account, or leave it out.",
    "path": "Set REMIT_API_URL to https://host[:port], with a path only if a proxy serves one.",
    "malformed": "Set REMIT_API_TOKEN to the token alone, as it was shown when it was created.",
    "expired": "Create a token, and set REMIT_API_TOKEN to it.",
    "version": "Install a later version of remit.",
    "plain": "Set REMIT_API_URL to https://..., if the server supports it.",
    "collision": "If they are different agents, set REMIT_PROJECT in one of the programs.",
    "approver": "Use a server of this version of remit, or set REMIT_APPROVER to a function.",
    "clock": "Set the clock of this machine with NTP; until then recorded times are off by the "
    "same amount.",
}


class Probe:
    """Asks one server."""

    def __init__(self, settings: Settings) -> None:
        token = settings.api_token
        self.clock = SystemClock()
        self.http = HttpClient(
            settings.api_url or "",
            token.get_secret_value() if token else None,
            transport=settings.transport,
            timeout_s=min(MAX_WAIT_S, settings.request_timeout_s),
            clock=self.clock,
        )

    def ask(self, call: Call[T]) -> T | ApiError:
        try:
            return self.http.send(call)
        except ApiError as error:
            return error

    def read(self, call: Call[T], response: RawResponse) -> T | ApiError:
        try:
            return self.http.target.read(call, response, self.clock)
        except ApiError as error:
            return error

    def skew_s(self, response: RawResponse, before_ns: int) -> float | None:
        """Return the seconds by which the local clock is ahead of the server's."""
        served_ns = http_date_ns(response.headers.get("date", ""))
        if served_ns is None:
            return None
        here_ns = (before_ns + self.clock.wall_ns()) // 2
        return (here_ns - served_ns) / NS_PER_S - 0.5


def probed(settings: Settings) -> Iterator[Outcome]:
    yield from _encrypted(settings)
    probe = Probe(settings)
    try:
        yield from _way(probe)
        yield from _probed(probe, settings)
    finally:
        probe.http.close()


def _encrypted(settings: Settings) -> Iterator[Outcome]:
    host = settings.unencrypted_host
    if host is not None:
        message = f"the token and the recorded data go to {host} unencrypted"
        yield note("url", message, ADVICE["plain"])


def _explained(outcome: Outcome, settings: Settings) -> Outcome:
    path = urlsplit(settings.api_url or "").path
    if outcome.code == "not_the_api" and path:
        message = f"REMIT_API_URL ends in {path}, which is not the path of a Prefactor API"
        return wrong("server", "path", message, ADVICE["path"])
    if outcome.code != "token":
        return outcome
    token = settings.api_token.get_secret_value().strip() if settings.api_token else ""
    around = [char for char in token[:1] + token[-1:] if char in QUOTES]
    if around:
        message = f"REMIT_API_TOKEN begins or ends with {around[0]}, which is not part of a token"
        return wrong("token", "malformed", message, ADVICE["malformed"])
    expired_s = time.time() - _expiry_s(token)
    if expired_s > 0:
        message = f"REMIT_API_TOKEN expired {duration(expired_s)} ago"
        return wrong("token", "expired", message, ADVICE["expired"])
    return outcome


def _expiry_s(token: str) -> float:
    """Return when a JSON Web Token expires; any other token never does.

    Source: RFC 7519 section 4.1.4.
    """
    claims: object = None
    with suppress(ValueError, IndexError):
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    expiry = cast("dict[str, object]", claims).get("exp") if isinstance(claims, dict) else None
    return float(expiry) if isinstance(expiry, int | float) else float("inf")


def _way(probe: Probe) -> Iterator[Outcome]:
    proxy, host = probe.http.target.proxy(), urlsplit(probe.http.target.url).hostname or ""
    if proxy is None:
        return
    message = f"requests go through the proxy {proxy.rpartition('@')[2]}"
    if not is_loopback(host):
        yield ok("proxy", message)
        return
    message = f"{message}, though {host} is this machine"
    yield note("proxy", message, f"Set NO_PROXY to {host}, or unset HTTP_PROXY and ALL_PROXY.")


def _probed(probe: Probe, settings: Settings) -> Iterator[Outcome]:
    before_ns = probe.clock.wall_ns()
    try:
        response = probe.http.exchange(PING.call())
    except ApiError as error:
        yield wrong("server", _why(error), str(error))
        return
    skew = _clock(probe.skew_s(response, before_ns))
    pong = probe.read(PING.call(), response)
    outcome = _outcome_of(settings, pong)
    if not outcome.code or isinstance(pong, NotFoundError):
        rejected = probe.ask(NO_REGISTRATION)
        outcome = _outcome_of(settings, rejected)
    token = (pong.details if isinstance(pong, PingResponse) else None) or {}
    if token.get("may") == "read":
        message = f"{settings.api_url} responds, but the token may only read"
        outcome = wrong("token", "read", message, ADVICE["read"])
    yield _explained(outcome, settings)
    yield skew
    if not outcome.code:
        yield _agent(probe, settings, token)
        yield from _collisions(probe, token)
        if settings.approver == SERVER:
            yield _approver(probe, settings)


def _approver(probe: Probe, settings: Settings) -> Outcome:
    """Return whether the server takes requests for approval, which the setting needs."""
    error = probe.ask(show_no_ask())
    if not isinstance(error, ApiError) or error.code == UNKNOWN_ASK:
        return ok("approver", "the server takes requests for approval")
    if isinstance(error, ContractError | NotFoundError):
        reason = f"{settings.api_url} does not take requests for approval"
    else:
        reason = str(error)
    message = f"each step that asks a person is denied: {reason}"
    return wrong("approver", "approver", message, ADVICE["approver"])


def _collisions(probe: Probe, token: Mapping[str, object]) -> Iterator[Outcome]:
    """Yield the agents that several programs registered, if the server can say it."""
    listed = probe.ask(get("/collisions", CollisionList, {}))
    if isinstance(listed, CollisionList):
        yield from collisions_in(listed)
    elif "may" in token and listed.status == HTTPStatus.FORBIDDEN:
        message = "whether two programs use one identifier is shown to a token that may read"
        yield ok("agent", message)


def collisions_in(listed: CollisionList) -> Iterator[Outcome]:
    for each in listed.collisions:
        programs = [", ".join(program.steps) or "no steps" for program in each.programs]
        name = each.agent.external_identifier or each.agent.name
        message = f"{len(programs)} programs use the identifier {name}: {'; '.join(programs)}"
        yield note("agent", message, ADVICE["collision"])


def _outcome_of(settings: Settings, response: object) -> Outcome:
    error = response if isinstance(response, ApiError) else None
    if error is None or error.status in INVALID:
        return ok("server", f"{settings.api_url} responds and accepts the token")
    if isinstance(error, UnauthorizedError):
        scope = error.status == HTTPStatus.FORBIDDEN
        code = "scope" if scope else "token"
        return wrong(code, code, str(error), ADVICE[code])
    if isinstance(error, UnavailableError):
        return wrong("server", "unavailable", str(error))
    if error.status == HTTPStatus.UPGRADE_REQUIRED:
        return wrong("version", "version", str(error), ADVICE["version"])
    kind = "not_the_api" if isinstance(error, ContractError | NotFoundError) else "rejected"
    return wrong("server", kind, str(error))


def _why(error: ApiError) -> str:
    """Return in a word why there was no response; the client's messages end in advice."""
    message = str(error)
    for word, template in UNANSWERED.items():
        if message.endswith(template.rpartition("}")[2]):
            return word
    return "unreachable"


def _clock(skew_s: float | None) -> Outcome:
    if skew_s is None:
        return note("clock", "not compared: the server's response has no date")
    if abs(skew_s) <= MAX_SKEW_S:
        return ok("clock", "agrees with the server's")
    way = "ahead of" if skew_s > 0 else "behind"
    message = f"the clock of this machine is {duration(round(abs(skew_s)))} {way} the server's"
    return wrong("clock", "clock", message, ADVICE["clock"])


def _agent(probe: Probe, settings: Settings, token: Mapping[str, object]) -> Outcome:
    """Check that the agent of the settings exists, or that none has to be set.

    Args:
        token: Facts about the token; only remit's collector returns them.
    """
    agent_id = settings.agent_id
    if agent_id is None and token.get("token_scope") == "account":
        return ok("agent", "the server finds each by the name of its function")
    if token.get("token_scope") == "agent_deployment" and agent_id in {None, token.get("agent_id")}:
        return ok("agent", "the one that the token was created for")
    unnamed = None if agent_id else UNNAMED
    response = probe.ask(SHOW_AGENT.call(agent_id=agent_id, external_identifier=unnamed))
    if agent_id is None:
        return _unnamed(response)
    if isinstance(response, NotFoundError):
        return wrong("agent", "agent", str(response), ADVICE["agent"])
    if isinstance(response, ApiError):
        return note("agent", f"{agent_id} was not looked up: {response}")
    return ok("agent", f"{agent_id} exists: {response.name}")


def _unnamed(response: object) -> Outcome:
    """Return the outcome without an agent id, by whether the token may look for one."""
    if isinstance(response, UnauthorizedError):
        return ok("agent", "the one that the token was created for")
    if isinstance(response, ApiError) and not isinstance(response, NotFoundError):
        return note("agent", f"not looked up: {response}")
    return note(
        "agent",
        "no agent id is set, and the token is for a whole account",
        "Set REMIT_AGENT_ID, or write @remit.agent(agent_id=...): Prefactor's API needs it.",
    )
