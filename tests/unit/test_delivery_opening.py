"""Opening runs at the server: which agent, registration, start."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from remit._base import guard
from remit._base.version import __version__
from remit._deliver.status import Health
from remit._record.items import AgentRef
from tests.delivering import Stepped
from tests.fake_api import FakeApi, refusal
from tests.recording import HandRun, agent


def recorded(stepped: Stepped, ref: AgentRef | None = None, *, purpose: str = "live") -> HandRun:
    """Record a run with one span, and deliver it."""
    run = HandRun(stepped.sink, ref or agent(), purpose).open()
    run.span()
    run.close()
    stepped.deliver()
    return run


def test_a_registration_tells_the_agents_version_schema_and_what_runs_it() -> None:
    """The runtime is added when sent; it is in no hash."""
    api = FakeApi()
    recorded(Stepped(api))
    body = api.seen[0].body
    version = ".".join(map(str, sys.version_info[:3]))
    environment = body["agent_version"].pop("runtime_environment")
    assert environment["agent_sdk"] == environment["prefactor_sdk"] == [f"remit@{__version__}"]
    assert environment["runtime"] == f"python {version}"
    assert environment["os"]
    assert body["agent_version"] == {"external_identifier": "1", "name": "Support"}
    assert body["agent_schema_version"]["external_identifier"] == "schema-abc"
    assert "agent_id" not in body
    assert "environment_id" not in body


@pytest.mark.parametrize(
    ("purpose", "updates"), [("live", True), ("eval", False), ("smoke_test", False)]
)
def test_only_live_runs_change_the_current_version(purpose: str, *, updates: bool) -> None:
    """An evaluation of tomorrow's code must not become what production is compared with."""
    api = FakeApi()
    recorded(Stepped(api), purpose=purpose)
    assert api.seen[0].body["purpose"] == purpose
    assert api.seen[0].body["update_current_version"] is updates


CLERK = {"id": "A", "external_identifier": "desk:clerk", "name": "Clerk"}


