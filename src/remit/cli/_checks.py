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
from contextlib import closing, suppress
from datetime import UTC, datetime
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
from remit._deliver.circuit import without_credentials
from remit._deliver.spool.folder import Folder
from remit._runtime.targets import check_target, spool_of
from remit.cli._failing import Failed
from remit.cli._files import private_folder
from remit.cli._memory import memory_file_system, memory_limit
from remit.cli._probes import probed
from remit.cli._spool_files import FileState, SpoolFileInfo, listed
from remit.cli._terminal import duration, number_of, printable, size
from remit.cli._verdicts import Check, note, ok, wrong
from remit.client._library import httpx
from remit.config import Settings
from remit.errors import SettingsError

UNTIL_THEN: Final = "Until then nothing is recorded; the policy (on_violation) holds all the same."
LOCAL_FILE: Final = "remit.db"
LOCAL_NEEDS: Final = "starlette"
"""Library that local mode needs in addition to those of remit."""
COLLECTOR_NEEDS: Final = ("uvicorn", "jinja2", "h11")
"""Libraries that `remit serve` needs in addition to those of local mode."""
NEARLY_FULL: Final = 0.9
LEAST_FREE_BYTES: Final = 8 << 20
"""Room for the logs of a spool file and of the database of local mode, 4 MiB each."""


def examined() -> Iterator[Check]:
    """Yield the result of each check; stop when the remaining ones cannot be made."""
    yield _versions()
    yield from _unknown_variables()
    try:
        settings = config.load({})
        switched_off(settings.redact_off)
        check_target(settings)
    except SettingsError as error:
        yield wrong("settings", "settings", str(error), UNTIL_THEN)
        return
    yield ok("settings", _given())
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
        yield _database(settings.data_dir / LOCAL_FILE)
    else:
        yield from probed(settings)


def _versions() -> Check:
    """Check the installed versions of the libraries that remit needs."""
    for name, least in _needs():
        installed = _installed(name)
        if _parts(installed) < _parts(least):
            said = f"{name} {installed} is installed, and remit needs {least} or later"
            return wrong("versions", "version", said, f"pip install --upgrade '{name}>={least}'")
    named = ("pydantic", httpx.__name__, "wrapt")
    libraries = ", ".join(f"{name} {_installed(name)}" for name in named)
    return ok(
        "versions",
        f"remit {__version__}, {platform.python_implementation()} {platform.python_version()}, "
        f"{libraries}, SQLite {sqlite3.sqlite_version}",
    )


def _needs() -> Iterator[tuple[str, str]]:
    """Yield the libraries that remit requires, each with its lowest version."""
    with suppress(PackageNotFoundError):
        for line in requires("remit") or ():
            named = re.fullmatch(r"([\w.-]+)>=([\d.]+)", line)
            if named is not None:
                yield named[1], named[2]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _parts(text: str) -> list[int]:
    """Return a version as a comparable value; a missing one sorts first."""
    return [int(part) for part in re.findall(r"\d+", text)[:3]]


def _unknown_variables() -> Iterator[Check]:
    """Report `REMIT_` variables that are not settings, such as mistyped ones."""
    for variable, setting in config.unknown_variables().items():
        said = f"{variable} is set, which is no setting"
        if setting:
            yield wrong("variables", "variable", said, f"Did you mean {setting}?")
        else:
            yield note("variables", said, f"Unset {variable}.")


def _given() -> str:
    """Return the variables that settings come from."""
    sources = sorted(config.environment_sources().items())
    variables = ", ".join(variable for _, (variable, _) in sources)
    return f"from the environment: {variables}" if sources else "all at their defaults"


def _mode(settings: Settings) -> Check:
    mode = settings.resolved_mode
    if mode == "off":
        return note("mode", "off: nothing is recorded", "Unset REMIT_MODE to record.")
    if mode == "remote":
        return ok("mode", f"remote, to {without_credentials(settings.api_url or '')}")
    if settings.half_remote is not None:
        present, absent = settings.half_remote
        (given, _), missing = config.environment_sources()[present], config.variables(absent)[0]
        if settings.api_url:
            said = (
                f"{given} is set and {missing} is not: nothing is sent to "
                f"{without_credentials(settings.api_url)}, runs are recorded in local mode"
            )
            advice = f"Set {missing} to a token of that server, or REMIT_MODE=local."
            return wrong("mode", "no_token", said, advice)
        advice = f"{given} is set, but to send to a server set {missing} too."
        return note("mode", f"local, {missing} is not set", advice)
    return ok("mode", f"local, in {settings.data_dir / LOCAL_FILE}")


