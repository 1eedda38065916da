"""What a server gets of a declaration is what `agent.registration()` returns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, SecretStr

import remit
from remit._runtime import setup
from remit.cli import main
from remit.config import Settings
from tests.fake_api import FakeApi
from tests.processes import FULL

pytestmark = pytest.mark.gate

AGENT_ID: Final = "01m87w83jttgb1tsy0aqwcmb8r9zyn2d"
ENVIRONMENT_ID: Final = "01m87w83jttgb1tsy0aqwcmb8r9zyn2e"


class Order(BaseModel):
    """An order."""

    number: int = 1


class Login(NamedTuple):
    """Who calls."""

    user: str
    code: Annotated[str, remit.Sensitive] = "1"


OF_AGENTS: Final[Mapping[str, object]] = {
    "name": "Bot",
    "version": "1.4.0",
    "description": "Answers.",
    "agent_id": AGENT_ID,
    "environment_id": ENVIRONMENT_ID,
    "data_risk": remit.risk(forbids="destroy_data"),
    "span_types": ("tests.unit.test_delivered_registrations:",),
    "quality": {"verdict": Order},
}
OF_STEPS: Final[Mapping[str, object]] = {
    "name": "find",
    "data_risk": remit.risk(allows="read_data", gives="contact_information"),
    "title": "Find",
    "description": "Finds orders.",
    "template": "{{ number }}",
    "params": Order,
    "result": Order,
    "capture": {"number": False},
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApi]:
    """Deliver to a server in memory."""
    api = FakeApi()
    settings = Settings(
        api_url="http://api.example",
        api_token=SecretStr("t"),
        transport=api.transport,
        data_dir=tmp_path,
    )
    with setup.isolated(settings):
        yield api


def subsets(options: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    """Yield none, each, each two and all of *options*; `make full` has every combination."""
    counts = range(len(options) + 1) if FULL else (0, 1, 2, len(options))
    for count in counts:
        for chosen in combinations(options, count):
            yield {name: options[name] for name in chosen}


def find(number: int = 7) -> dict[str, int]:
    """Find an order."""
    return {"number": number}


def check(agent_options: dict[str, Any], step_options: dict[str, Any], api: FakeApi) -> None:
    """Declare an agent and a step, run the agent, compare what the server got."""
    step: Any = remit.span_type(**step_options)(find)

    def answer(question: str) -> str:
        """Answer a question."""
        step()
        return question

    bot: Any = remit.agent(**agent_options)(answer)
    with bot.run():
        bot("Where is it?")
    assert remit.flush()
    (sent,) = [seen.body for seen in api.seen if seen.path.endswith("/register")]
    api.seen.clear()
    expected = bot.registration()
    sent["agent_version"].pop("runtime_environment")
    parts = ("agent_version", "agent_schema_version", "agent_id", "environment_id")
    assert {part: sent[part] for part in parts if part in sent} == expected


def test_the_options_of_an_agent_are_delivered_as_declared(api: FakeApi) -> None:
    """The members are those of `registration()`, whichever options were given."""
    for options in subsets(OF_AGENTS):
        check(options, {}, api)


def test_the_options_of_a_step_are_delivered_as_declared(api: FakeApi) -> None:
    """The schemas of the span type are those of `registration()`."""
    for options in subsets(OF_STEPS):
        check({}, options, api)


def test_local_mode_records_an_agent_that_has_ids_of_a_server(tmp_path: Path) -> None:
    """A program that names its agent and environment for a server runs at a desk as well."""
    with setup.isolated(Settings(mode="local", data_dir=tmp_path)) as runtime:

        @remit.agent(agent_id=AGENT_ID, environment_id=ENVIRONMENT_ID)
        def bot() -> None: ...

        with bot.run():
            pass
        result = runtime.flush(60)
    assert result, result


def test_what_a_declaration_redacts_is_as_declared(tmp_path: Path) -> None:
    """The collector takes the schemas, and finds nothing in the spans that is not in them."""
    with setup.isolated(Settings(mode="local", data_dir=tmp_path)) as runtime:

        @remit.span_type(capture={"text": False, "return": False, "name:token": True})
        def keep(text: str, token: str, login: Login, who: Annotated[str, remit.Sensitive]) -> int:
            return len(text + token + login.user + who)

        @remit.agent
        def bot() -> None:
            keep("a", "b", Login("c"), "d")

        with bot.run():
            bot()
        assert runtime.flush(60)
    keep_span = shown_spans(tmp_path)["keep"]
    assert keep_span["valid"] is True
    redacted = {"$remit": "redacted", "rule": "capture"}
    assert keep_span["payload"]["text"] == redacted
    assert keep_span["payload"]["token"] == "b"
    assert keep_span["result_payload"] == {"result": redacted}


def test_a_block_that_is_not_declared_is_compared_with_nothing(tmp_path: Path) -> None:
    """One whose name is declared is compared with that, and takes over what it declares."""
    with setup.isolated(Settings(mode="local", data_dir=tmp_path)) as runtime:

        @remit.span_type("review", capture={"draft": False})
        def _review(draft: str, words: int) -> dict[str, bool]:
            return {"good": len(draft) == words}

        @remit.agent
        def bot() -> None:
            with remit.span("plan", {"goal": "refund"}) as span:
                span.set_result({"steps": ["look"]})
            with remit.span("review", {"draft": "secret", "words": 3}) as span:
                span.set_result({"good": True})

        with bot.run():
            bot()
        assert runtime.flush(60)
    spans = shown_spans(tmp_path)
    assert (spans["plan"]["valid"], spans["review"]["valid"]) == (None, True)
    assert spans["review"]["payload"]["words"] == 3
    assert spans["review"]["payload"]["draft"] == {"$remit": "redacted", "rule": "capture"}


def shown_spans(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the spans of the last run in *folder* by the end of their type; none has errors."""
    words = ["runs", "show", "last", "--db", str(folder / "remit.db"), "--json"]
    spans = json.loads(CliRunner().invoke(main, words).stdout)["spans"]
    assert [span["schema_errors"] for span in spans] == [[]] * len(spans)
    return {span["schema_name"].rpartition(".")[2]: span for span in spans}
