"""`remit lock`: writes the declarations of a program into a file for review."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import click
from pydantic import VERSION as PYDANTIC_VERSION

from remit._base.version import __version__
from remit._lock.content import lock_of, text_of
from remit._lock.difference import Lock, changes
from remit._lock.file import FILE, LockError, parsed
from remit._lock.report import counted, grouped, notes, sizes
from remit._runtime import process
from remit.cli._diff import LockFailed, write_text
from remit.cli._failing import Failed
from remit.cli._modules import imported, submodules, without_agent
from remit.cli._options import TEXT
from remit.cli._source import reader_of
from remit.cli._terminal import emit
from remit.errors import RemitError

Json = dict[str, Any]

USAGE: Final = "MODULE, as in myapp.bot"


@click.command()
@click.argument("modules", metavar="[MODULE]...", type=TEXT, nargs=-1)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"Lock file; the default is {FILE}, or standard output with --server.",
)
@click.option("--check", is_flag=True, help="Compare the program with FILE; write nothing.")
@click.option("--server", is_flag=True, help="Read the registrations of a server; import nothing.")
def lock(modules: tuple[str, ...], output: Path | None, *, check: bool, server: bool) -> None:
    """Write the declarations of agents and steps into a file for review.

    The command imports each MODULE and all modules below it except __main__. It writes the
    registrations of their agents: the data risk, parameters and results of each step, the steps
    that an agent may take, and the steps through which data may leave. Equal declarations
    produce the same bytes. Without MODULE it imports the modules that are listed in FILE.

    With --check it prints the difference between the program and FILE, and exits with status 1 if
    they differ. The status is 2 if the command cannot write or compare a lock, because an import
    fails, MODULE declares no agent, or FILE is not a lock.

    With --server it reads the newest schema version of each agent from the configured server, or
    from the local-mode database, and imports nothing. MODULE selects agents by the beginning of
    their names. Without -o it prints the lock.
    """
    if check and server:
        raise click.UsageError(
            "--check compares a program: compare a server's lock with `remit diff`"
        )
    with _failing():
        if server:
            _write(_of_server(modules), output)
            return
        path = output or Path(FILE)
        before = _read(path) if check or not modules else None
        program = _of_program(modules or _modules_in(before, path))
        if before is None or not check:
            _write(program, path)
        else:
            _compare(before, parsed(text_of(program).encode(), "the program"), path)


@contextmanager
def _failing() -> Generator[None]:
    """Give every failure within the block the exit status 2, unlike a difference."""
    try:
        yield
    except (Failed, LockError, RemitError) as error:
        raise LockFailed(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise LockFailed(
            f"the database cannot be read ({error}): was it created by remit?"
        ) from error


def _of_program(modules: Sequence[str]) -> Json:
    failures = [failure for module in modules for failure in submodules(imported(module, USAGE))[1]]
    if failures:
        raise LockFailed("\n".join(failures))
    registry = process.registry()
    of_module = {
        module: [agent for agent in registry.agents() if agent.span_type.is_within(module)]
        for module in modules
    }
    for module, agents in of_module.items():
        if not agents:
            raise LockFailed(without_agent(module))
    declared = {each.external_identifier: each for agents in of_module.values() for each in agents}
    project = process.current().settings.project
    return lock_of(
        {
            name: cast("Json", process.registration(agent)["agent_schema_version"])
            for name, agent in declared.items()
        },
        other_agents=(agent.external_identifier for agent in registry.agents()),
        modules=modules,
        projects=(project or agent.project.name for agent in declared.values()),
        made_with={"pydantic": PYDANTIC_VERSION, "remit": __version__},
    )


def _of_server(names: Sequence[str]) -> Json:
    """Return the lock of the agents at the server whose names begin with one of *names*, or all."""
    schema_versions: dict[str, Json] = {}
    identifiers: dict[str, str] = {}
    others: set[str] = set()
    with reader_of(None) as reader:
        for identifier, version in reader.schema_versions():
            agent = _agent_name(identifier, version)
            if names and not any(_begins(agent, name) or identifier == name for name in names):
                others.add(agent)
                continue
            if agent in schema_versions:
                raise LockFailed(
                    f"{reader.place} has two agents {agent!r}: select one by its full identifier, "
                    f"{identifiers[agent]!r} or {identifier!r}"
                )
            identifiers[agent], schema_versions[agent] = identifier, version
        if not schema_versions:
            which = f" whose name begins with {' or '.join(names)}" if names else ""
            raise LockFailed(f"{reader.place} has no schema version of an agent{which}")
    projects = (identifier.rpartition("/")[0] for identifier in identifiers.values())
    return lock_of(schema_versions, other_agents=others, projects=projects)


def _agent_name(identifier: str, version: Json) -> str:
    """Return the name of an agent: its identifier without the project."""
    names = [str(entry["name"]) for entry in version.get("span_type_schemas") or ()]
    own = [name for name in names if identifier == name or identifier.endswith(f"/{name}")]
    return max(own, key=len, default=identifier)


def _begins(agent: str, name: str) -> bool:
    return agent == name or agent.startswith((f"{name}.", f"{name}:"))


def _read(path: Path) -> Lock:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise LockFailed(
            f"there is no file {path}: write it with `remit lock MODULE`, as in `remit lock myapp`"
        ) from error
    except OSError as error:
        raise LockFailed(f"{path} cannot be read: {error.strerror}") from error
    return parsed(content, str(path))


def _modules_in(lock: Lock | None, path: Path) -> list[str]:
    modules = [] if lock is None else lock.get("modules", [])
    if not modules:
        raise LockFailed(f"{path} lists no modules: specify them, as in `remit lock myapp`")
    return modules


def _compare(file: Lock, program: Lock, path: Path) -> None:
    if listed := changes(file, program):
        groups = grouped(listed, file, program)
        write_text(groups, counted(groups), notes(file, program, str(path), "the program"))
        raise click.exceptions.Exit(1)


def _write(lock: Json, path: Path | None) -> None:
    """Write a lock to standard output, or into a file, which is replaced atomically."""
    text = text_of(lock)
    if path is None:
        click.echo(text.encode(), nl=False)
        return
    try:
        if path.exists() and not path.is_file():  # a device, such as /dev/stdout
            path.write_text(text, "utf-8", newline="\n")
        else:
            _check_is_lock(path)
            _replace(path.resolve(), text)
    except OSError as error:
        raise LockFailed(f"{path} cannot be written: {error.strerror}") from error
    emit(f"{path}: {sizes(cast('Lock', lock))}")


def _check_is_lock(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    if content and b'"remit_lock"' not in content:
        raise LockFailed(f"{path} is not a lock and is not overwritten: use another file with -o")


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        new.write_text(text, "utf-8", newline="\n")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
