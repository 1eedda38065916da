"""What `remit doctor` looks at, one check after the other; nothing is changed by it."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from remit import config
from remit._runtime import spool_of
from remit._spool.listing import FileState, listed
from remit._version import __version__
from remit.cli._probes import probed
from remit.cli._verdicts import Check, note, ok, wrong
from remit.config import Settings
from remit.errors import SettingsError

COLLECTOR_NEEDS: Final = ("starlette", "uvicorn", "jinja2", "httptools")


def examined() -> Iterator[Check]:
    """Yield what each check found; the later ones are left out when they cannot be done."""
    yield ok("versions", _versions())
    try:
        settings = config.load({})
    except SettingsError as error:
        yield wrong("settings", "settings", str(error), "Until then remit is off in every program.")
        return
    yield ok("settings", _given(settings))
    yield _mode(settings)
    if settings.resolved_mode == "off":
        return
    yield _data_dir(settings.data_dir)
    yield _spool(settings)
    if settings.resolved_mode == "local":
        yield _collector()
    else:
        yield from probed(settings)


def _versions() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pydantic", "httpx", "wrapt"))
    return (
        f"remit {__version__}, {platform.python_implementation()} {platform.python_version()}, "
        f"{libraries}, SQLite {sqlite3.sqlite_version}"
    )


def _given(settings: Settings) -> str:
    """Return which settings the environment gives, by the names of their variables."""
    found = [
        name
        for setting in sorted(settings.model_fields_set)
        for name in config.variables(setting)
        if os.environ.get(name)
    ]
    return f"from the environment: {', '.join(found)}" if found else "all at their defaults"


def _mode(settings: Settings) -> Check:
    mode = settings.resolved_mode
    if mode == "off":
        return note("mode", "off: nothing is recorded", "Unset REMIT_MODE to record.")
    if mode == "remote":
        return ok("mode", f"remote, to {settings.api_url}")
    if bool(settings.api_url) != bool(settings.api_token):
        given, missing = (
            ("a URL", "REMIT_API_TOKEN") if settings.api_url else ("a token", "REMIT_API_URL")
        )
        advice = f"There is {given}, but to send to a server set {missing} too."
        return note("mode", f"local, {missing} is not set", advice)
    return ok("mode", f"local, in {settings.data_dir / 'remit.db'}")


def _data_dir(folder: Path) -> Check:
    """Look whether the folder can be written to, or could be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        made = "" if there == folder else ", to be made at the first run"
        return ok("data folder", f"{folder}{made}")
    return wrong(
        "data folder",
        "data_dir",
        f"{folder} cannot be written to: {there} is "
        + ("not ours to write" if there.is_dir() else "not a folder"),
        "Set REMIT_DATA_DIR to a folder of your own.",
    )


def _spool(settings: Settings) -> Check:
    """Look for what ended processes could not deliver."""
    files = listed(spool_of(settings))
    waiting = sum(file.items + file.open_runs for file in files if file.state is FileState.WAITING)
    refused = sum(file.refused.total() for file in files)
    told = [
        f"{count:,} {what}"
        for count, what in (
            (waiting, "items and open runs of ended processes wait"),
            (refused, "items were refused by a server"),
        )
        if count
    ]
    if not told:
        return ok("spool", "nothing waits on disk")
    advice = "`remit spool status` shows them; the next program, or `remit spool send`, sends them."
    return note("spool", ", ".join(told), advice)


def _collector() -> Check:
    missing = [name for name in COLLECTOR_NEEDS if find_spec(name) is None]
    if missing:
        return wrong(
            "collector",
            "collector",
            f"local mode needs the collector, and {', '.join(missing)} is not installed",
            "pip install 'remit[collector]', or set REMIT_API_URL and REMIT_API_TOKEN.",
        )
    return ok("collector", "installed, runs inside the process")
