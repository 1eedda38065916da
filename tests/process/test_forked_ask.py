"""A program that forks between a person's yes and the step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.processes import settings, start, told_by
from tests.served import collector

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="only on Linux or macOS: needs os.fork"
)

PROGRAM: Final = """
import os
import remit
from remit.errors import DeniedError

class Pause(Exception):
    pass

seals = []

def person(request):
    if seals and request.matches(seals[0]):
        return remit.Approved(by="dana")
    seals.append(request.seal())
    raise Pause

@remit.span_type(data_risk=remit.risk(allows="financial_transactions", forbids="others"))
def pay():
    os.write(1, b"paid\\n")

@remit.agent(data_risk=remit.risk(asks="financial_transactions"))
def desk():
    pay()

remit.configure(approver=person, control_flow=Pause)
try:
    desk()
except Pause:
    child = os.fork()
    try:
        desk()
    except DeniedError as denied:
        os.write(1, f"{denied.why}\\n".encode())
    if child:
        os.waitpid(child, 0)
"""


def test_parent_and_child_use_one_yes_once(tmp_path: Path) -> None:
    """Both go on after the pause with the same answer."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token) | {"REMIT_ON_VIOLATION": "deny"}
        told, _ = told_by(start(PROGRAM, environ))
    assert sorted(told.splitlines()) == [
        "paid",
        "the answer belongs to a request that was answered before",
    ]
