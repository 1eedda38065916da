"""The approver of the settings: a function of the program, or the people who use remit's server."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import cast

import msgspec

from remit import config
from remit._base.clock import Clock
from remit._base.markers import is_marker, rule_of
from remit._policy.asks import EXPIRED as EXPIRED_WHY
from remit._policy.asks import NO_SERVER, UNCHECKED_SEAL, USED_SEAL
from remit._record.approvals import (
    EXPIRED,
    Answer,
    ApprovalRequest,
    Approved,
    Approver,
    Outcome,
    Refused,
)
from remit._runtime.process import registry
from remit._runtime.targets import make_approver, spool_of
from remit.client import _approver
from remit.client._approver import CALL_S, GRACE_S, Question, ServerApprover, cause_of
from remit.errors import ApiError, NotFoundError


def approver_of(
    settings: config.Settings, clock: Clock, *, has_target: bool = True
) -> Approver | None:
    """Return the approver of the settings; None if none is set.

    Args:
        has_target: Whether there is a server, or a collector in this process, to ask.
    """
    if settings.approver is None:
        return None
    if settings.approver != config.SERVER:
        return Approver.of(settings.approver)
    if not has_target:
        return Approver(_refuse_without_server)
    opened = _opened(settings, clock)
    return Approver(
        partial(_ask, opened, settings),
        partial(_ask_later, opened, settings),
        verifies=True,
        grace_s=GRACE_S,
    )


def seals_of(settings: config.Settings, clock: Clock) -> Callable[[str], str | None]:
    """Return a function that uses a seal at the server, or at the collector in this process.

    It returns why no step may run because of the seal, else None.
    """
    timeout_s = min(CALL_S, settings.ask_timeout_s)
    return partial(_use_seal, _opened(settings, clock), timeout_s)


def _opened(settings: config.Settings, clock: Clock) -> Callable[[], ServerApprover]:
    return partial(make_approver, settings, clock, spool_of(settings).path)


def _refuse_without_server(_request: ApprovalRequest) -> Refused:
    return Refused(why=NO_SERVER)


# Each question has connections of its own: the process may fork between two questions.
def _ask(
    opened: Callable[[], ServerApprover], settings: config.Settings, request: ApprovalRequest
) -> Answer | Outcome:
    with closing(opened()) as server:
        return _answer(request, server(_question(request, settings)))


async def _ask_later(
    opened: Callable[[], ServerApprover], settings: config.Settings, request: ApprovalRequest
) -> Answer | Outcome:
    with closing(opened()) as server:
        return _answer(request, await server.ask(_question(request, settings)))


def _use_seal(opened: Callable[[], ServerApprover], timeout_s: float, seal: str) -> str | None:
    """Use a seal at the server; return why no step may run because of it, else None.

    Where the server does not keep used seals, it is used in this process only.
    """
    digest = hashlib.sha256(seal.encode()).hexdigest()
    with closing(opened()) as server:
        try:
            unused = server.use(digest, secrets.token_hex(16), timeout_s=timeout_s)
        except NotFoundError:
            return None
        except ApiError as error:
            return UNCHECKED_SEAL.format(cause_of(error))
    return None if unused else USED_SEAL


def _answer(request: ApprovalRequest, decision: _approver.Decision) -> Answer | Outcome:
    if isinstance(decision, _approver.Approved):
        return Approved(by=decision.by)
    if isinstance(decision, _approver.Expired):
        return Outcome(EXPIRED, None, EXPIRED_WHY.format(request.time_limit_s))
    return Refused(by=decision.by, why=decision.why)


def _question(request: ApprovalRequest, settings: config.Settings) -> Question:
    """Return what the server shows of a request: no value that is redacted in the record."""
    arguments = request.captured_arguments()
    known = registry().agents()
    agent = next((each for each in known if each.external_identifier == request.agent), None)
    environment_id = None if agent is None else agent.environment_id
    return Question(
        step=request.step,
        words=request.words,
        agent=request.agent if agent is None else agent.identifier_in(settings.project),
        run=request.run,
        arguments=arguments,
        hidden=_redacted(arguments),
        unbound=request.unbound,
        time_limit_s=request.time_limit_s,
        ticket=request.ticket,
        after=request.after,
        changed=request.changed,
        # The collector in local mode has one environment.
        environment_id=(environment_id or settings.environment_id) if settings.api_url else None,
    )


def _redacted(arguments: bytes) -> dict[str, str]:
    """Return the rule by the path of each redacted value, such as `order.items[0].card`."""
    return dict(_rules_in("", msgspec.json.decode(arguments)))


def _rules_in(path: str, value: object) -> Iterator[tuple[str, str]]:
    if is_marker(value):
        rule = rule_of(value)
        if rule is not None and path:
            yield path, str(rule)
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[object]", value)):
            yield from _rules_in(f"{path}[{number}]", item)
    elif isinstance(value, dict):
        for name, member in cast("dict[str, object]", value).items():
            yield from _rules_in(f"{path}.{name}" if path else name, member)
