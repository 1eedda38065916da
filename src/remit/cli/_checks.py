"""The checks of `remit doctor` on this machine; they change nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Final

from remit import config
from remit._base import sqlite
from remit._base.clock import NS_PER_S
from remit._base.text import install_extra
from remit._base.version import __version__
from remit._capture.rules.switches import switched_off
from remit._declare.project import Project, identified, project_at
from remit._declare.registry import UNKNOWN_FILE
from remit._deliver.circuit import without_credentials
from remit._deliver.spool.folder import Folder
from remit._runtime.targets import check_target, spool_of
from remit.cli._failing import Failed
from remit.cli._files import private_directory
from remit.cli._memory import memory_file_system, memory_limit
from remit.cli._outcomes import Outcome, Status, note, ok, wrong
from remit.cli._probes import collisions_in, probed
from remit.cli._spool_files import FileState, SpoolFileInfo, listed
from remit.cli._terminal import duration, number_of, printable, size
from remit.cli._wire import get
from remit.client._library import httpx
from remit.config import Settings
from remit.errors import RemitError, SettingsError
from remit.models.remit_api import CollisionList

UNTIL_THEN: Final = "Until then nothing is recorded; the policy (on_violation) still applies."
LOCAL_FILE: Final = "remit.db"
LOCAL_NEEDS: Final = "starlette"
"""Library that local mode needs in addition to those of remit."""
COLLECTOR_NEEDS: Final = ("uvicorn", "jinja2", "h11")
"""Libraries that `remit serve` needs in addition to those of local mode."""
NEARLY_FULL: Final = 0.9
LEAST_FREE_BYTES: Final = 8 << 20
"""Room for the logs of a spool file and of the local-mode database, 4 MiB each."""


def outcomes_here() -> Iterator[Outcome]:
    """Yield the outcome of each check; stop when the remaining ones cannot be made."""
    yield _versions()
    yield from _unknown_variables()
    try:
        settings = config.load({})
        switched_off(settings.redact_off)
        check_target(settings)
    except SettingsError as error:
        yield wrong("settings", "settings", str(error), UNTIL_THEN)
        return
    yield ok("settings", _sources())
    yield _project(settings)
    yield _mode(settings)
    if settings.resolved_mode == "off":
        return
    yield _data_dir(settings.data_dir)
    yield from _memory(settings)
    folder = spool_of(settings)
    files = listed(folder)
    yield _spool(folder, files)
    yield from _undelivered(folder, files)
    if settings.resolved_mode == "local":
        yield _collector()
        database = _database(settings.data_dir / LOCAL_FILE)
        yield database
        if database.status is Status.OK:
            yield from _collisions()
    else:
        yield from probed(settings)


def _collisions() -> Iterator[Outcome]:
    """Yield the agents that several programs registered in local mode's database."""
    # Imported by name, because it needs the extra `collector`.
    with suppress(Failed, RemitError, ModuleNotFoundError, sqlite3.Error):
        local = import_module("remit.cli._local")
        with local.client_of(None, writing=False) as (client, _):
            yield from collisions_in(client.send(get("/collisions", CollisionList, {})))


def _project(settings: Settings) -> Outcome:
    """Return the project of agents whose code is in the current directory."""
    if settings.project is not None:
        found = Project(settings.project, "the setting project")
    else:
        found = project_at(str(Path.cwd()), UNKNOWN_FILE)
    if found.name is None:
        return note(
            "project",
            f"no project: {found.origin}",
            "Agents of the same module and name in two programs become one agent.",
        )
    return ok(
        "project", f"{found.name}, from {found.origin}: {identified('module:function', found.name)}"
    )


def _versions() -> Outcome:
    for name, least in _needs():
        installed = _installed(name)
        if _parts(installed) < _parts(least):
            message = f"{name} {installed} is installed, and remit needs {least} or later"
            return wrong("versions", "version", message, f"pip install --upgrade '{name}>={least}'")
    names = ("pydantic", httpx.__name__, "wrapt")
    libraries = ", ".join(f"{name} {_installed(name)}" for name in names)
    return ok(
        "versions",
        f"remit {__version__}, {platform.python_implementation()} {platform.python_version()}, "
        f"{libraries}, SQLite {sqlite3.sqlite_version}",
    )


def _needs() -> Iterator[tuple[str, str]]:
    with suppress(PackageNotFoundError):
        for line in requires("remit") or ():
            match = re.fullmatch(r"([\w.-]+)>=([\d.]+)", line)
            if match is not None:
                yield match[1], match[2]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _parts(text: str) -> list[int]:
    """Return a version as a comparable value; a missing one sorts first."""
    return [int(part) for part in re.findall(r"\d+", text)[:3]]


