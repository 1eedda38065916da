"""The sessions that a desk and CI run: `nox -l` lists them.

Each makes an environment of its own. `nox --no-venv -s lint types docs` uses the one that is
active instead; that is what the Makefile does, because it takes seconds.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import nox
from nox.command import CommandFailed

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
PINNED = ("-c", "requirements/dev.txt")
# What is imported is compiled at its first import: half of what pip would compile never is.
UNCOMPILED = ("--no-compile",)
# What depends on the libraries that are asked for by their lowest version, whatever the Python.
ON_THE_LOWEST = (
    "tests/unit/test_capture*.py",
    "tests/unit/test_client_http.py",
    "tests/unit/test_delivery*.py",
    "tests/unit/test_spool*.py",
    "tests/property/test_capture*.py",
)
FRAMEWORKS = {
    "anthropic": ("anthropic",),
    "claude_agent_sdk": ("claude-agent-sdk",),
    "langchain": ("langchain", "langchain-core", "langgraph"),
    "mcp": ("mcp",),
    "openai": ("openai",),
    "openai_agents": ("openai-agents",),
    "otel": ("opentelemetry-sdk",),
    "pydantic_ai": ("pydantic-ai-slim",),
}
"""The frameworks of each integration, by the name of its tests."""
# conftest.py lists them too: any other run leaves them out.
OWN_ENVIRONMENT = (
    "tests/integrations/test_crewai.py",
    "tests/integrations/test_google_adk.py",
    "docs/integrations/crewai.md",
    "docs/integrations/google-adk.md",
)
SDIST_MUST_NOT_HOLD = (".venv", ".nox", ".git/", "__pycache__", "build/", ".db")

nox.options.sessions = ["lint", "types", "lowest", "docs", "package"]
nox.options.default_venv_backend = "virtualenv"


def show_interpreters() -> None:
    """Put the interpreters of a version manager before its shims, which refuse to run most.

    After them come those that `.ci/python` unpacked.
    """
    versions = Path.home() / ".pyenv" / "versions"
    unpacked = str(Path(__file__).parent / ".pythons" / "usr" / "bin")
    folders = [str(found / "bin") for minor in PYTHONS for found in versions.glob(f"{minor}.*")]
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([own, *folders, unpacked, os.environ.get("PATH", "")])


show_interpreters()


def install(session: nox.Session, extras: str = "all,dev") -> None:
    """Install the project with *extras* in the pinned versions, unless the session borrows."""
    if session.virtualenv.venv_backend == "none":
        return
    session.install(*UNCOMPILED, *PINNED, "hatchling", "editables")
    session.install(*UNCOMPILED, *PINNED, "--no-build-isolation", "--editable", f".[{extras}]")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, the floors, the generated client, and the changelog's fragments."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")
    session.run("python", "tools/sync_client.py", "--check")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check types, with both readers."""
    install(session)
    session.run("mypy")
    # The cache of the run above is for this system.
    session.run(
        "mypy", "--config-file", "typings/windows.ini", "--cache-dir", ".mypy_cache/win32", "src"
    )  # fmt: skip
    session.run("pyright")


