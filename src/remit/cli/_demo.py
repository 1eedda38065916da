"""`remit demo`: runs an example agent and shows its record."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import click
from pydantic import SecretStr

from remit import config
from remit._record.blocks import Run, current_run
from remit._runtime import process
from remit._runtime.runtime import Runtime
from remit.cli._database import FILE
from remit.cli._failing import Failed
from remit.cli._source import reader_of
from remit.cli._terminal import bold, columns, cut, emit, faint
from remit.cli._tree import drawn
from remit.config import SettingsArguments
from remit.errors import UnauthorizedError

AGENT: Final = "examples.support_desk"
TOKEN: Final = SecretStr("pay_demo_5f1e2d3c4b")
FLUSH_TIMEOUT_S: Final = 10.0
# The second customer's run goes deepest: it pays money back.
SHOWN: Final = 1


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for the record; by default the data directory of the settings.",
)
def demo(data_dir: Path | None) -> None:
    """Run an example agent and show its record.

    The example is a support desk that answers a few customers. You do not need an account, a key
    or a network connection. The record stays on this machine, unless REMIT_* variables set a
    server.
    """
    runtime = _configured(data_dir)
    agent = _example()
    emit(
        f"A support desk answers {len(agent.TICKETS)} customers; remit records it "
        f"{_where(runtime)}."
    )
    emit()
    with tempfile.TemporaryDirectory(prefix="remit-demo-") as folder:
        shop = agent.Shop(Path(folder))
        runs = [_answered(agent, shop, number) for number in range(len(agent.TICKETS))]
    sent = process.flush(FLUSH_TIMEOUT_S)
    if not sent:
        raise Failed(
            f"part of the record was not delivered to {runtime.target}: {sent.last_error or sent}. "
            "`remit doctor` finds the cause"
        )
    emit(f"\nOne of the {len(runs)} runs, as it was delivered and read back:\n")
    for line in _shown(runtime, runs[SHOWN]):
        emit(line)
    emit()
    for line in _further(runtime, agent):
        emit(line)


def _configured(data_dir: Path | None) -> Runtime:
    settings: SettingsArguments = {"purpose": "smoke_test"}
    if data_dir is not None:
        settings["data_dir"] = data_dir
    process.configure(**settings)
    runtime = process.current()
    if runtime.mode == "off":
        raise Failed(
            "the demo would record nothing in mode 'off': unset REMIT_MODE, or set it to local"
        )
    return runtime


def _example() -> ModuleType:
    """Return the example `support_desk` of the wheel, else of the checkout.

    Its name is that in the checkout, so that both give the same records.
    """
    here = Path(__file__).resolve()
    for folder in (here.with_name("demo_agent"), here.parents[3] / "examples"):
        path = folder / "support_desk.py"
        spec = spec_from_file_location(AGENT, path) if path.is_file() else None
        if spec is not None and spec.loader is not None:
            module = sys.modules[AGENT] = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise Failed(f"the demo's agent is not next to {here}: install remit again")


def _answered(agent: Any, shop: object, number: int) -> Run:
    ticket, words, runs = agent.TICKETS[number], list[str](), list[Run | None]()
    emit(f"{faint(f'{number + 1}/{len(agent.TICKETS)}')}  {bold(ticket.question)}")

    def note(word: str) -> None:
        words.append(word)
        runs.append(current_run())

    asyncio.run(agent.answer(ticket, TOKEN, shop, note))
    emit("     " + cut(" ".join(words), columns() - 5))
    return next(run for run in runs if run is not None)


def _shown(runtime: Runtime, run: Run) -> Iterator[str]:
    db = runtime.settings.data_dir / FILE if runtime.mode == "local" else None
    with reader_of(db, runtime.settings) as reader:
        try:
            record = reader.record(reader.find(run.id or run.key))
        except (Failed, UnauthorizedError) as error:
            yield f"The run cannot be read back: {error}"
            yield f"Look for the run {run.key} in the web UI of {runtime.target}."
        else:
            yield from drawn(record)


def _where(runtime: Runtime) -> str:
    if runtime.mode == "local":
        return "on this machine only"
    return f"at {runtime.target}, as set by your REMIT_* variables"


def _further(runtime: Runtime, agent: ModuleType) -> Iterator[str]:
    yield f"The agent    {agent.__file__}"
    yield f"The record   {runtime.target}"
    if runtime.mode != "local":
        return
    folder = runtime.settings.data_dir
    db = "" if folder == config.load({}).data_dir else f" --db {shlex.quote(runtime.target)}"
    remit = _program()
    yield ""
    yield "Look further:"
    commands = (
        (f"{remit} runs list{db}", "all the runs"),
        (f"{remit} runs show{db}", "the last one: a refund that failed"),
        (f"{remit} runs show{db} --json", "the same as JSON, complete"),
    )
    page = (
        (f"{remit} serve --open{db}", "start the web UI and open it, signed in"),
        (f"{remit} open{db}", "open the web UI of a running server"),
    )
    wide = max(len(command) for command, _ in (*commands, *page))
    for command, effect in commands:
        yield f"  {command:<{wide}}  {faint(effect)}"
    yield ""
    yield "See it in a browser:"
    for command, effect in page:
        yield f"  {command:<{wide}}  {faint(effect)}"


def _program() -> str:
    """Return the command of this program, which under `make demo` is not on the path."""
    here = Path(sys.argv[0])
    if here.name != "remit" or shutil.which("remit"):
        return "remit"
    return shlex.quote(os.path.relpath(here))