def _unknown_variables() -> Iterator[Outcome]:
    used = {variable for variable, _ in config.environment_sources().values()}
    for variable, setting in config.unknown_variables().items():
        message = f"{variable} is set but is not a setting"
        if variable in used:
            message += f"; it counts as {setting}"
        if setting:
            yield wrong("variables", "variable", message, f"Did you mean {setting}?")
        else:
            yield note("variables", message, f"Unset {variable}.")


def _sources() -> str:
    unknown = config.unknown_variables()
    sources = sorted(config.environment_sources().items())
    variables = [variable for _, (variable, _) in sources if variable not in unknown]
    return f"from the environment: {', '.join(variables)}" if variables else "all at their defaults"


def _mode(settings: Settings) -> Outcome:
    mode = settings.resolved_mode
    if mode == "off":
        return note("mode", "off: nothing is recorded", "Unset REMIT_MODE to record.")
    if mode == "remote":
        return ok("mode", f"remote, to {without_credentials(settings.api_url or '')}")
    if settings.half_remote is not None:
        present, absent = settings.half_remote
        (variable, _), missing = config.environment_sources()[present], config.variables(absent)[0]
        if settings.api_url:
            message = (
                f"{variable} is set and {missing} is not, so nothing is sent to "
                f"{without_credentials(settings.api_url)} and runs are recorded in local mode"
            )
            advice = f"Set {missing} to a token of that server, or REMIT_MODE=local."
            return wrong("mode", "no_token", message, advice)
        advice = f"To send to a server, set {missing} in addition to {variable}."
        return note("mode", f"local, {missing} is not set", advice)
    return ok("mode", f"local, in {settings.data_dir / LOCAL_FILE}")


def _data_dir(directory: Path) -> Outcome:
    if directory == config.NO_DATA_DIR:
        message = "this user has no home directory: undelivered items are kept in memory only"
        return wrong("data directory", "data_dir", message, "Set REMIT_DATA_DIR to a directory.")
    try:
        private_directory(directory)
    except Failed as error:
        advice = "Set REMIT_DATA_DIR to a directory of your own."
        return wrong("data directory", "data_dir", error.message, advice)
    there = _existing(directory)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        free = shutil.disk_usage(there).free
        if free < LEAST_FREE_BYTES:
            message = f"only {size(free)} are free on the disk of {directory}"
            advice = "Free some space, or set REMIT_DATA_DIR to a directory on another disk."
            return wrong("data directory", "disk_full", message, advice)
        made = "" if there == directory else ", created at the first run"
        return ok("data directory", f"{directory}{made}")
    return wrong(
        "data directory",
        "data_dir",
        f"{directory} cannot be written to: {there} is "
        + ("not writable by this user" if there.is_dir() else "not a directory"),
        "Set REMIT_DATA_DIR to a directory of your own.",
    )


def _existing(directory: Path) -> Path:
    """Return *directory*, or its nearest parent that exists."""
    return next(path for path in (directory, *directory.absolute().parents) if path.exists())


def _memory(settings: Settings) -> Iterator[Outcome]:
    limit = memory_limit()
    room = "" if limit is None else f" of the {size(limit)} that this process may use"
    half = limit // 2 if limit is not None else sys.maxsize
    there = _existing(settings.data_dir)
    kind = memory_file_system(there) if there.is_dir() else None
    if kind is not None:
        spool = settings.max_spool_bytes
        message = (
            f"the spool in {settings.data_dir} is in memory ({kind}), and may take {size(spool)}"
        )
        if spool > half:
            advice = (
                "In an outage the process may be killed. Set REMIT_DATA_DIR to a directory on a "
                "disk, or REMIT_MAX_SPOOL_BYTES to a part of the memory, for instance "
                f"{half // 4}."
            )
            yield wrong("spool memory", "spool_memory", message + room, advice)
        else:
            advice = "To keep undelivered items, set REMIT_DATA_DIR to a directory on a disk."
            yield note("spool memory", message, advice)
    if settings.max_buffer_bytes > half:
        message = f"up to {size(settings.max_buffer_bytes)} are kept in memory{room}"
        advice = (
            "In an outage without a disk the process may be killed. Set REMIT_MAX_BUFFER_BYTES to "
            f"a part of the memory, for instance {half // 4}."
        )
        yield wrong("memory", "buffer_memory", message, advice)


