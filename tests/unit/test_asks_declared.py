"""`asks=` in what is reviewed: the lock, its difference, and the report of risks."""

from __future__ import annotations

import json
from typing import Any, cast

from click.testing import CliRunner

import remit
from remit._lock.content import lock_of, risk_words
from remit._lock.difference import Lock, changes
from remit._policy.words import ACTIONS
from remit.cli import main
from remit.models.data_risk import DataRisk
from tests.governed import pay
from tests.subtests import each

NAME = "tests.unit.test_asks_declared:desk"


@remit.agent(data_risk=remit.risk(allows="read_data", forbids="destroy_data", asks="others"))
def desk() -> None:
    """Ask about most actions."""
    pay()


def lock_with(risk: DataRisk) -> Lock:
    """Return the lock of the agent, registered with another *risk*."""
    version = cast("Any", desk.registration())["agent_schema_version"]
    for entry in version["span_type_schemas"]:
        if entry["name"] == NAME:
            entry["data_risk"] = risk.model_dump(mode="json")
            entry["params_schema"].pop("x-remit-asks", None)
            if risk.asks:
                entry["params_schema"]["x-remit-asks"] = list(risk.asks)
    return cast("Lock", json.loads(json.dumps(lock_of({NAME: version}))))


def test_a_lock_has_what_is_asked_and_which_steps() -> None:
    """The spans of the questions are no steps."""
    lock = lock_with(remit.risk(allows="read_data", forbids="destroy_data", asks="others"))
    agent: Any = lock["agents"][NAME]
    assert agent["risk"] == {
        "allows": ["read_data"],
        "forbids": ["destroy_data"],
        "asks": ["others"],
    }
    # It leaves destroying data undeclared, which the agent forbids.
    assert agent["steps"]["undeclared"]["tests.governed:pay"] == ["destroy_data"]
    lock = lock_with(remit.risk(asks="financial_transactions"))
    agent = lock["agents"][NAME]
    assert agent["steps"]["asked"]["tests.governed:pay"] == ["financial_transactions"]
    assert "remit:asked" not in str(lock)


NEVER = remit.risk(forbids="financial_transactions")
ASKS = remit.risk(asks="financial_transactions")
MAY = remit.risk(allows="financial_transactions")
SILENT = remit.risk()


@each(
    ("old", "new", "effect"),
    [
        (NEVER, ASKS, "widens"),
        (ASKS, MAY, "widens"),
        (ASKS, SILENT, "widens"),
        (NEVER, MAY, "widens"),
        (MAY, ASKS, "narrows"),
        (SILENT, ASKS, "narrows"),
        (ASKS, NEVER, "narrows"),
    ],
)
def test_a_difference_ranks_never_below_asks_below_may(
    old: DataRisk, new: DataRisk, effect: str
) -> None:
    """The word itself, and what follows for the step."""
    found = changes(lock_with(old), lock_with(new))
    (own,) = (change for change in found if change.name == "financial_transactions")
    assert own.effect == effect
    (step,) = (
        change
        for change in found
        if change.what == "may take" and change.name == "tests.governed:pay"
    )
    assert step.effect == effect


@each(
    "arguments",
    [
        {"asks": "others"},
        {"allows": "read_data", "asks": "others"},
        {"asks": "destroy_data", "forbids": "others"},
        {"asks": ("destroy_data", "read_data"), "forbids": "create_data"},
        {"asks": ACTIONS},
        {"allows": "read_data", "forbids": "destroy_data", "asks": "others"},
    ],
)
def test_the_words_of_a_lock_declare_the_same_again(arguments: dict[str, Any]) -> None:
    """`others` is written where it follows from the rest."""
    risk = remit.risk(**arguments)
    again = remit.risk(**risk_words(risk))
    assert again == risk
    assert again.asks == risk.asks


def test_the_report_of_risks_has_the_steps_that_are_asked_about() -> None:
    """In a list of their own, with their words."""
    shown = CliRunner().invoke(main, ["schema", "show", NAME, "--risk", "--json"])
    report = json.loads(shown.output)
    report = report[0] if isinstance(report, list) else report
    assert "asked" in json.dumps(report["under_deny"])
    (own,) = (each_ for each_ in report["span_types"] if each_["name"] == NAME)
    assert own["declared"]["actions"]["financial_transactions"] == "asked"
