"""From what a decorator was given to a declaration, with every mistake named at its place."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Final

from remit._decorators._targets import kind_of, takes_receiver
from remit._registry import SpanType
from remit._risk import coerce
from remit.errors import DeclarationError
from remit.models.agent_instance import DataRisk

# What the collector takes; one longer name would have every registration refused.
MAX_NAME_CHARS: Final = 1000
# Of a wrong name, so that an error stays one line.
SHOWN_CHARS: Final = 40
RETURN: Final = "return"
"""The key of the result in `capture=`: a keyword, so no parameter can have that name."""


@dataclass(frozen=True, slots=True)
class StepOptions:
    """What `@remit.span_type` was given beside the name."""

    data_risk: DataRisk | Mapping[str, object] | None = None
    title: str | None = None
    description: str | None = None
    template: str | None = None
    params: object = None
    result: object = None
    capture: bool | Mapping[str, bool] | None = None


def declare(
    target: object,
    function: FunctionType,
    name: str | None,
    options: StepOptions,
    decorator: str,
) -> SpanType:
    """Return the declaration of a span type.

    Args:
        target: What the decorator got: the function, or a static or class method of it.
        function: The function inside.
        name: The explicit name, or None for `module:qualname`.
        options: The rest.
        decorator: `span_type` or `agent`, for messages.

    Raises:
        DeclarationError: Names the function, what was wrong and what is allowed.
    """
    where = place_of(function, decorator)
    check_texts(
        where, title=options.title, description=options.description, template=options.template
    )
    return SpanType.declare(
        function,
        kind=kind_of(function),
        skip_first=takes_receiver(target, function),
        name=name,
        data_risk=coerce(options.data_risk, where),
        title=options.title,
        description=options.description,
        template=options.template,
        params=options.params,
        result=options.result,
        capture=_kept(options.capture, function, where),
    )


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


def place_of(function: FunctionType, decorator: str) -> str:
    """Return decorator, function, file and line, for messages."""
    code = function.__code__
    return (
        f"@remit.{decorator} on {function.__module__}:{function.__qualname__} "
        f"({code.co_filename}:{code.co_firstlineno})"
    )


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


def _kept(
    capture: bool | Mapping[str, bool] | None,  # noqa: FBT001 - the frozen name of an argument
    function: FunctionType,
    where: str,
) -> dict[str, bool]:
    """Return `capture=` as a mapping of parameter names and `return`."""
    names = [*inspect.signature(function).parameters, RETURN]
    if capture is None:
        return {}
    if isinstance(capture, bool):
        return dict.fromkeys(names, capture)
    if not isinstance(capture, Mapping):
        raise DeclarationError(
            f"{where}: capture={capture!r}; expected True, False, or a mapping of parameter "
            f"names to True or False"
        )
    for key, value in capture.items():
        if key not in names:
            close = difflib.get_close_matches(str(key), names, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise DeclarationError(
                f"{where}: capture has the key {key!r}{hint} Expected one of {', '.join(names)}"
            )
        if not isinstance(value, bool):
            raise DeclarationError(
                f"{where}: capture[{key!r}] is {value!r}; expected True or False"
            )
    return dict(capture)
