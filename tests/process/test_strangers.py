"""The published clients as strangers: a process and an environment of their own, and `remit serve`.

Each plays all that it can do, and tells what it did. What the collector holds has to be that.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.inside import httpx
from tests.published import Client, environment
from tests.serving import REMIT, serving
from tests.stores import EACH_STORE, empty_database

Json: TypeAlias = Any

# The first on a machine waits until what it needs is installed.
pytestmark = [pytest.mark.full, pytest.mark.gate, pytest.mark.timeout(600)]

PATIENCE_S: Final = 60
HTTP: Final = Client("prefactor-http", "http_client.py")
OLD: Final = Client("prefactor-http==0.1.2", "http_client.py")
CORE: Final = Client("prefactor-core", "core_client.py")
TYPESCRIPT: Final = Client("@prefactor/core", "ts_core.mjs")
FEATURES: Final = {
    OLD: ["bulk"],
    HTTP: [
        *("purpose", "external_identifier", "control", "quality"),
        *("polling", "agents", "bulk", "ping"),
    ],
}
"""What of that which not all releases have a release has: its program finds out by itself."""
CARRIED: Final = ("name", "inputs", "metadata", "span_id", "trace_id")
"""What of a payload stays as the tracer made it."""
TIMES: Final = ("started_at", "finished_at")
REFUSED: Final = {
    "a run's second end": ["PrefactorApiError", 409, "invalid_action"],
    "a terminated run's end": ["PrefactorApiError", 409, "invalid_action"],
    "a span's second end": ["PrefactorApiError", 409, "invalid_action"],
    "an unknown run's start": ["PrefactorNotFoundError", 404, "not_found"],
    "a span without a name": ["PrefactorValidationError", 422, "validation_errors"],
    "a wrong token": ["PrefactorAuthError", 401, "bad_authtoken"],
}
BULK: Final = [
    ["register-bulk", "success"],
    ["start-bulk", "success"],
    ["create-flat", "success"],
    ["create-wrapped", "success"],
    ["end-bulk", "success"],
    ["end-bulk-again", "invalid_action"],
    ["list-bulk", "success"],
    ["show-bulk", "success"],
    ["finish-bulk", "success"],
]


@dataclass(frozen=True)
class Served:
    """A collector in a process of its own.

    Attributes:
        url: Where it listens.
        database: What `--db` names.
        http: Whoever runs it, with an account's token.
        token: That token.
    """

    url: str
    database: str
    http: httpx.Client
    token: str

    def get(self, path: str, **query: Json) -> Json:
        """Read something."""
        answer = self.http.get(f"/api/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def token_of(self, agent: str) -> str:
        """Make a deployment's token."""
        return made_token(self.database, "--scope", "agent_deployment", "--agent", agent)

    def terminate(self, run: str, reason: str) -> None:
        """Pull the plug."""
        path = f"/api/v1/agent_instance/{run}/terminate"
        answer = self.http.post(path, json={"reason": reason})
        assert answer.status_code == 200, answer.text

    def new_agent(self, name: str) -> str:
        """Return the id of a new agent."""
        body = {"details": {"name": name, "external_identifier": name}}
        found: str = self.http.post("/api/v1/agent", json=body).json()["details"]["id"]
        return found


