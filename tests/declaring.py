"""Modules and declarations made by hand, as an import would leave them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.inside import AgentType, CallKind, SpanType

SOURCE = '''
def tool():
    """A tool."""

class Store:
    def find(self):
        """A method."""

def make():
    def local():
        """A local function."""
    return local
'''


def define(
    names: Mapping[str, Any] | None = None,
    *,
    module: str = "shop.tools",
    source: str = SOURCE,
    file: str = "/src/shop/tools.py",
) -> dict[str, Any]:
    """Return the names of a module that runs *source*, as an import would leave them."""
    namespace: dict[str, Any] = {"__name__": module, **(names or {})}
    exec(compile(source, file, "exec"), namespace)
    return namespace


def step(function: Callable[..., object], name: str | None = None, **more: Any) -> SpanType:
    """Return a span type of *function*."""
    return SpanType(function, kind=CallKind.FUNCTION, skip_first=False, explicit_name=name, **more)


def agent(function: Callable[..., object], **more: Any) -> AgentType:
    """Return an agent that *function* answers for."""
    return AgentType(step(function), **more)
