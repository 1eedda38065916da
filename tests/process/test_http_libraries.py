"""The tests of the client, and those of delivery that use it, on httpx beside httpx2.

The gate has httpx2 installed, so `make test` runs them on that.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

pytestmark = [pytest.mark.gate, pytest.mark.timeout(600)]

FILES = sorted(
    str(path.relative_to(ROOT))
    for part in ("client*", "delivery")
    for path in ROOT.glob(f"tests/unit/test_{part}.py")
)
# httpx2 is not importable while remit chooses; a test imports both afterwards.
RUN_TESTS = """
import sys

sys.modules["httpx2"] = None
from remit.client._library import httpx
del sys.modules["httpx2"]
assert httpx.__name__ == "httpx", httpx

import pytest
# The HTTP library has imported anyio, whose assertions pytest rewrites.
options = ["--strict-skips", "-p", "no:cacheprovider"]
options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
raise SystemExit(pytest.main([*options, *sys.argv[1:]]))
"""
CHOOSE = """
import sys

def loaded():
    return [name for name in ("httpx", "httpx2") if sys.modules.get(name)]

sys.modules |= dict.fromkeys(sys.argv[1:])
import remit
print(*loaded(), "|")
remit.configure(mode="off")
print(*loaded())
"""


def test_client_and_delivery_work_on_httpx() -> None:
    """No test of theirs is left out, whatever it needs."""
    ran = subprocess.run(
        [sys.executable, "-c", RUN_TESTS, *FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:] + ran.stderr
    for name in ("test_client_http.py", "test_client_libraries.py", "test_delivery.py"):
        assert f"tests/unit/{name}" in ran.stdout


def test_the_program_chooses_httpx2_where_it_is_importable() -> None:
    """Else httpx; it loads one of the two, and `import remit` neither."""
    for blocked, chosen in ((), "httpx2"), (("httpx2",), "httpx"), (("httpcore2",), "httpx"):
        ran = subprocess.run(
            [sys.executable, "-c", CHOOSE, *blocked], capture_output=True, text=True, check=True
        )
        assert ran.stdout.split() == ["|", chosen], blocked
