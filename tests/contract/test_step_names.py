"""The names that integrations give steps: on the page of a run, in lists, and in the command."""

from __future__ import annotations

import html
import re
from typing import Any, Final

import httpx
import pytest

from remit.collector import Store
from tests.collecting import details
from tests.signing_in import Visitor, visitor
from tests.stores import on_each_store
from tests.waterfalls import BEGAN, Step, begun, ended, id_of, record

AGENT, NODE, LLM = "langchain:agent", "langchain:chain", "langchain:llm"
HOSTILE: Final = "<script>alert(1)</script>\u202e"
ERROR: Final = {"type": "shop.PaymentError", "message": "502", "at": "shop/tools.py:50 in refund"}
FAILED: Final[dict[str, Any]] = {"status": "failed", "result": {"error": ERROR}}
USAGE: Final = {"token_usage": {"prompt_tokens": 1100, "completion_tokens": 100}}
LONG: Final = {"messages": [{"role": "user", "content": "x" * 5000}]}


def desk() -> list[Step]:
    """Return a graph with a supervisor and two sub-agents, of which one fails."""
    return [
        Step("remit:run", took_ms=100, **FAILED),
        Step(
            AGENT,
            0,
            1,
            90,
            payload={"agent_name": "desk", "agent_kind": "graph", "inputs": LONG},
            **FAILED,
        ),
        Step(NODE, 1, 2, 10, payload={"node_name": "supervisor", "inputs": LONG}),
        Step(LLM, 2, 3, 5, payload={"model_name": "gpt-5.2", "inputs": LONG}, result=USAGE),
        Step(AGENT, 1, 20, 40, payload={"agent_name": "refunds", "inputs": LONG}, **FAILED),
        Step(NODE, 4, 30, 5, payload={"node_name": HOSTILE}),
        Step(NODE, 4, 40, 5, payload={"node_name": {"$remit": "redacted", "rule": "name"}}),
        Step("shop.desk:agent", 4, 50, 5, payload={"agent_name": "a parameter"}),
        Step(NODE, 4, 55, 1, payload={"node_name": "pays"}, **FAILED),
    ]


@pytest.fixture
def person(store: Store) -> Visitor:
    """Sign in."""
    return visitor(store)


@pytest.fixture
def run(person: Visitor) -> str:
    """Return a failed run."""
    run = begun(person.api)
    record(person.api, run, desk())
    ended(person.api, run, 100, "failed")
    return run


@on_each_store
def test_the_outline_has_the_names(person: Visitor, run: str) -> None:
    """Also of a model call that no version declares, and where the inputs are long."""
    outline = person.data(f"/runs/{run}/outline")
    assert outline["names"] == {
        "1": ["desk", "graph"],
        "2": ["supervisor", "node"],
        "3": ["llm", "gpt-5.2"],
        "4": ["refunds", "agent"],
        "5": ["<script>alert(1)</script>[U+202E]", "node"],
        "8": ["pays", "node"],
    }


@on_each_store
def test_the_page_of_a_run_shows_the_names(person: Visitor, run: str) -> None:
    """In the rows without a script, the heading of the panel, and the banner."""
    page = person.http.get(f"/runs/{run}")
    rows = re.findall(r'title="[^"]*">(?:<(?!bdi)[^>]*>|[^<])*<bdi>(.*?)</bdi>', page.text)
    assert "supervisor" in rows
    assert "<i><bdi>gpt-5.2</bdi></i>" in page.text
    assert html.escape("<script>alert(1)</script>") in page.text
    assert "[U+202E]" in page.text
    assert "<script>alert" not in page.text
    assert "a parameter" not in "".join(rows)
    words = text_of(page).partition("pays failed")[2]
    assert words.startswith(" in shop/tools.py:50, in the agent refunds: 502.")
    panel = person.http.get(f"/runs/{run}/spans/{id_of(run, 2)}").text
    assert re.search(r"<h2[^>]*><bdi>supervisor</bdi> <i><bdi>node</bdi></i></h2>", panel)
    panel = person.http.get(f"/runs/{run}/spans/{id_of(run, 3)}").text
    assert "<bdi>llm</bdi> <i><bdi>gpt-5.2</bdi></i>" in panel
    panel = text_of(person.http.get(f"/runs/{run}/spans/{id_of(run, 8)}"))
    assert "Where in the graphgraphdeskagentrefunds" in panel


@on_each_store
def test_lists_have_the_names(person: Visitor, run: str) -> None:
    """The failure of a run, spans with and without payloads, and the open step of a run."""
    (listed,) = own(person, "/runs").json()["runs"]
    assert listed["failure"]["step_name"] == {"text": "pays", "word": "node"}
    assert details(person.api.get(f"/agent_instance/{run}"))["failure"] == listed["failure"]
    for payloads in ("false", "true"):
        spans = own(person, "/spans", run_id=run, payloads=payloads).json()["spans"]
        names = [span["step_name"] and tuple(span["step_name"].values()) for span in spans[::-1]]
        assert names == [
            None,
            ("desk", "graph"),
            ("supervisor", "node"),
            ("llm", "gpt-5.2"),
            ("refunds", "agent"),
            (HOSTILE, "node"),
            None,
            None,
            ("pays", "node"),
        ]
    assert "pays node: PaymentError" in text_of(person.http.get("/runs"))
    other = begun(person.api)
    record(person.api, other, [Step(NODE, None, 1, None, "active", {"node_name": "waits"})])
    assert "now in waits node" in text_of(person.http.get("/runs"))


def test_a_name_of_a_confidential_step_is_not_listed(person: Visitor) -> None:
    """Its payload is hidden, and so is the name; also in a file without values."""
    secret, internal = {"classification": "confidential"}, {"classification": "internal"}
    risk = {
        "action_profile": {},
        "params_data_categories": secret,
        "result_data_categories": internal,
    }
    version = {
        "external_identifier": "2",
        "span_type_schemas": [{"name": NODE, "params_schema": {}, "data_risk": risk}],
    }
    body = person.api.registration(agent_schema_version=version)
    run = details(person.api.post("/agent_instance/register", body))["id"]
    details(person.api.post(f"/agent_instance/{run}/start", {"timestamp": BEGAN.isoformat()}))
    record(person.api, run, [Step(NODE, payload={"node_name": "Ada"}, **FAILED)])
    ended(person.api, run, 2, "failed")
    assert person.data(f"/runs/{run}/outline")["names"] == {}
    for path in ("/runs", f"/runs/{run}", f"/runs/{run}/spans/{id_of(run, 0)}"):
        assert "Ada" not in person.http.get(path).text, path
    (listed,) = own(person, "/runs").json()["runs"]
    assert listed["failure"]["step_name"] is None


def test_a_file_without_values_has_no_names(person: Visitor, run: str) -> None:
    """A name is a value."""
    for path, has_names in (("file", False), ("file/values", True)):
        text = own(person, f"/runs/{run}/{path}").text
        assert ("supervisor" in text) is has_names


def own(person: Visitor, path: str, **query: str) -> httpx.Response:
    """Read something of remit's own API."""
    return person.api.http.get(f"/api/remit/v1{path}", params=query)


def text_of(page: httpx.Response) -> str:
    """Return the text of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page.text)).split())
