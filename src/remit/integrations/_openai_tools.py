"""Tools of the OpenAI Agents SDK that are not functions: shells, patches, computers, and others.

Tools that run in the program call something that the program gave to them. A governed copy of such
a tool calls a wrapper instead. Other tools run at OpenAI.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from functools import wraps
from typing import Any, Final, Protocol, TypeVar, cast

from agents import (
    ApplyPatchOperation,
    ApplyPatchResult,
    ApplyPatchTool,
    AsyncComputer,
    Computer,
    ComputerProvider,
    ComputerTool,
    CustomTool,
    FunctionTool,
    HostedMCPTool,
    LocalShellTool,
    ProgrammaticToolCallingTool,
    ShellCommandOutput,
    ShellResult,
    ShellTool,
    Tool,
    ToolSearchTool,
)
from agents.tool import ShellCallOutcome

from remit.integrations import _llm
from remit.integrations._llm import get

T = TypeVar("T", bound=Tool)

COMPUTER: Final = "computer"

WORK: Final[Mapping[type, str]] = {
    ApplyPatchTool: "editor",
    ComputerTool: "computer",
    CustomTool: "on_invoke_tool",
    LocalShellTool: "executor",
    ShellTool: "executor",
}
"""Attribute of a tool with the object of the program that it calls, by the class of the tool."""


class Guard(Protocol):
    """Judges and records the calls of one tool."""

    async def call(
        self, work: Callable[..., Any], *args: Any, inputs: object, call_id: object = None
    ) -> Any:
        """Call *work* and return its result, or the answer to a call that is denied."""


def name_of(tool: Tool) -> str:
    """Return the name of a tool in span types and risks.

    It is the label of its server for a hosted MCP tool.
    """
    if isinstance(tool, HostedMCPTool):
        return str(tool.tool_config["server_label"])
    # The SDK calls it by an older name outside traces.
    return COMPUTER if isinstance(tool, ComputerTool) else tool.name


def runs_here(tool: Tool) -> bool:
    """Return whether a tool calls an object of the program; a shell may run in a container."""
    return work_of(tool) is not None


def is_deniable(tool: Tool) -> bool:
    """Return whether the model reads the denial of a call. Tools without side effects count too.

    A computer answers with pictures only. A search for tools calls none.
    """
    if isinstance(tool, FunctionTool | ToolSearchTool | ProgrammaticToolCallingTool):
        return True
    return runs_here(tool) and not isinstance(tool, ComputerTool)


def work_of(tool: Tool) -> Any:
    """Return the object of the program that a tool calls; None if it runs elsewhere."""
    name = _attribute_of(tool)
    return None if name is None else getattr(tool, name)


def guard_of(tool: Tool) -> Guard | None:
    """Return the guard of a governed tool."""
    work = work_of(tool)
    return work.remit_guard if isinstance(work, _Work) else None


def guarded_copy(tool: T, guard: Guard) -> T:
    """Return a copy of a tool that runs here, whose calls *guard* judges."""
    governed = copy.copy(tool)
    work = work_of(tool)
    if isinstance(work, _Work):
        work = work.remit_work
    setattr(governed, str(_attribute_of(tool)), _wrapper_of(tool, work)(guard, work))
    if isinstance(governed, ComputerTool):
        governed.__post_init__()  # the SDK remembers providers by tool
    return governed


def answer(tool: Tool, denial: str) -> Any:
    """Return the answer to a call that is denied, in the form of the tool."""
    if isinstance(tool, ShellTool):
        outcome = ShellCallOutcome(type="exit", exit_code=1)
        return ShellResult([ShellCommandOutput(stderr=denial, outcome=outcome)])
    if isinstance(tool, ApplyPatchTool):
        return ApplyPatchResult(status="failed", output=denial)
    return denial


def _attribute_of(tool: Tool) -> str | None:
    return next(
        (
            name
            for cls, name in WORK.items()
            if isinstance(tool, cls) and getattr(tool, name) is not None
        ),
        None,
    )


def _wrapper_of(tool: Tool, work: object) -> Callable[[Guard, Any], _Work]:
    if isinstance(tool, ApplyPatchTool):
        return _Editor
    if not isinstance(tool, ComputerTool):
        return _Executor
    return _Computer if isinstance(work, Computer | AsyncComputer) else _Provider


class _Work:
    """A proxy for an object of the program that a tool calls.

    Attributes:
        remit_guard: The guard of the tool.
        remit_work: The object.
    """

    def __init__(self, guard: Guard, work: Any) -> None:
        self.remit_guard, self.remit_work = guard, work

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "remit_")):
            raise AttributeError(name)  # also while a copy is made, which has no fields yet
        return getattr(self.remit_work, name)


class _Executor(_Work):
    """A function that runs a command or a text."""

    async def __call__(self, *args: Any) -> Any:
        """Run it: the request of a shell, or the context and the text of a custom tool."""
        first, *text = args
        call_id, inputs = (
            (first.tool_call_id, {"input": text[0]})
            if text
            else (first.data.call_id, _fields(first.data.action))
        )
        return await self.remit_guard.call(self.remit_work, *args, inputs=inputs, call_id=call_id)


class _Editor(_Work):
    """An editor of files."""

    async def create_file(self, operation: ApplyPatchOperation) -> Any:
        """Create a file."""
        return await self._apply(self.remit_work.create_file, operation)

    async def update_file(self, operation: ApplyPatchOperation) -> Any:
        """Change a file."""
        return await self._apply(self.remit_work.update_file, operation)

    async def delete_file(self, operation: ApplyPatchOperation) -> Any:
        """Delete a file."""
        return await self._apply(self.remit_work.delete_file, operation)

    async def _apply(self, method: Callable[..., Any], operation: ApplyPatchOperation) -> Any:
        names = ("type", "path", "diff", "move_to")
        inputs = _llm.known_only(**{name: getattr(operation, name, None) for name in names})
        return await self.remit_guard.call(method, operation, inputs=inputs)


class _Screen(_Work):
    """A computer: each of its methods is an action."""

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        return self.action(name, value) if inspect.isroutine(value) else value

    def action(self, name: str, method: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Return a method with the same parameters, as the SDK reads them."""

        @wraps(method)
        async def act(*args: Any, **named: Any) -> Any:
            bound = inspect.signature(method).bind(*args, **named)
            inputs = {"action": name, **bound.arguments}
            return await self.remit_guard.call(lambda: method(*args, **named), inputs=inputs)

        return act