@nox.session(python=PYTHONS[1:])
def pythons(session: nox.Session) -> None:
    """Run the tests whose answer can depend on the version of Python."""
    install(session, "all,test")
    run_tests(session, of_each_python())


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run those tests, those of delivery, and the documents, with the lowest versions.

    They are those that we ask for.
    """
    session.install(*UNCOMPILED, "-r", "requirements/lowest.txt")
    session.install(*UNCOMPILED, "--no-deps", "--no-build-isolation", "--editable", ".")
    more = {path for pattern in ON_THE_LOWEST for path in Path().glob(pattern)}
    # Documents about frameworks, which are not installed here, are left out.
    run_tests(session, of_each_python() | more | {Path("README.md"), Path("docs")})


def of_each_python() -> set[Path]:
    """Return the files with the marker `python`: to collect the others takes longer."""
    return {
        path
        for path in Path("tests").glob("*/test_*.py")
        if "pytest.mark.python" in path.read_text()
    }


def run_tests(session: nox.Session, paths: set[Path]) -> None:
    """Run the tests of *paths* that have the marker `python` or need no gate."""
    session.run(
        "python", "-m", "pytest", "--strict-skips", "-q", "-n", "2", "--dist", "loadscope",
        "-m", "python or not gate",
        *map(str, sorted(paths)), *session.posargs,
    )  # fmt: skip


@nox.session(python=PYTHONS[0])
def newest(session: nox.Session) -> None:
    """Run the tests of the integrations with the newest releases, and print how they did.

    It passes whatever they did, so it needs an environment of its own.
    """
    install(session, "all,test-gate")
    packages = [package for each in FRAMEWORKS.values() for package in each]
    pinned = versions(session, packages)
    session.install(*UNCOMPILED, "--upgrade", *packages)
    newest = versions(session, packages)
    rows = [("framework", "pinned", "newest", "tests")]
    for name, of_integration in FRAMEWORKS.items():
        try:
            session.run("python", "-m", "pytest", "-q", f"tests/integrations/test_{name}.py")
            result = "passed"
        except CommandFailed:
            result = "failed"
        rows += [(each, pinned[each], newest[each], result) for each in of_integration]
    for row in rows:
        session.log("".join(cell.ljust(20) for cell in row).rstrip())


def versions(session: nox.Session, packages: list[str]) -> dict[str, str]:
    """Return the versions that a session has of *packages*."""
    program = (
        "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    )
    shown = session.run("python", "-c", program, *packages, silent=True)
    return dict(zip(packages, str(shown).split(), strict=True))


@nox.session(python=PYTHONS[0])  # CrewAI does not run on Python 3.14 or later
def frameworks(session: nox.Session) -> None:
    """Run the tests of the frameworks whose requirements exclude the pinned versions."""
    session.install(*UNCOMPILED, "-r", "requirements/frameworks.txt")
    session.install(*UNCOMPILED, "--no-deps", "--no-build-isolation", "--editable", ".")
    session.run(
        "python", "-m", "pytest", "--strict-skips", "-q", "-n", "2", "--dist", "loadscope",
        *OWN_ENVIRONMENT, *session.posargs,
    )  # fmt: skip
    session.run(
        "python", "-m", "pytest", "--strict-skips", "-q", "tests/process/test_own_faults.py",
        "-k", "in_an_integration and (crewai or google)",
    )  # fmt: skip


@nox.session
def browser(session: nox.Session) -> None:
    """Run the tests of the page in a browser, Debian's chromium-headless-shell."""
    install(session, "all,test-gate")
    session.run("python", "-m", "pytest", "--strict-skips", "tests/browser", *session.posargs)


@nox.session(python=PYTHONS[0])
def bridge(session: nox.Session) -> None:
    """Run the tests and the page of frameworks that do not install with the gate's libraries."""
    session.install(*UNCOMPILED, "-r", "requirements/bridge.txt")
    session.install(*UNCOMPILED, "--no-deps", "--no-build-isolation", "--editable", ".")
    session.run(
        "python", "-m", "pytest", "--strict-skips", "-W", "default", "-q",
        "tests/integrations/test_bridge_frameworks.py", "docs/integrations/more-frameworks.md",
        *session.posargs, env={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )  # fmt: skip


@nox.session
def instructions(session: nox.Session) -> None:
    """Compare the instructions of a decorated call with the stored counts."""
    install(session)
    session.run("python", "-m", "benchmarks.instructions", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a dead cross-reference is an error."""
    install(session)
    session.run("sphinx-build", "-n", "-W", "--keep-going", "-q", "docs", "build/site")
    session.run("python", "-m", "docs.ask", "build/site")


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist and the wheel, look into the one, install and use the other."""
    install(session)
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist", silent=True)
    check_sdist(session)
    (wheel,) = Path("dist").glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        python = f"{folder}/venv/bin/python"
        session.run("python", "-m", "venv", f"{folder}/venv")
        # By path: remit is not on a package index yet, and this wheel is what is tested.
        session.run(
            python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            *UNCOMPILED, *PINNED, f"{wheel}[collector]", external=True,
        )  # fmt: skip
        session.chdir(folder)
        session.run(python, "-W", "error", "-c", "import remit; remit.agent", external=True)
        shown = session.run(f"{folder}/venv/bin/remit", "--version", external=True, silent=True)
        if str(shown).split() != ["remit", wheel.name.split("-")[1]]:
            session.error(f"{wheel.name} says that it is {shown}")
        session.run(
            f"{folder}/venv/bin/remit", "demo", "--data-dir", f"{folder}/data",
            external=True, silent=True,
        )  # fmt: skip
        # The wheel has the templates and the static files of the page.
        check = "from remit.collector.page.shell import render, static_files; static_files()"
        session.run(python, "-W", "error", "-c", check, external=True)


def check_sdist(session: nox.Session) -> None:
    """Fail when the sdist holds something that no one asked for."""
    (sdist,) = Path("dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    strays = [name for name in names if any(part in name for part in SDIST_MUST_NOT_HOLD)]
    if strays:
        session.error(f"{sdist} holds {strays[:5]}; mend the list in pyproject.toml")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure, side by side with peers; nothing here passes or fails by time."""
    install(session)
    session.run("python", "-m", "benchmarks", *session.posargs)
