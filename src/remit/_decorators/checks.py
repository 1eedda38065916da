"""Checks the arguments of a decorator and makes the declaration; errors name the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from remit._base.guard import attempt
from remit._base.text import describe_literal, describe_value, did_you_mean
from remit._capture.plan import Capture
from remit._capture.rules.switches import SWITCHES, why_no_switch
from remit._declare.inference import check_types
from remit._declare.limits import check_limits
from remit._declare.registry import SpanType, default_name, module_of_caller
from remit._declare.risk import check_asks_nothing, coerce
from remit._inspect.annotations import signature_of
from remit._inspect.decorated import AnyCallable, CallableInfo
from remit._inspect.introspection import unwrapped
from remit._inspect.overrides import CaptureOption, check_overrides
from remit._inspect.signature import RETURN
from remit.errors import DeclarationError

# The limit of the collector, which rejects a registration for one longer name.
MAX_NAME_CHARS: Final = 1000


def declare(
    info: CallableInfo,
    decorator: str,
    name: str | None,
    options: Mapping[str, Any],
    declared_in: str | None = None,
) -> SpanType:
    """Return the declaration of a span type, after checking the arguments.

    Args:
        decorator: `span_type` or `agent`, for messages.
        options: The other arguments of `span_type`, by name.
        declared_in: The module that decorated the original, for a copy of a decorated callable.

    Raises:
        DeclarationError: Names the function, what was wrong and what is allowed.
    """
    where = place_of(info, decorator)
    keys = ("title", "description", "template", "owner")
    texts: dict[str, Any] = {key: options.get(key) for key in keys}
    check_texts(where, **texts)
    overrides: dict[str, Any] = {key: options.get(key) for key in ("params", "result")}
    check_overrides(info.function, skip_first=info.skip_first, where=where, **overrides)
    risk = coerce(options.get("data_risk"), where)
    if decorator != "agent":
        check_asks_nothing(risk, where)
    declared = SpanType(
        info.function,
        kind=info.kind,
        skip_first=info.skip_first if info.is_settled else info.self_parameter.resolve,
        named_after=info.named,
        explicit_name=name,
        data_risk=risk,
        capture=_capture_options(options.get("capture"), info.function, where),
        declared_in=declared_in or module_of_caller(),
        limits=check_limits(options.get("limits"), where),
        **texts,
        **overrides,
    )
    # `skip_first` as the name suggests: the check must not decide it before the first use.
    check_types(replace(declared, skip_first=info.skip_first), where)
    return declared


def place_of(info: CallableInfo, decorator: str) -> str:
    """Return decorator, function, file and line, for messages."""
    code = getattr(unwrapped(info.function), "__code__", None)
    place = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else "built in"
    return f"@remit.{decorator} on {default_name(info.named)} ({place})"


def check_texts(where: str, **texts: object) -> None:
    """Check that each value is a text or None.

    Raises:
        DeclarationError: Names the place, the argument and its type.
    """
    for key, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise DeclarationError(
                f"{where}: {key} is of type {type(value).__name__}; expected a string"
            )


def checked_name(name: object, where: str) -> str:
    """Return *name* after checking it; *where* is `@remit.span_type`, for instance.

    Raises:
        DeclarationError: It is not a text, is empty, or a server would reject it.
    """
    if type(name) is not str:
        raise DeclarationError(f"{where}: name is of type {type(name).__name__}; expected a string")
    if not name.strip():
        raise DeclarationError(f"{where}: the name is empty; expected a string")
    sendable = name.encode(errors="ignore").decode().replace("\0", "")
    if len(name) > MAX_NAME_CHARS or name != sendable:
        raise DeclarationError(
            f"{where}(name={describe_value(name)}): {len(name)} characters; "
            f"expected at most {MAX_NAME_CHARS}, none of them NUL or half of a surrogate pair"
        )
    return name


def _capture_options(
    capture: Capture | None, function: AnyCallable, where: str
) -> dict[str, CaptureOption]:
    """Return `capture=` as a mapping of parameter names, `return` and names of rules."""
    if capture is None:
        return {}
    # Some builtins have no signature.
    signature = attempt(lambda: signature_of(function))
    parameters = ("args", "kwargs") if isinstance(signature, Exception) else signature.parameters
    names = [*parameters, RETURN]
    if isinstance(capture, bool):
        return dict.fromkeys(names, capture)
    if not isinstance(capture, Mapping):
        raise DeclarationError(
            f"{where}: capture={describe_literal(capture)}; expected True, False, or a mapping of "
            f"parameter names to True or False"
        )
    for key, option in capture.items():
        _check_option(key, option, names, where)
    return dict(capture)


def _check_option(key: object, option: object, names: list[str], where: str) -> None:
    if isinstance(key, str) and ":" in key:
        _check_switch(key, option, f"{where}: capture")
    elif key not in names:
        hint = did_you_mean(key, names)
        raise DeclarationError(
            f"{where}: capture has the key {describe_literal(key)}{hint}; expected one of "
            f"{', '.join(names)}, or the name of a rule"
        )
    elif isinstance(option, Mapping):
        for rule, on in cast("Mapping[object, object]", option).items():
            _check_switch(rule, on, f"{where}: capture[{key!r}]")
    elif not isinstance(option, bool):
        raise DeclarationError(
            f"{where}: capture[{key!r}] is {describe_literal(option)}; expected True or False, or "
            "a mapping of rules to True"
        )


def _check_switch(rule: object, option: object, where: str) -> None:
    """Check that *rule* can be turned off by its name, and that *option* turns it off."""
    if rule not in SWITCHES:
        raise DeclarationError(f"{where}: {why_no_switch(str(rule))}")
    if option is not True:
        raise DeclarationError(
            f"{where}[{rule!r}] is {describe_literal(option)}; expected True, which records what "
            "the rule redacts. Without the key it redacts"
        )