def _member(name: str) -> property:
    return property(lambda computer: computer.__getattr__(name))


# The SDK takes subclasses only; a later version may have more methods.
_Computer: Final = cast(
    "type[_Work]",
    type(
        "Computer",
        (_Screen, AsyncComputer),
        {
            "__doc__": "A computer whose actions are governed.",
            **{name: _member(name) for name in vars(AsyncComputer) if not name.startswith("_")},
        },
    ),
)


class _Provider(_Work, ComputerProvider[Any]):
    """Makes a computer for each run, and its governed form; the program has a function for that."""

    def __init__(self, guard: Guard, work: Any) -> None:
        _Work.__init__(self, guard, work)
        self.create, self.dispose = self._make, self._remove

    async def _make(self, *, run_context: Any) -> Any:
        make = getattr(self.remit_work, "create", self.remit_work)
        computer = make(run_context=run_context)
        return _Computer(self.remit_guard, await _awaited(computer))

    async def _remove(self, *, run_context: Any, computer: Any) -> None:
        remove = getattr(self.remit_work, "dispose", None)
        if remove is not None:
            await _awaited(remove(run_context=run_context, computer=computer.remit_work))


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _fields(action: Any) -> Mapping[str, object]:
    """Return the fields of an action of a shell."""
    if hasattr(action, "model_dump"):
        return cast("Mapping[str, object]", action.model_dump(exclude_none=True))
    return _llm.known_only(**{each.name: getattr(action, each.name) for each in fields(action)})


def output_of(result: object, inputs: object) -> object:
    """Return the result of a call as it is recorded: the picture of a screen by its size."""
    if isinstance(result, str) and get(inputs, "action") == "screenshot":
        return _llm.media("computer_screenshot", result)
    if isinstance(result, ApplyPatchResult | ShellResult):
        return _llm.known_only(**asdict(result))
    return result
