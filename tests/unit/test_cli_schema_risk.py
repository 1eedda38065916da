"""`remit schema show --risk`: who says what of the data, and what nobody says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from inline_snapshot import snapshot

from remit.cli import main
from remit.cli._terminal import FALLBACK_COLUMNS
from remit.testing import isolated

pytestmark = pytest.mark.usefixtures("no_integrations")

NAME = "remit_test_risks"
PROGRAM = '''
import remit
from pydantic import BaseModel, EmailStr

ACTIONS = (
    "create_data", "read_data", "update_data", "destroy_data", "financial_transactions",
    "external_communication",
)

class Customer(BaseModel):
    email: EmailStr
    iban: str

@remit.span_type("find", data_risk=remit.risk(allows="read_data", gives="personal_identifiers"))
def find(phone: str) -> list[Customer]:
    """Find customers."""

@remit.span_type("act", data_risk=remit.risk(allows=ACTIONS))
def act() -> None:
    """Do everything."""

@remit.span_type("think")
def think() -> None:
    """Say nothing."""

@remit.agent(data_risk=remit.risk(
    allows="read_data", forbids="destroy_data", excludes="minors_data", classification="internal",
), limits=remit.limits(steps=200, read_data=5))
def answer(question: str) -> str:
    """Answer."""
'''


@pytest.fixture(autouse=True)
def _program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the module into the current folder."""
    (tmp_path / f"{NAME}.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with isolated():
        yield
    sys.modules.pop(NAME, None)


def show(*words: str) -> str:
    """Return what the command writes."""
    risk = ["schema", "show", "--risk", *words]
    result = CliRunner().invoke(main, risk, env={"COLUMNS": str(FALLBACK_COLUMNS)})
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def report() -> dict[str, Any]:
    """The report for programs."""
    found: dict[str, Any] = json.loads(show(f"{NAME}:answer", "--json"))
    return found


def step(report: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the entry of a span type."""
    (found,) = [each for each in report["span_types"] if each["name"] == name]
    return dict(found)


def test_each_span_type_says_what_is_declared_and_what_is_inferred_from_where(
    report: dict[str, Any],
) -> None:
    """Beside each other: what the author says, and what the types show."""
    found = step(report, "find")
    assert found["declared"] == {
        "actions": {"read_data": "allowed"},
        "result": {"personal_identifiers": "included"},
    }
    assert found["inferred"] == [
        {
            "category": "contact_information",
            "side": "result",
            "path": "return[].email",
            "type": "EmailStr",
        }
    ]
    assert found["place"].endswith(f"{NAME}.py:14")


def test_the_limits_of_the_agent_are_listed(report: dict[str, Any]) -> None:
    """Each with its number."""
    assert report["limits"] == {"read_data": 5, "steps": 200}
    assert "at most, a run\n    5 read_data\n    200 steps\n" in show(f"{NAME}:answer")


def test_what_nobody_has_said_is_listed_and_where_a_name_suggests_it(
    report: dict[str, Any],
) -> None:
    """A name proves nothing: the author is asked to say."""
    found = step(report, "find")
    assert "read_data" not in found["undeclared"]["actions"]
    assert len(found["undeclared"]["actions"]) == 5
    assert len(found["undeclared"]["params"]) == 17
    assert not {"personal_identifiers", "contact_information"} & set(found["undeclared"]["result"])
    assert found["suggested"] == [
        {"category": "contact_information", "side": "params", "path": "phone"},
        {"category": "financial_information", "side": "result", "path": "return[].iban"},
    ]


def test_a_step_that_exceeds_its_agents_remit_is_seen_before_it_runs(
    report: dict[str, Any],
) -> None:
    """By what it declares and by what its types show, as at run time."""
    assert step(report, "act")["violations"] == [
        f"destroy_data: act declares allowed, but the agent {NAME}:answer declares disallowed"
    ]
    assert step(report, "find")["violations"] == []


def test_the_report_begins_with_what_deny_does(report: dict[str, Any]) -> None:
    """Each step but the agent is in one of four lists; a refused step brings in nothing."""
    assert report["under_deny"] == {
        "allowed": [],
        "asked": {},
        "undeclared": {
            "find": ["destroy_data", "minors_data"],
            "think": ["destroy_data", "minors_data"],
        },
        "denied": {"act": ["destroy_data"]},
        "leaves": {
            "personal_identifiers": {"find": "not ruled out", "think": "not ruled out"},
            "contact_information": {"find": "not ruled out", "think": "not ruled out"},
        },
    }


def test_a_contradiction_found_at_the_first_use_is_refused(tmp_path: Path) -> None:
    """The class is defined below the step, so nothing is known of it at import."""
    (tmp_path / f"{NAME}.py").write_text(
        """
from __future__ import annotations
import remit
from pydantic import BaseModel, EmailStr

@remit.span_type("mail", data_risk=remit.risk(excludes="contact_information"))
def mail(to: Person) -> None: ...

class Person(BaseModel):
    email: EmailStr

@remit.agent(data_risk=remit.risk(excludes="contact_information"))
def answer(question: str) -> str: ...
"""
    )
    under_deny = json.loads(show(f"{NAME}:answer", "--json"))["under_deny"]
    assert under_deny["denied"] == {"mail": ["contact_information in the params"]}


def test_the_whole_agent_says_who_says_what(report: dict[str, Any]) -> None:
    """What no step and no declaration of the agent speaks of is left."""
    whole = report["whole"]
    assert whole["declared"]["actions"]["read_data"] == {
        "allowed": ["act", "find", f"{NAME}:answer"]
    }
    assert whole["declared"]["actions"]["destroy_data"] == {
        "allowed": ["act"],
        "disallowed": [f"{NAME}:answer"],
    }
    assert [(each["span_type"], each["path"]) for each in whole["inferred"]] == [
        ("find", "return[].email")
    ]
    assert whole["undeclared"]["actions"] == []
    assert "minors_data" not in whole["undeclared"]["params"]
    assert "contact_information" in whole["undeclared"]["params"]
    assert "contact_information" not in whole["undeclared"]["result"]


def test_people_read_it_in_lines() -> None:
    """Long ones go on below themselves."""
    shown = show(f"{NAME}:answer").replace(str(Path.cwd()), "...")
    assert shown == snapshot("""\
remit_test_risks:answer

  at most, a run
    5 read_data
    200 steps

  under deny
    undeclared find: destroy_data, minors_data
               think: destroy_data, minors_data
    denied     act: destroy_data
    leaves     personal_identifiers through find, think (not ruled out)
               contact_information through find, think (not ruled out)

  act  .../remit_test_risks.py:18
    declared   actions: allowed create_data, read_data, update_data, destroy_data,
                 financial_transactions, external_communication
    violations destroy_data: act declares allowed, but the agent remit_test_risks:answer declares
                 disallowed
    undeclared params: all
               result: all

  find  .../remit_test_risks.py:14
    declared   actions: allowed read_data
               result: included personal_identifiers
    inferred   result: contact_information (return[].email: EmailStr)
    undeclared actions: all but read_data
               params: all
               result: all but personal_identifiers, contact_information
    suggested  params: contact_information (phone)
               result: financial_information (return[].iban)

  remit_test_risks:answer  .../remit_test_risks.py:26
    declared   actions: allowed read_data; disallowed destroy_data
               params: excluded minors_data; classification internal
               result: excluded minors_data; classification internal
    undeclared actions: all but read_data, destroy_data
               params: all but minors_data
               result: all but minors_data

  think  .../remit_test_risks.py:22
    undeclared actions: all
               params: all
               result: all

  the agent as a whole
    declared   actions: create_data, update_data, destroy_data, financial_transactions,
                 external_communication allowed (act)
               actions: read_data allowed (act, find, answer)
               params: classification internal (answer)
               result: personal_identifiers included (find)
               result: classification internal (answer)
    inferred   result: contact_information (return[].email: EmailStr) in find
    undeclared params: all but minors_data
               result: all but personal_identifiers, contact_information, minors_data

""")


def test_without_an_agent_all_of_the_module_are_shown() -> None:
    """By their names."""
    assert list(json.loads(show(NAME, "--json"))) == ["answer"]
