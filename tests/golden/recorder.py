"""Golden answers: scripted requests to a collector, and what is recorded of the answers.

A script names ids, tokens and times of earlier answers by aliases: `<agent 2>` is the second agent
that occurs, `<secret 1>` the first token that was returned in the clear, and `<time of NAME>` the
time at which the call NAME was made. The recorded answers use the same aliases, so they do not
depend on the run, the store, or the number of calls before.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from remit.collector import Settings, Store
from remit.testing import FakeClock
from tests.collecting import Json, World
from tests.inside import httpx, version

PREFIX: Final = "/api/v1"
USUAL_HEADERS: Final = {"accept-encoding": "gzip", "content-type": "application/json"}
"""Headers of nearly every answer; a golden file names only what differs from them."""
HEADERS: Final = (*USUAL_HEADERS, "allow", "connection", "retry-after", "www-authenticate")
"""The headers that are recorded."""
SHOWN_CHARS: Final = 1000
"""Of longer texts only the length is recorded."""
THIRTY_DAYS: Final = timedelta(days=30)
_PFID: Final = re.compile(r"(?<![0-9a-z])[0-7][0-9a-hjkmnp-tv-z]{31}(?![0-9a-z])")
_SECRET: Final = re.compile(r"remit_[A-Za-z0-9_-]{43}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_ALIAS: Final = re.compile(r"<[a-z_]+ [0-9]+>")
_KINDS: Final = {
    "made_by": "api_token",
    "registered_by": "api_token",
    "parent_span_id": "agent_span",
    "current_version_id": "agent_version",
    "pfids": "pfid",
}
"""Kind of the id in a field whose name does not say it."""


@dataclass(frozen=True)
class Call:
    """One request of a script.

    Attributes:
        name: Name of the call, unique in its script.
        request: Method, path and query, as in `GET /agent?sorting=-id`. The path begins after
            `/api/v1`; one with two slashes is a path of the server.
        body: JSON, or bytes that are sent as they are; without one the request has no body.
        token: `account`, `other` (another account's token), `none`, an alias, or any secret.
        headers: Further headers.
        later_s: Seconds that pass before the call, beside the one that always does.
        silent: Whether the call is made and not recorded.
    """

    name: str
    request: str
    body: Json = None
    token: str = "account"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    later_s: int = 0
    silent: bool = False


class Recorder:
    """A collector with two accounts, and the aliases of what occurred in its answers."""

    def __init__(self, store: Store, clock: FakeClock, settings: Settings | None = None) -> None:
        """Open a collector over an empty store, with an agent in each account."""
        self._clock = clock
        self._aliases: dict[str, str] = {}
        self._counts = Counter[str]()
        self._literals: set[str] = set()
        self._times: dict[str, str] = {}
        self._world = World(store, clock=clock, settings=settings)
        self._clients: dict[str, httpx.Client] = {"none": self._world.http(None)}
        self._note_time("setup")
        self._clients["account"] = self._world.account().http
        clock.advance(1)
        self._note_time("setup")
        self._clients["other"] = self._world.foreign().http
        for client in ("account", "other"):
            for path in ("account", "environment", "agent", "api_token"):
                self._aliased(self._clients[client].get(f"{PREFIX}/{path}").json())

    def send(self, call: Call) -> httpx.Response:
        """Make a call, one second after the last one."""
        self._clock.advance(1 + call.later_s)
        self._note_time(call.name)
        self._literals.update(_PFID.findall(json.dumps([call.request, _readable(call.body)])))
        method, _, target = call.request.partition(" ")
        path, _, query = self._filled(target).partition("?")
        url = path[1:] if path.startswith("//") else PREFIX + path
        if query:
            url += "?" + quote(query, safe="=&[]+-:.%")
        return self._client(call.token).request(
            method, url, content=self._content(call.body), headers=dict(call.headers)
        )

    def recorded(self, call: Call) -> dict[str, Json]:
        """Make a call; return it with its answer, as a golden file shows them."""
        response = self.send(call)
        request: dict[str, Json] = {"line": call.request}
        if call.body is not None:
            request["body"] = _readable(call.body)
        if call.token != "account":
            request["token"] = call.token
        if call.headers:
            request["headers"] = {name: _short(value) for name, value in call.headers.items()}
        answer: dict[str, Json] = {"status": response.status_code}
        headers = {name: _header(response, name) for name in HEADERS}
        unusual = {
            name: value for name, value in headers.items() if value != USUAL_HEADERS.get(name)
        }
        if unusual:
            answer["headers"] = unusual
        if not call.request.startswith("HEAD "):
            answer["body"] = self._body(response)
        return {"call": call.name, "request": request, "response": answer}

    def brief(self, call: Call) -> str:
        """Make a call; return its answer in one line.

        That is the status, then the status of the thing, or code and reason of a rejection.
        """
        response = self.send(call)
        body = self._body(response)
        if not isinstance(body, dict):
            return str(response.status_code)
        line = f"{response.status_code} {_outcome(body)}".rstrip()
        allowed = _header(response, "allow")
        return line if allowed is None else f"{line}; allow: {allowed}"

    def _client(self, token: str) -> httpx.Client:
        if token not in self._clients:
            self._clients[token] = self._world.http(self._filled(token))
        return self._clients[token]

    def _content(self, body: Json) -> bytes | None:
        if body is None or isinstance(body, bytes):
            return body
        return self._filled(json.dumps(body)).encode()

    def _filled(self, text: str) -> str:
        """Return *text* with each alias replaced by the text that it names."""
        things = {alias: thing for thing, alias in self._aliases.items()}
        return _ALIAS.sub(lambda match: things[match[0]], text)

    def _body(self, response: httpx.Response) -> Json:
        try:
            return self._aliased(response.json())
        except ValueError:
            return response.text

    def _aliased(self, value: Json, name: str = "", kind: str = "thing") -> Json:
        """Return *value* with aliases; *name* is its key, *kind* that of the object around it."""
        if isinstance(value, dict):
            own = value.get("type") or name
            return {key: self._aliased(value[key], key, own) for key in sorted(value)}
        if isinstance(value, list):
            return [self._aliased(item, name, kind) for item in value]
        if not isinstance(value, str):
            return value
        if name == "cursor":
            # The number of a transaction, which differs by time and by database.
            return "<cursor>"
        if len(value) > SHOWN_CHARS:
            return _short(value)
        named = kind if name == "id" else _KINDS.get(name, name.removesuffix("_id"))
        text = _PFID.sub(lambda match: self._alias(match[0], named), value)
        text = _SECRET.sub(lambda match: self._alias(match[0], "secret"), text)
        text = text.replace(version.__version__, "<version>")
        return _TIME.sub(lambda match: self._times.get(match[0], match[0]), text)

    def _alias(self, thing: str, kind: str) -> str:
        if thing in self._literals:
            return thing
        if thing not in self._aliases:
            self._counts[kind] += 1
            self._aliases[thing] = f"<{kind} {self._counts[kind]}>"
        return self._aliases[thing]

    def _note_time(self, name: str) -> None:
        now = datetime.fromtimestamp(self._clock.wall_ns() // 10**9, UTC)
        self._times[_written(now)] = f"<time of {name}>"
        self._times[_written(now - THIRTY_DAYS)] = f"<30 days before {name}>"


def record(recorder: Recorder, calls: Sequence[Call]) -> list[dict[str, Json]]:
    """Make *calls* in order, and return what a golden file holds of them."""
    names = Counter(call.name for call in calls)
    assert not [name for name, count in names.items() if count > 1], "a name occurs twice"
    entries = [(call, recorder.recorded(call)) for call in calls]
    return [entry for call, entry in entries if not call.silent]


def record_briefly(recorder: Recorder, calls: Sequence[Call]) -> dict[str, Json]:
    """Make *calls* in order, and return one line for each by its name."""
    names = Counter(call.name for call in calls)
    assert not [name for name, count in names.items() if count > 1], "a name occurs twice"
    lines = [(call, recorder.brief(call)) for call in calls]
    return {call.name: line for call, line in lines if not call.silent}


def written(value: Json) -> str:
    """Return the text of a golden file."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _outcome(body: dict[str, Json]) -> str:
    """Return the status of the thing that an answer is about, or code and reason of a rejection."""
    if "outputs" in body:
        return ", ".join(_outcome(output) or "done" for output in body["outputs"].values())
    if body.get("status") != "error":
        return str(body.get("details", {}).get("status", ""))
    reason = body["message"]
    if "errors" in body:
        reason = json.dumps(body["errors"], sort_keys=True, ensure_ascii=False)
    return f"{body['code']}: {reason}"


def _header(response: httpx.Response, name: str) -> str | None:
    """Return a header; a list of methods is sorted, because its order has no meaning."""
    value: str | None = response.headers.get(name)
    return value if value is None or name != "allow" else ", ".join(sorted(value.split(", ")))


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _readable(body: Json) -> Json:
    """Return a body as a golden file shows it."""
    if isinstance(body, bytes):
        # How gzip packs them depends on the version of zlib.
        return _short(body.decode()) if body.isascii() else "bytes"
    if isinstance(body, dict):
        return {key: _readable(value) for key, value in body.items()}
    if isinstance(body, list):
        return [_readable(value) for value in body]
    return _short(body) if isinstance(body, str) else body


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{len(text)} characters"