def made_token(database: str, *options: str) -> str:
    """Return the secret of a new token."""
    command = [*REMIT, "token", "create", "--quiet", "--db", database, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module", params=EACH_STORE)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Return a collector that is being served, over each kind of store."""
    with (
        empty_database(request.param, tmp_path_factory.mktemp("served")) as database,
        serving(database) as collector,
    ):
        token = made_token(str(database))
        with collector.client(token) as http:
            yield Served(collector.url, str(database), http, token)
        assert collector.end().code == 0


def told_by(client: Client, folder: Path, served: Served, token: str, agent: str) -> Json:
    """Return the story that a client's program tells; it has to end well, and say nothing else."""
    names = {"CLIENT_URL": served.url, "CLIENT_TOKEN": token, "CLIENT_AGENT": agent}
    errors = folder / "errors"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            client.command(folder),
            env=environment(**names),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        events: list[Json] = []
        try:
            for line in process.stdout:
                events.append(json.loads(line))
                if "terminate" in events[-1]:
                    served.terminate(events[-1]["terminate"], events[-1]["reason"])
                    process.stdin.write("done\n")
                    process.stdin.flush()
            process.wait(PATIENCE_S)
        finally:
            process.kill()
    said = errors.read_text()
    assert process.returncode == 0, said
    assert not said, said
    return events[-1]


def moment(text: str) -> datetime:
    """Return a moment, in UTC if it has no zone."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def like(held: Mapping[str, Json], said: Mapping[str, Json]) -> dict[str, Json]:
    """Return what is held under the names that *said* has, moments written as there."""
    found = {name: held[name] for name in said}
    for name in TIMES:
        if said.get(name) is not None and moment(held[name]) == moment(said[name]):
            found[name] = said[name]
    if "span_counts" in said:
        found["span_counts"] = {name: held["span_counts"][name] for name in said["span_counts"]}
    return found


def spans_of(served: Served, run: str) -> list[Json]:
    """Return the spans of a run."""
    answer = served.get("/agent_spans", agent_instance_id=run)
    assert answer["pagination"]["next_page_offset"] is None
    found: list[Json] = answer["summaries"]
    return found


def check_runs(served: Served, agent: str, story: Json) -> dict[str, Json]:
    """Compare the runs of an agent; return all spans of them by id."""
    rows = served.get("/agent_instance", agent_id=agent)["summaries"]
    assert {row["id"] for row in rows} == set(story["runs"])
    for run, said in story["runs"].items():
        assert like(served.get(f"/agent_instance/{run}")["details"], said) == said
    return {span["id"]: span for run in story["runs"] for span in spans_of(served, run)}


def check_spans(held: Mapping[str, Json], story: Json) -> None:
    """Compare the spans that a client knew the ids of."""
    for span, said in story["spans"].items():
        assert like(held[span], said) == said


def check_traced(held: Mapping[str, Json], story: Json) -> None:
    """Compare the spans of the TypeScript tracer: it never learns their ids."""
    rows = {row["payload"]["span_id"]: row for row in held.values() if "span_id" in row["payload"]}
    assert len(rows) == len(story["traced"])
    assert set(held) == {row["id"] for row in rows.values()} | set(story["spans"])
    for said in story["traced"]:
        row = rows[said["span_id"]]
        carried = {name: said[name] for name in CARRIED}
        assert {name: row["payload"][name] for name in CARRIED} == carried
        used = row["payload"]["token_usage"]
        assert (used and used["total_tokens"]) == said["tokens"]
        about = {name: said[name] for name in (*TIMES, "schema_name", "status", "result_payload")}
        assert like(row, about) == about
        assert row["parent_span_id"] == (said["parent"] and rows[said["parent"]]["id"])


def check_lists(held: Mapping[str, Json], story: Json) -> None:
    """Compare what lists answered, page by page, with what they had to."""
    for name, listed in story["lists"].items():
        what, _, order = name.partition(" ")
        if what == "agents":
            names = ["Stranger A", "Stranger B", "Stranger C"]
            assert listed == sorted(names, reverse=order.startswith("-"))
            continue
        spans = [span for span, row in held.items() if row["agent_instance_id"] == what]
        ids = story["runs"] if what == "runs" else spans
        assert listed == sorted(ids, reverse=order == "desc")
        assert len(listed) > 1


@pytest.mark.parametrize("client", FEATURES, ids=str)
def test_prefactor_http_did_what_is_held_and_read_what_it_did(
    served: Served, client: Client, tmp_path: Path
) -> None:
    """The client is the latest release and the one of the seed page."""
    agent = served.new_agent(str(client))

    story = told_by(client, tmp_path, served, served.token, agent)

    held = check_runs(served, agent, story)
    check_spans(held, story)
    assert set(held) == set(story["spans"])
    check_lists(held, story)
    assert all(first == again for first, again in story["twice"])
    assert len(story["twice"]) == 3
    assert (story["refused"], story["bulk"]) == (REFUSED, BULK)
    assert story["features"] == FEATURES[client]
    heard = [["create", "too dear"], ["finish", "too dear"], ["finish", "too dear"]]
    polled = ["terminated", "too dear"]
    assert story["heard"] == ([*heard, polled] if "control" in FEATURES[client] else [])
    for made, said in story["agents"].items():
        if said is None:
            assert served.http.get(f"/api/v1/agent/{made}").status_code == 404
        else:
            assert like(served.get(f"/agent/{made}")["details"], said) == said


def test_prefactor_core_did_what_is_held(served: Served, tmp_path: Path) -> None:
    """It has a deployment's token; calls come in odd orders, and runs are terminated."""
    agent = served.new_agent(str(CORE))

    story = told_by(CORE, tmp_path, served, served.token_of(str(CORE)), agent)

    held = check_runs(served, agent, story)
    check_spans(held, story)
    unknown = set(held) - set(story["spans"])
    assert [held[span]["status"] for span in unknown] == ["cancelled"]
    assert story["heard"] == [["polled", "too dear"], ["told", "too dear"]]


def test_the_typescript_client_did_what_is_held(served: Served, tmp_path: Path) -> None:
    """Its tracer, whose spans are known by what they carry, and its clients called by hand."""
    agent = served.new_agent(str(TYPESCRIPT))

    story = told_by(TYPESCRIPT, tmp_path, served, served.token, agent)

    held = check_runs(served, agent, story)
    check_spans(held, story)
    check_lists(held, story)
    check_traced(held, story)
    assert story["bulk"] == [
        ["ts-register", "success"],
        ["ts-create", "success"],
        ["ts-finish", "success"],
        ["ts-finish-again", "invalid_action"],
    ]
    codes = {what: REFUSED[what][1:] for what in story["refused"]}
    assert story["refused"] == {what: ["HttpClientError", *code] for what, code in codes.items()}
    assert len(codes) == 4
    assert story["heard"] == [["create", "too dear"]]