def _data_dir(folder: Path) -> Check:
    """Check whether the folder can be written to or created, and whether its disk has room."""
    if folder == config.NO_DATA_DIR:
        said = "this user has no home folder: what waits is kept in memory, and lost with a process"
        return wrong("data folder", "data_dir", said, "Set REMIT_DATA_DIR to a folder.")
    try:
        private_folder(folder)
    except Failed as error:
        advice = "Set REMIT_DATA_DIR to a folder of your own."
        return wrong("data folder", "data_dir", error.message, advice)
    there = _existing(folder)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        free = shutil.disk_usage(there).free
        if free < LEAST_FREE_BYTES:
            said = f"only {size(free)} are free on the disk of {folder}"
            advice = "Free some space, or set REMIT_DATA_DIR to a folder on another disk."
            return wrong("data folder", "disk_full", said, advice)
        made = "" if there == folder else ", to be made at the first run"
        return ok("data folder", f"{folder}{made}")
    return wrong(
        "data folder",
        "data_dir",
        f"{folder} cannot be written to: {there} is "
        + ("not ours to write" if there.is_dir() else "not a folder"),
        "Set REMIT_DATA_DIR to a folder of your own.",
    )


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _memory(settings: Settings) -> Iterator[Check]:
    """Report a spool that is memory, and bounds that are too large for the memory there is."""
    limit = memory_limit()
    room = "" if limit is None else f" of the {size(limit)} that this process may use"
    half = limit // 2 if limit is not None else sys.maxsize
    there = _existing(settings.data_dir)
    kind = memory_file_system(there) if there.is_dir() else None
    if kind is not None:
        spool = settings.max_spool_bytes
        said = f"the spool in {settings.data_dir} is memory ({kind}), and may take {size(spool)}"
        if spool > half:
            advice = (
                "An outage may have the process killed. Set REMIT_DATA_DIR to a folder on a disk, "
                f"or REMIT_MAX_SPOOL_BYTES to a part of the memory, for instance {half // 4}."
            )
            yield wrong("spool memory", "spool_memory", said + room, advice)
        else:
            advice = "Set REMIT_DATA_DIR to a folder on a disk, if what waits is to outlive this."
            yield note("spool memory", said, advice)
    if settings.max_buffer_bytes > half:
        said = f"up to {size(settings.max_buffer_bytes)} are kept in memory{room}"
        advice = (
            "Without a disk, an outage may have the process killed. Set REMIT_MAX_BUFFER_BYTES to "
            f"a part of the memory, for instance {half // 4}."
        )
        yield wrong("memory", "buffer_memory", said, advice)


def _spool(folder: Folder, found: list[SpoolFileInfo]) -> Check:
    """Check the files in the spool: target, size, age, and items that cannot be sent."""
    taken = folder.size_bytes()
    told = list(_told(folder, found))
    if taken > NEARLY_FULL * folder.max_bytes:
        said = f"{size(taken)} of at most {size(folder.max_bytes)} are taken"
        advice = "Set REMIT_MAX_SPOOL_BYTES higher, or send what waits: new spans are dropped soon."
        return wrong("spool", "spool_full", "; ".join([said, *told]), advice)
    used = [file for file in found if file.state is FileState.IN_USE]
    running = f", {number_of(len(used), 'file')} of running programs" if used else ""
    if not told:
        return ok("spool", f"nothing waits on disk{running}")
    advice = "`remit spool status` shows it, with the command that sends it."
    if any(file.state is FileState.WAITING and file.identity == folder.identity for file in found):
        advice += (
            " While URL and token stay the same, the next program, or `remit spool send`, sends "
            "what waits."
        )
    return note("spool", f"{'; '.join(told)}; {size(taken)} in all{running}", advice)


def _undelivered(folder: Folder, found: list[SpoolFileInfo]) -> Iterator[Check]:
    """Report that items wait whose last attempt to be delivered failed."""
    failure = folder.failure()
    waiting = sum(file.items for file in found if file.identity == folder.identity)
    if failure is None or not waiting:
        return
    since = datetime.fromtimestamp(failure.since_ns / NS_PER_S, UTC)
    age_s = time.time() - since.timestamp()
    said = (
        f"{number_of(waiting, 'item')} {'waits' if waiting == 1 else 'wait'}: every attempt since "
        f"{since:%Y-%m-%dT%H:%M:%SZ} has failed, for {duration(age_s)}. "
        f"The last error: {printable(failure.reason)}"
    )
    advice = "Programs that run try again by themselves; `remit spool send` tries now."
    yield wrong("delivery", "undelivered", said, advice)


def _told(folder: Folder, found: list[SpoolFileInfo]) -> Iterator[str]:
    left = [file for file in found if file.state is FileState.WAITING]
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
    refused = sum(file.refused.total() for file in found)
    if refused:
        yield f"{refused:,} items were refused by a server"
    damaged = sum(file.state is FileState.DAMAGED for file in found)
    if damaged:
        yield f"{number_of(damaged, 'file')} damaged"


def _collector() -> Check:
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
        said = f"runs inside the process, but {', '.join(serving)} is not installed"
        return note("collector", said, f"For `remit serve`, {install_extra('collector')}.")
    return ok("collector", "installed, runs inside the process")


def _database(path: Path) -> Check:
    """Check that the file of local mode is a database, and not of a later version."""
    try:
        if not path.exists():
            return ok("database", f"{path}, to be made at the first run")
        sqlite.check_ours(path, sqlite.COLLECTOR)
        with closing(sqlite.reader(path)) as opened:
            (found,) = opened.execute("PRAGMA user_version").fetchone()
    except (OSError, sqlite3.Error, sqlite.ForeignError) as error:
        said = f"{path} cannot be opened: {error}"
        return wrong("database", "database", said, "Move it away, or set REMIT_DATA_DIR.")
    newest = sqlite.COLLECTOR_VERSION
    if found > newest:
        said = f"{path} was written by a later remit: its schema is {found}, known is {newest}"
        advice = "Install a later version of remit, or set REMIT_DATA_DIR to another folder."
        return wrong("database", "version", said, advice)
    if 0 < found < newest:
        said = (
            f"{path} is of an earlier version: its schema is {found}, that of this remit {newest}"
        )
        advice = f"Stop what records into it, and run: remit db upgrade --db {quote(str(path))}"
        return wrong("database", "version", said, advice)
    return ok("database", f"{path}, {size(path.stat().st_size)}")
