"""Checks what a decorator was given and makes the declaration; errors name the place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from remit import _capture
from remit._base.guard import attempt
from remit._base.text import did_you_mean
from remit._declare.inference import check_types
from remit._declare.registry import SpanType, default_name, module_of_caller
from remit._declare.risk import coerce
from remit._inspect.annotations import signature_of
from remit._inspect.callables import unwrapped
from remit._inspect.decorated import AnyCallable, CallableInfo
from remit._inspect.overrides import CaptureOption, check_overrides
from remit._inspect.signature import RETURN
from remit.errors import DeclarationError

# What the collector takes; one longer name would have every registration refused.
MAX_NAME_CHARS: Final = 1000
# Of a wrong name, so that an error stays one line.
SHOWN_CHARS: Final = 40


def declare(
    info: CallableInfo,
    decorator: str,
    name: str | None,
    options: Mapping[str, Any],
    declared_in: str | None = None,
) -> SpanType:
    """Return the declaration of a span type, after checking all that was given.

    Args:
        info: What the decorator was put on.
        decorator: `span_type` or `agent`, for messages.
        name: The explicit name, or None for `module:qualname`.
        options: The other arguments of `span_type`, by name.
        declared_in: Module that decorated what this is a copy of.

    Raises:
        DeclarationError: Names the function, what was wrong and what is allowed.
    """
    where = place_of(info, decorator)
    texts: dict[str, Any] = {
        each: options.get(each) for each in ("title", "description", "template")
    }
    check_texts(where, **texts)
    overrides: dict[str, Any] = {each: options.get(each) for each in ("params", "result")}
    check_overrides(info.function, skip_first=info.skip_first, where=where, **overrides)
    declared = SpanType(
        info.function,
        kind=info.kind,
        skip_first=info.skip_first,
        find_receiver=None if info.is_settled else info.self_parameter.resolve,
        named_after=info.named,
        explicit_name=name,
        data_risk=coerce(options.get("data_risk"), where),
        capture=_capture_options(options.get("capture"), info.function, where),
        declared_in=declared_in or module_of_caller(),
        **texts,
        **overrides,
    )
    # The check must not settle what is found out later.
    check_types(replace(declared, find_receiver=None), where)
    return declared


def check_texts(where: str, **texts: object) -> None:
    """Return if each is a text or None.

    Raises:
        DeclarationError: Names the place, the argument and what was seen.
    """
    for key, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise DeclarationError(
                f"{where}: {key} is of type {type(value).__name__}; expected a text"
            )


def _sendable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def place_of(info: CallableInfo, decorator: str) -> str:
    """Return decorator, function, file and line, for messages."""
    code = getattr(unwrapped(info.function), "__code__", None)
    place = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else "built in"
    return f"@remit.{decorator} on {default_name(info.named)} ({place})"


def explicit_name(name: object, decorator: str) -> str | None:
    """Return the name that the user chose, None if they chose none.

    Raises:
        DeclarationError: It is not a text, empty, or one that a server refuses.
    """
    return None if name is None else given_name(name, decorator)


def given_name(name: object, decorator: str) -> str:
    """Return a name that is needed.

    Raises:
        DeclarationError: It is not a text, empty, or one that a server refuses.
    """
    if type(name) is str and name.strip():
        if len(name) > MAX_NAME_CHARS or not _sendable(name):
            raise DeclarationError(
                f"@remit.{decorator}(name={name[:SHOWN_CHARS]!r}...): {len(name)} characters; "
                f"expected at most {MAX_NAME_CHARS}, none of them NUL or half of a surrogate pair"
            )
        return name
    raise DeclarationError(
        f"@remit.{decorator} got a name of type {type(name).__name__}, or an empty one; expected "
        "a text"
    )


def _capture_options(
    capture: _capture.Capture | None, function: AnyCallable, where: str
) -> dict[str, CaptureOption]:
    """Return `capture=` as a mapping of parameter names, `return` and names of rules."""
    if capture is None:
        return {}
    names = [*_parameters(function), RETURN]
    if isinstance(capture, bool):
        return dict.fromkeys(names, capture)
    if not isinstance(capture, Mapping):
        raise DeclarationError(
            f"{where}: capture={capture!r}; expected True, False, or a mapping of parameter "
            f"names to True or False"
        )
    for key, wish in capture.items():
        _check_wish(key, wish, names, where)
    return dict(capture)


def _check_wish(key: object, wish: object, names: list[str], where: str) -> None:
    """Return if *key* of `capture=` is a parameter or a rule, and *wish* what it may be."""
    if isinstance(key, str) and ":" in key:
        _check_switch(key, wish, f"{where}: capture")
    elif key not in names:
        hint = did_you_mean(key, names)
        raise DeclarationError(
            f"{where}: capture has the key {key!r}{hint}; expected one of {', '.join(names)}, or "
            "the name of a rule"
        )
    elif isinstance(wish, Mapping):
        for rule, on in cast("Mapping[object, object]", wish).items():
            _check_switch(rule, on, f"{where}: capture[{key!r}]")
    elif not isinstance(wish, bool):
        raise DeclarationError(
            f"{where}: capture[{key!r}] is {wish!r}; expected True or False, or a mapping of rules "
            "to True"
        )


def _check_switch(rule: object, wish: object, where: str) -> None:
    """Return if *rule* can be turned off by its name, and *wish* says to."""
    if rule not in _capture.SWITCHES:
        raise DeclarationError(f"{where}: {_capture.why_no_switch(str(rule))}")
    if wish is not True:
        raise DeclarationError(
            f"{where}[{rule!r}] is {wish!r}; expected True, which records what the rule withholds. "
            "Without the key it withholds"
        )


def _parameters(function: AnyCallable) -> Iterable[str]:
    """Return the names of what *function* takes; some builtins have no signature."""
    signature = attempt(lambda: signature_of(function))
    return ("args", "kwargs") if isinstance(signature, Exception) else signature.parameters
