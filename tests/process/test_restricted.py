"""Programs in places that restrict what Python can do: a sandbox, a frozen program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import start, told_by
from tests.served import environment

DESK = '''
import remit


@remit.span_type(data_risk=remit.risk(allows="read_data"))
def look(number: int) -> int:
    """Look a number up."""
    return number + 1


@remit.agent(name="Desk")
def desk(number: int) -> int:
    """Answer."""
    return look(number)
'''

# As in the sandbox of Temporal: what a workflow's module imports is imported again, and then calls
# that are not deterministic raise.
SANDBOXED = f"""
import os, signal, threading
{DESK}

class RestrictedError(Exception):
    pass


def restricted(*_):
    raise RestrictedError


class Restricted:
    __getattr__ = __getitem__ = __iter__ = __contains__ = restricted


signal.getsignal = threading.Lock = restricted
os.environ = Restricted()
"""

# As in a program that cx_Freeze made.
FROZEN = f"""
import os
del os.__file__
{DESK}
"""


@pytest.mark.parametrize("program", [SANDBOXED, FROZEN], ids=["sandboxed", "frozen"])
def test_an_agent_answers_where_python_is_restricted(program: str, tmp_path: Path) -> None:
    """Its record may be lost; its answer is not."""
    answer, errors = told_by(start(f"{program}print(desk(1))", environment(tmp_path)))
    assert answer == "2\n"
    assert "Traceback" not in errors


FORBIDDING = """
@remit.agent(name="Careful", data_risk=remit.risk(forbids="read_data"))
def careful(number: int) -> str:
    try:
        look(number)
    except remit.errors.DeniedError as error:
        return str(error)


print(careful(1))
"""


def test_a_forbidden_step_is_refused_where_the_policy_cannot_be_read(tmp_path: Path) -> None:
    """Governance fails closed, also where telemetry cannot begin."""
    answer, errors = told_by(start(SANDBOXED + FORBIDDING, environment(tmp_path)))
    assert "could not be compared with any remit" in answer
    assert "look" in answer
    assert "Traceback" not in errors
