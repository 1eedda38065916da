"""What the published clients were seen to send, sent again: each request gets what it got.

Ids differ from run to run, so that each recorded id is replaced by the one that stands for it
here, learnt from the answers as they come. What the capture did beside its client (making the
agent, pulling the kill switch) is done here when an answer shows that it had happened.
"""

from __future__ import annotations

import json

from tests.collecting import Api, Json, World, details
from tests.inside import httpx
from tests.subtests import each
from tests.vectors import CLIENTS, Exchange, exchanges

# Rendering templates comes later: until then these may be null, or hold less. The agents that the
# captures began with had no identifier; here they are found by one.
MAY_DIFFER = ("summary", "quality_summaries", "external_identifier")


class Replay:
    """One capture against one collector."""

    def __init__(self, world: World, client: str) -> None:
        """Prepare to replay the capture of *client*."""
        self.owner = world.account()
        self.world = world
        self.exchanges = exchanges(client)
        self.ids: dict[str, str] = {}
        self.tokens: dict[str, Api] = {}
        self.terminated: set[str] = set()
        self.scope = "account"
        (environment,) = self._all("environment_id")[:1]
        self.ids[environment] = self.owner.instance("pending")["environment_id"]

    def _all(self, name: str) -> list[str]:
        """Return the values that the recorded answers have under *name*, once each."""
        found = (_find(exchange.response, name) for exchange in self.exchanges)
        return list(dict.fromkeys(value for value in found if value is not None))

    def prepare_agents(self) -> None:
        """Make the agents that were there before the capture began, under their own names."""
        for agent_id in self._all("agent_id"):
            info = self.world.deployment(agent=agent_id)
            self.tokens[agent_id] = info
            self.ids[agent_id] = details(info.get("/ping"))["agent_id"]

    def run(self, exchange: Exchange) -> httpx.Response:
        """Send a recorded request with the ids of here, and learn from the answer."""
        self._terminate(exchange)
        text = json.dumps([exchange.path, exchange.body])
        for recorded, here in self.ids.items():
            text = text.replace(recorded, here)
        path, body = json.loads(text)
        http = self._http(exchange)
        content = b"" if body is None else json.dumps(body).encode()
        answer = http.request(exchange.method, path, content=content)
        self._learn(exchange.response, answer.json())
        return answer

    def _http(self, exchange: Exchange) -> httpx.Client:
        if exchange.status == 401:
            return self.world.http("wrong")
        if exchange.path.endswith("/ping"):
            self.scope = exchange.response["details"]["token_scope"]
        if exchange.endpoint.endswith("/register"):
            self.scope = "account" if "agent_id" in exchange.body else "agent_deployment"
        if self.scope == "account":
            return self.owner.http
        return next(iter(self.tokens.values())).http

    def _terminate(self, exchange: Exchange) -> None:
        """Do what the capture did out of its client's sight."""
        instance_id = _terminated(exchange)
        if instance_id is not None and instance_id not in self.terminated:
            self.terminated.add(instance_id)
            path = f"/agent_instance/{self.ids[instance_id]}/terminate"
            details(self.owner.post(path, {"reason": "kill switch"}))

    def _learn(self, recorded: Json, here: Json) -> None:
        if isinstance(recorded, dict) and isinstance(here, dict):
            for name in recorded.keys() & here.keys():
                if name.endswith("id") and isinstance(recorded[name], str):
                    self.ids.setdefault(recorded[name], here[name])
                self._learn(recorded[name], here[name])


def _find(answer: Json, name: str) -> str | None:
    """Return the first value under *name* in a recorded answer."""
    if not isinstance(answer, dict):
        return None
    if isinstance(answer.get(name), str):
        return str(answer[name])
    return next(filter(None, (_find(value, name) for value in answer.values())), None)


def _terminated(exchange: Exchange) -> str | None:
    """Return the instance that had been terminated when this answer was given."""
    answer = exchange.response
    said = answer.get("details", {})
    if "control" in answer:
        return str(said["agent_instance_id"])
    if said.get("status") == "terminated":
        return str(said["id"])
    if "already terminated" in answer.get("message", ""):
        return exchange.path.split("/")[4]
    return None


def missing(recorded: Json, here: Json, where: str = "") -> list[str]:
    """Return what the recorded answer has and the one from here lacks: keys, kinds of values."""
    if where.endswith(MAY_DIFFER):
        return []
    if isinstance(recorded, dict):
        if not isinstance(here, dict):
            return [f"{where}: {here!r} instead of an object"]
        lacking = [f"{where}.{name}" for name in recorded.keys() - here.keys()]
        both = recorded.keys() & here.keys()
        return lacking + [
            gap for name in both for gap in missing(recorded[name], here[name], f"{where}.{name}")
        ]
    if isinstance(recorded, list):
        pairs = zip(recorded, here, strict=False) if isinstance(here, list) else ()
        gaps = [gap for one, other in pairs for gap in missing(one, other, f"{where}[]")]
        return gaps if isinstance(here, list) else [f"{where}: {here!r} instead of an array"]
    return [] if type(recorded) is type(here) else [f"{where}: {here!r} instead of {recorded!r}"]


@each("client", CLIENTS)
def test_every_recorded_request_gets_the_answer_that_its_client_took(
    world: World, client: str
) -> None:
    """The same status, at least the same keys and kinds of values; errors in the same words."""
    replay = Replay(world, client)
    replay.prepare_agents()
    for exchange in replay.exchanges:
        answer = replay.run(exchange)
        assert answer.status_code == exchange.status, f"{exchange}: {answer.text}"
        assert missing(exchange.response, answer.json()) == [], str(exchange)
        if exchange.status >= 400:
            assert answer.json() == exchange.response, str(exchange)
