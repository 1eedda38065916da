"""A server that keeps the contract in memory, and breaks it where a test says so."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.inside import httpx, new_key, new_partition, pfid
from tests.loopback import request_of
from tests.recording import ROOT

Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = httpx.Response | Exception | None
"""What a request gets instead of the right answer; None for the right one."""
Rule: TypeAlias = Callable[[str, Json], Answer]
ItemRule: TypeAlias = Callable[[Json], Json | None]

INSTANCES = "/api/v1/agent_instance"
RUNS_IN_BULK = frozenset({"register", "start", "finish", "record_quality", "show"})


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    body: Json
    size_bytes: int


def refusal(status: int, code: str | None = None, **more: Any) -> httpx.Response:
    """Return an error as the API words it."""
    if code is None:
        return httpx.Response(status, **more)
    message = more.pop("message", "no")
    errors = more.pop("errors", None)
    body = {"status": "error", "code": code, "message": message, "errors": errors}
    return httpx.Response(status, json=body, **more)


def error(code: str, **more: Any) -> Json:
    """Return the output of a refused bulk item."""
    return {"status": "error", "code": code, "message": "no", **more}


def named(name: str) -> Callable[[Json], bool]:
    """Return a test for creates of the span type *name*."""
    return lambda item: item.get("details", {}).get("schema_name") == name


def finishes(item: Json) -> bool:
    """Tell whether a bulk item is a finish."""
    return bool(item["_type"] == "agent_spans/finish")


@dataclass
class FakeApi:
    """The API, as far as the sender uses it.

    Attributes:
        needs_agent_id: Whether a registration without one is refused, as with an account token.
        agent_of_token: The agent whose runs all are, as with a deployment token.
        agent_answered: What a registration's answer tells of that agent.
        rules: Asked before each request; the first answer that is not None is given.
        item_rules: Asked before each bulk item; an output that is not None is its output.
        in_bulk: Operations on instances that are taken in bulk requests.
        control: Control signal of every span answer, if any.
        keys_by_endpoint: Whether a key counts for one endpoint only, so that the same registration
            by its endpoint and as a bulk item makes two instances.
        keeps_schema: Whether it takes the identifier of a schema version that it knows alone.
        schemas: The identifiers of the schema versions that were sent whole.
        seen: Every request.
        instances: By id.
        spans: By id.
        agents: Id by external identifier.
        quality: Payloads by name.
    """

    needs_agent_id: bool = False
    agent_of_token: str | None = None
    agent_answered: Json | None = None
    rules: list[Rule] = field(default_factory=list[Rule])
    item_rules: list[ItemRule] = field(default_factory=list[ItemRule])
    control: Json | None = None
    in_bulk: frozenset[str] = frozenset()
    keys_by_endpoint: bool = False
    keeps_schema: bool = False
    schemas: set[str] = field(default_factory=set[str])
    seen: list[Seen] = field(default_factory=list[Seen])
    instances: dict[str, Json] = field(default_factory=dict[str, Json])
    spans: dict[str, Json] = field(default_factory=dict[str, Json])
    agents: dict[str, str] = field(default_factory=dict[str, str])
    quality: Json = field(default_factory=dict[str, Any])
    partition: int = field(default_factory=new_partition)
    _keys: dict[str, Json] = field(default_factory=dict[str, Json])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def transport(self) -> httpx.MockTransport:
        """The server as a transport of httpx."""
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        body: Json = json.loads(request.content or b"{}")
        path = request.url.path
        with self._lock:
            self.seen.append(Seen(request.method, path, body, len(request.content)))
        for rule in list(self.rules):
            told = rule(path, body)
            if isinstance(told, Exception):
                raise told
            if told is not None:
                return told
        with self._lock:
            return self._right(request, path, body)

    def carry_out(self, path: str, body: Json) -> httpx.Response:
        """Do what a request asks; return the right answer to it."""
        with self._lock:
            return self._right(httpx.Request("POST", f"http://api{path}"), path, body)

    def script(self, ending: str, *answers: Answer) -> None:
        """Give *answers*, one for each request whose path ends in *ending*, then right ones."""
        left = deque(answers)

        def rule(path: str, _: Json) -> Answer:
            return left.popleft() if left and path.endswith(ending) else None

        self.rules.append(rule)

    def refuse_item(self, wanted: Callable[[Json], bool], *outputs: Json) -> None:
        """Give *outputs*, one for each bulk item that is *wanted*, then right ones."""
        left = deque(outputs)
        self.item_rules.append(lambda item: left.popleft() if left and wanted(item) else None)

    def lose_everything(self) -> None:
        """Forget everything, as after a change of the database."""
        self.instances, self.spans, self._keys, self.schemas = {}, {}, {}, set()
        self.partition = new_partition()

    def forget_unused(self) -> None:
        """Forget the instances that have no span yet, as a server that loses its last second."""
        with self._lock:
            used = {span["agent_instance_id"] for span in self.spans.values()}
            self.instances = {key: each for key, each in self.instances.items() if key in used}
            self._keys = {key: each for key, each in self._keys.items() if each["id"] in used}

    def paths(self) -> list[str]:
        """Return the last word of each request's path."""
        return [seen.path.rpartition("/")[2] for seen in self.seen]

    def bulks(self) -> list[list[Json]]:
        """Return the items of each bulk request."""
        return [seen.body["items"] for seen in self.seen if seen.path.endswith("/bulk")]

    def bulk_keys(self) -> list[list[str]]:
        """Return the idempotency keys of each bulk request."""
        return [[item["idempotency_key"] for item in items] for items in self.bulks()]

    def names(self) -> list[str]:
        """Return the span types of what arrived, in order, roots aside."""
        names = [span["schema_name"] for span in self.spans.values()]
        return [name for name in names if name != ROOT]

    def _id(self) -> str:
        return pfid(new_key(1_800_000_000_000_000_000), self.partition)

    def _right(self, request: httpx.Request, path: str, body: Json) -> httpx.Response:
        if path == "/api/v1/bulk":
            return httpx.Response(200, json=self.take_bulk(body["items"]))
        if path == f"{INSTANCES}/register":
            return self._register(body)
        if path == "/api/v1/agent/show":
            known = self.agents.get(request.url.params["external_identifier"])
            return _one({"id": known}) if known else refusal(404, "not_found")
        if path == "/api/v1/agent":
            details = body["details"]
            known = self.agents.setdefault(details["external_identifier"], self._id())
            return _one({"id": known, "name": details["name"]})
        instance_id, _, action = path.removeprefix(f"{INSTANCES}/").partition("/")
        instance = self.instances.get(instance_id)
        if instance is None:
            return refusal(404, "not_found")
        return self._act(instance, action, body)

    def _register(self, body: Json, endpoint: str = "") -> httpx.Response:
        if self.needs_agent_id and "agent_id" not in body:
            return refusal(422, "validation_errors", errors={"agent_id": ["can't be blank"]})
        schema = body["agent_schema_version"]
        if body.get("schema_kept"):
            if schema["external_identifier"] not in self.schemas:
                return refusal(422, "unknown_schema_version")
        else:
            self.schemas.add(schema.get("external_identifier", ""))
        key = f"{endpoint if self.keys_by_endpoint else ''} {body['idempotency_key']}"
        known = self._keys.get(key)
        if known is None:
            known = {"type": "agent_instance", "id": self._id(), "status": "pending", **body}
            self._keys[key] = known
        self.instances[known["id"]] = known
        if self.keeps_schema:
            answer = {"status": "success", "details": known, "keeps_schema": True}
            return httpx.Response(200, json=answer)
        if self.agent_of_token is None:
            return _one(known)
        details = {**known, "agent_id": self.agent_of_token}
        named = {"agent": self.agent_answered} if self.agent_answered else {}
        return httpx.Response(200, json={"status": "success", "details": details, **named})

    def _act(self, instance: Json, action: str, body: Json) -> httpx.Response:
        if action == "start":
            if instance["status"] != "pending":
                return refusal(409, "invalid_action")
            instance |= {"status": "active", "started_at": body["timestamp"]}
        elif action == "finish":
            if instance["status"] not in ("pending", "active"):
                return refusal(409, "invalid_action")
            instance |= {"status": body["status"], "finished_at": body["timestamp"]}
        elif action == "record_quality":
            self.quality[body["name"]] = body["payload"]
        return _one(instance)

    def take_bulk(self, items: list[Json]) -> Json:
        """Return the right answer to a bulk request."""
        outputs: Json = {}
        for item in items:
            told = next((out for rule in self.item_rules if (out := rule(item))), None)
            output = told or self.take_item(item)
            outputs[item["idempotency_key"]] = output
            if output["status"] == "error":
                break
        return {"status": "success", "outputs": outputs}

    def take_item(self, item: Json) -> Json:
        """Return the right output of a bulk item."""
        resource, _, action = item["_type"].partition("/")
        if resource == "agent_instances":
            return self._take_instance_item(item, action)
        if item["_type"] == "agent_spans/create":
            details = item["details"]
            if details["agent_instance_id"] not in self.instances:
                return error("not_found")
            self.spans.setdefault(details["id"], details)
            return self._answered(details)
        span = self.spans.get(item["agent_span_id"])
        if span is None:
            return error("not_found")
        if span["status"] not in ("active", "pending"):
            return error("invalid_action")
        span |= {
            "status": item["status"],
            "finished_at": item["timestamp"],
            "result_payload": item.get("result_payload"),
        }
        return self._answered(span)

    def _take_instance_item(self, item: Json, action: str) -> Json:
        """Return the right output of an operation on an instance."""
        if action not in self.in_bulk:
            return error("bad_request")
        if action == "register":
            fields = {key: value for key, value in item.items() if key != "_type"}
            answer: Json = self._register(fields, "bulk").json()
            return answer
        instance = self.instances.get(item["agent_instance_id"])
        if instance is None:
            return error("not_found")
        told: Json = self._act(instance, "" if action == "show" else action, item).json()
        return told

    def _answered(self, span: Json) -> Json:
        answer = {"status": "success", "details": span}
        return answer | {"control": self.control} if self.control else answer

    def behave(self, connection: socket.socket, over: threading.Event) -> None:
        """Serve one connection of a real socket, until its client closes it."""
        while not over.is_set() and (head := request_of(connection)):
            start, _, body = head.partition(b"\r\n\r\n")
            request_line, *fields = start.decode().split("\r\n")
            method, target, _ = request_line.split(" ")
            headers = dict(line.lower().split(": ", 1) for line in fields)
            while len(body) < int(headers.get("content-length", 0)):
                body += connection.recv(1 << 20)
            try:
                answer = self.answer(httpx.Request(method, f"http://api{target}", content=body))
            except ConnectionResetError:
                return
            connection.sendall(raw(answer))


def _one(details: Json) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "details": details})


def raw(answer: httpx.Response) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {answer.status_code} X", f"content-length: {len(answer.content)}"]
    lines += [
        f"{name}: {value}" for name, value in answer.headers.items() if name != "content-length"
    ]
    return "\r\n".join([*lines, "", ""]).encode() + answer.content