def _spool(folder: Folder, files: list[SpoolFileInfo]) -> Outcome:
    taken = folder.size_bytes()
    problems = list(_problems(folder, files))
    if taken > NEARLY_FULL * folder.max_bytes:
        message = f"{size(taken)} of at most {size(folder.max_bytes)} are taken"
        advice = "Raise REMIT_MAX_SPOOL_BYTES, or send the items: new spans will soon be dropped."
        return wrong("spool", "spool_full", "; ".join([message, *problems]), advice)
    used = [file for file in files if file.state is FileState.IN_USE]
    running = f", {number_of(len(used), 'file')} of running programs" if used else ""
    if not problems:
        return ok("spool", f"nothing waits on disk{running}")
    advice = "`remit spool status` shows the items and the command that sends them."
    if any(file.state is FileState.WAITING and file.identity == folder.identity for file in files):
        advice += (
            " While URL and token stay the same, the next program, or `remit spool send`, sends "
            "them."
        )
    return note("spool", f"{'; '.join(problems)}; {size(taken)} in all{running}", advice)


def _undelivered(folder: Folder, files: list[SpoolFileInfo]) -> Iterator[Outcome]:
    failure = folder.failure()
    waiting = sum(file.items for file in files if file.identity == folder.identity)
    if failure is None or not waiting:
        return
    since = datetime.fromtimestamp(failure.since_ns / NS_PER_S, UTC)
    age_s = time.time() - since.timestamp()
    message = (
        f"{number_of(waiting, 'item')} {'waits' if waiting == 1 else 'wait'}: every attempt since "
        f"{since:%Y-%m-%dT%H:%M:%SZ} has failed ({duration(age_s)}). "
        f"The last error: {printable(failure.reason)}"
    )
    advice = "Running programs try again by themselves; `remit spool send` tries now."
    yield wrong("delivery", "undelivered", message, advice)


def _problems(folder: Folder, files: list[SpoolFileInfo]) -> Iterator[str]:
    left = [file for file in files if file.state is FileState.WAITING]
    ours = [file for file in left if file.identity == folder.identity]
    waiting = sum(file.items for file in ours)
    if waiting:
        age_s = time.time() - min(file.written_ns for file in ours) / NS_PER_S
        yield f"{number_of(waiting, 'item')} of ended programs wait, for {duration(age_s)}"
    others = sum(file.items for file in left if file not in ours)
    if others:
        yield f"{others:,} wait for another server or token"
    # The end of a run that has items is one of them, or follows them.
    runs = sum(file.open_runs for file in left if not file.items)
    if runs:
        yield f"{number_of(runs, 'run')} of ended programs did not end"
    rejected = sum(file.rejected.total() for file in files)
    if rejected:
        yield f"{rejected:,} items were rejected by a server"
    damaged = sum(file.state is FileState.DAMAGED for file in files)
    if damaged:
        yield f"{number_of(damaged, 'damaged file')}"


def _collector() -> Outcome:
    if find_spec(LOCAL_NEEDS) is None:
        return wrong(
            "collector",
            "collector",
            f"local mode needs the collector, and {LOCAL_NEEDS} is not installed",
            f"To record here, {install_extra('collector')}. "
            "To send to a server, set REMIT_API_URL and REMIT_API_TOKEN.",
        )
    serving = [name for name in COLLECTOR_NEEDS if find_spec(name) is None]
    if serving:
        message = f"runs inside the process, but {', '.join(serving)} is not installed"
        return note("collector", message, f"For `remit serve`, {install_extra('collector')}.")
    return ok("collector", "installed, runs inside the process")


def _database(path: Path) -> Outcome:
    try:
        if not path.exists():
            return ok("database", f"{path}, created at the first run")
        found = sqlite.schema_version(path)
    except (OSError, sqlite3.Error, sqlite.ForeignError) as error:
        message = f"{path} cannot be opened: {error}"
        return wrong("database", "database", message, "Move the file away, or set REMIT_DATA_DIR.")
    newest = sqlite.COLLECTOR_VERSION
    if found > newest:
        message = (
            f"{path} was written by a later version of remit: its schema version is {found}, and "
            f"this remit supports at most {newest}"
        )
        advice = "Install a later version of remit, or set REMIT_DATA_DIR to another directory."
        return wrong("database", "version", message, advice)
    if 0 < found < newest:
        message = (
            f"{path} was written by an earlier version of remit: its schema version is {found}, "
            f"and this remit needs {newest}"
        )
        advice = (
            f"Stop the programs that use it, then run: remit db upgrade --db {quote(str(path))}"
        )
        return wrong("database", "version", message, advice)
    return ok("database", f"{path}, {size(path.stat().st_size)}")