@pytest.mark.parametrize(
    ("answered", "agent_id", "recorded_as"),
    [
        (CLERK, None, {"desk:support": "desk:clerk", "desk:cook": "desk:clerk"}),
        ({**CLERK, "external_identifier": "desk:cook"}, None, {"desk:support": "desk:cook"}),
        ({**CLERK, "external_identifier": None}, None, {"desk:cook": "desk:support"}),
        (None, None, {"desk:cook": "desk:support"}),
        (CLERK, "A", {}),
        (None, "B", {"desk:support": "A", "desk:cook": "A"}),
    ],
    ids=["another", "one of two", "without a name", "not told", "as meant by id", "another id"],
)
def test_runs_that_are_recorded_as_another_agents_are_said_once_and_counted(
    answered: dict[str, str | None] | None,
    agent_id: str | None,
    recorded_as: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server decides; what it does not tell is not guessed."""
    api = FakeApi(agent_of_token="A", agent_answered=answered)
    stepped = Stepped(api)

    for _ in range(2):
        for name in ("desk:support", "desk:cook"):
            recorded(stepped, agent(name, agent_id=agent_id))

    assert stepped.status.misattributed == dict.fromkeys(recorded_as, 2)
    said = [line for line in caplog.messages if "records the runs of" in line]
    told = [
        f"the runs of {mine} as runs of the agent {other}," for mine, other in recorded_as.items()
    ]
    assert [any(each in line for line in said) for each in told] == [True] * len(told)
    assert len(said) == len(told)
    assert len(api.instances) == 4


def test_an_explicit_agent_id_wins() -> None:
    """It is sent as given, and nobody looks for another."""
    api = FakeApi(needs_agent_id=True)
    recorded(Stepped(api), ref=agent(agent_id="a1"))
    assert api.seen[0].body["agent_id"] == "a1"
    assert api.paths() == ["register", "start", "bulk", "finish"]


def test_an_agent_that_the_server_does_not_know_is_made_once() -> None:
    """With an account token and no id: look for it, make it, remember it."""
    api = FakeApi(needs_agent_id=True)
    stepped = Stepped(api)
    recorded(stepped)
    recorded(stepped)
    assert api.paths()[:5] == ["register", "show", "agent", "register", "start"]
    assert api.paths()[7:] == ["register", "start", "bulk", "finish"]
    first, _, made, second = (seen.body for seen in api.seen[:4])
    assert made["details"] == {
        "name": "Support",
        "description": "Answers.",
        "external_identifier": "desk:support",
    }
    assert second == first | {"agent_id": api.agents["desk:support"]}


def test_an_agent_that_the_server_knows_is_found() -> None:
    """By the client's name of it."""
    api = FakeApi(needs_agent_id=True, agents={"desk:support": "a7"})
    recorded(Stepped(api))
    assert api.paths()[:4] == ["register", "show", "register", "start"]
    assert api.seen[2].body["agent_id"] == "a7"


def test_an_agent_that_another_process_makes_meanwhile_is_found() -> None:
    """Both look, both make, one is refused and looks again."""
    api = FakeApi(needs_agent_id=True, agents={"desk:support": "a7"})
    api.script("/show", refusal(404))
    api.script("/agent", refusal(422, "validation_errors"))
    recorded(Stepped(api))
    assert api.paths()[:5] == ["register", "show", "agent", "show", "register"]
    assert api.seen[4].body["agent_id"] == "a7"


def test_a_remembered_agent_that_is_gone_is_looked_for_again() -> None:
    """The run waits, and the next try finds or makes the agent anew."""
    api = FakeApi(needs_agent_id=True)
    stepped = Stepped(api)
    recorded(stepped)
    api.script("/register", refusal(404, "not_found"))
    HandRun(stepped.sink).open()
    stepped.deliver()
    assert stepped.status.health is Health.WRONG_SERVER
    stepped.settle()
    assert stepped.status.set_aside == {}
    assert api.paths()[-6:] == ["register", "register", "show", "register", "start", "bulk"]


def test_a_server_that_fails_while_the_agent_is_looked_for_is_tried_later() -> None:
    """Nothing is lost; the registration that was refused for want of an id is not repeated."""
    api = FakeApi(needs_agent_id=True)
    api.script("/show", refusal(503))
    stepped = Stepped(api)
    HandRun(stepped.sink).open()
    assert stepped.deliver() == 1.0
    stepped.clock.advance(1)
    stepped.deliver()
    assert api.paths()[:5] == ["register", "show", "show", "agent", "register"]
    assert stepped.status.pending == 0


def test_a_refused_registration_sets_the_whole_run_aside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Said once, naming agent and reason; other agents' runs go on."""
    api = FakeApi()
    wrong = refusal(422, "validation_errors", message="bad schema", errors={"span_schemas": ["x"]})
    api.rules.append(
        lambda path, body: wrong if "register" in path and body.get("agent_id") == "bad" else None
    )
    stepped = Stepped(api)
    broken = agent("desk:broken", agent_id="bad")
    runs = [HandRun(stepped.sink, ref=broken).open() for _ in range(3)]
    for run in runs:
        run.span()
        run.quality()
        run.close()
    recorded(stepped)
    assert stepped.status.set_aside == {"run_validation_errors": 18}
    assert len(api.instances) == 1
    (line,) = [text for text in caplog.messages if "rejected" in text]
    assert "desk:broken" in line
    assert "bad schema" in line
    assert not any(stepped.holds(run.key) for run in runs)


def test_what_comes_late_for_a_refused_run_is_set_aside_too() -> None:
    """Its spans would have no instance."""
    api = FakeApi()
    api.script("/register", refusal(400, "bad_request"))
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.deliver()
    run.span()
    run.close()
    run.quality()
    stepped.deliver()
    run.quality()
    stepped.deliver()
    assert sum(stepped.status.set_aside.values()) == 7
    assert stepped.status.pending == 0


@pytest.mark.parametrize("call", ["/start", "/finish"])
def test_a_conflict_on_start_or_finish_means_that_it_is_so_already(call: str) -> None:
    """Another try of ours got through, or the run was terminated."""
    api = FakeApi()
    api.script(call, refusal(409, "invalid_action"))
    stepped = Stepped(api)
    recorded(stepped)
    assert stepped.status.set_aside == {}
    assert api.paths() == ["register", "start", "bulk", "finish"]


def test_a_start_that_fails_for_now_is_tried_again_without_another_registration() -> None:
    """How far a run has come is remembered."""
    api = FakeApi()
    api.script("/start", refusal(503))
    stepped = Stepped(api)
    HandRun(stepped.sink).open().close()
    stepped.deliver()
    stepped.clock.advance(1)
    stepped.deliver()
    assert api.paths() == ["register", "start", "start", "bulk", "finish"]


def test_a_refused_start_sets_the_run_aside() -> None:
    """A server that will not have it started will not have its spans."""
    api = FakeApi()
    api.script("/start", refusal(422, "validation_errors"))
    stepped = Stepped(api)
    recorded(stepped)
    assert stepped.status.set_aside == {"run_validation_errors": 5}
    assert api.paths() == ["register", "start"]


@pytest.mark.parametrize("call", ["/start", "/finish"])
def test_an_instance_that_the_server_forgot_is_registered_once_more(call: str) -> None:
    """With the same key, so that a server that only hesitated gives the same instance."""
    api = FakeApi()
    api.script(call, refusal(404, "not_found"))
    stepped = Stepped(api)
    recorded(stepped)
    keys = [seen.body["idempotency_key"] for seen in api.seen if "register" in seen.path]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert stepped.status.set_aside == {}


def test_an_instance_that_stays_unknown_is_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    """Two registrations are enough."""
    api = FakeApi()
    api.script("/start", *[refusal(404, "not_found")] * 5)
    stepped = Stepped(api)
    recorded(stepped)
    assert stepped.status.set_aside == {"run_not_found": 5}
    assert api.paths() == ["register", "start", "register", "start"]
    assert "start returned 404" in caplog.text


def broken() -> dict[str, object]:
    """Fail to build a registration."""
    raise ValueError("secret")


@pytest.mark.parametrize(
    "registration",
    [
        broken,
        dict,
        lambda: {"agent_version": 1, "agent_schema_version": {}},
        lambda: {"agent_version": {}, "agent_schema_version": {"x": object()}},
    ],
    ids=["raises", "empty", "of wrong types", "not JSON"],
)
def test_a_run_whose_registration_cannot_be_built_is_not_delivered(
    registration: Callable[[], dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    """Everything of the run is set aside and said once; runs of other agents are delivered."""
    api = FakeApi()
    stepped = Stepped(api)
    ref = agent(registration=registration)
    recorded(stepped, ref)
    recorded(stepped, ref)
    assert api.seen == []
    assert set(stepped.status.set_aside) == {"run_unregistered"}
    assert guard.faults.counts["building a registration"] == 1
    assert caplog.text.count("the registration of desk:support could not be built") == 1
    assert "secret" not in caplog.text
    recorded(stepped, agent("desk:other"))
    assert api.paths() == ["register", "start", "bulk", "finish"]


def test_a_registration_is_built_once() -> None:
    """And once more for each declaration that comes later: building schemas takes milliseconds."""
    built: list[int] = []

    def registration() -> dict[str, object]:
        built.append(1)
        return {"agent_version": {}, "agent_schema_version": {"n": len(built) // 3}}

    api = FakeApi()
    stepped = Stepped(api)
    # A new reference to the agent means that something was declared since.
    for ref in (first := agent(registration=registration), first, replace(first), replace(first)):
        for _ in range(4):
            HandRun(stepped.sink, ref=ref).open()
        stepped.deliver()
    assert len(built) == 3
    told = [seen.body for seen in api.seen if seen.path.endswith("/register")]
    assert [body["agent_schema_version"]["n"] for body in told] == [0] * 12 + [1] * 4
