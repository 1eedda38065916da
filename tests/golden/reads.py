"""Scripts about lists, and about requests as HTTP: paths, methods, bodies, headers, limits."""

from __future__ import annotations

import gzip
from typing import Final

from tests.collecting import NOBODY, Json
from tests.golden.recorder import Call
from tests.golden.rows import VERSION, bulk, details, registration, span

RUNS: Final = "GET /agent_instance?agent_id=<agent 1>"
SPANS: Final = "GET /agent_spans?agent_instance_id=<agent_instance 1>"
_STARTED: Final = ("2025-12-01T00:00:00Z", "2025-12-03T00:00:00Z", "2025-12-02T00:00:00Z")
BEFORE_LISTS: Final = [
    *(Call(f"agent {name}", "POST /agent", details(name=name)) for name in ("B", "a", "ä", "C")),
    *(
        Call(
            f"run {number}",
            "POST /agent_instance/register",
            registration(purpose=purpose, agent_version={"external_identifier": f"v{number}"}),
        )
        for number, purpose in enumerate(("live", "eval", "smoke_test"))
    ),
    Call("start a run", "POST /agent_instance/<agent_instance 2>/start", {}),
    *(
        Call(
            f"span {number}",
            "POST /agent_spans",
            details(
                **span(
                    schema_name=f"desk:{number % 2}",
                    started_at=started,
                    payload={"n": number},
                    status="complete" if number else "active",
                )
            ),
        )
        for number, started in enumerate(_STARTED)
    ),
    Call(
        "span of another run",
        "POST /agent_spans",
        details(**span("<agent_instance 2>", started_at=_STARTED[0])),
    ),
]


def _pages(name: str, target: str) -> list[Call]:
    """Return the pages of a list, in both styles of sorting."""
    both = "?" if "?" not in target else "&"
    wanted = {
        "the second page": "pagination[offset]=1&pagination[page_size]=1",
        "a page beyond the end": "pagination[offset]=90&pagination[page_size]=10",
        "the last first": "sorting=-id&pagination[page_size]=2",
        "the last first, in the long style": "sorting[field]=id&sorting[direction]=desc"
        "&pagination[page_size]=2",
        "empty parameters": "sorting=&pagination[offset]=&pagination[page_size]=1",
    }
    return [Call(f"{name}: {how}", f"{target}{both}{query}") for how, query in wanted.items()]


LISTS: Final = [
    Call("agents", "GET /agent"),
    *_pages("agents", "GET /agent"),
    Call("agents by name", "GET /agent?sorting=name&pagination[page_size]=5"),
    Call("runs", RUNS),
    *_pages("runs", RUNS),
    Call("runs by status", f"{RUNS}&sorting=status"),
    Call("runs by start", f"{RUNS}&sorting=started_at"),
    Call("runs of a version", f"{RUNS}&agent_version_id=<agent_version 2>"),
    Call("runs in an environment", f"{RUNS}&environment_id={NOBODY}"),
    Call("runs of a deployment", f"{RUNS}&agent_deployment_id=<agent_deployment 1>&sorting=-id"),
    Call("spans", SPANS),
    *_pages("spans", SPANS),
    Call("spans by start", f"{SPANS}&sorting=-started_at"),
    Call("spans by end", f"{SPANS}&sorting=finished_at"),
    Call("spans of an agent", "GET /agent_spans?agent_id=<agent 1>&pagination[page_size]=4"),
    Call("spans of a type", f"{SPANS}&schema_name=desk:0"),
    Call("spans from a time", f"{SPANS}&start_time=2025-12-02T00:00:00Z"),
    Call("spans to a time", f"{SPANS}&end_time=2025-12-01T01:00:00+01:00"),
    Call(
        "spans within a time",
        f"{SPANS}&start_time=2025-12-01T00:00:00.000001Z&end_time=2025-12-02",
    ),
    Call("environments", "GET /environment?sorting=name"),
    Call("tokens", "GET /api_token?sorting=status"),
    Call("versions", "GET /agent_version?sorting=-external_identifier"),
]
REFUSED_LISTS: Final = [
    Call(f"{target} {query}", f"{target}{'&' if '?' in target else '?'}{query}")
    for target in (
        RUNS,
        SPANS,
        *(
            f"GET /{path}"
            for path in (
                "agent",
                "account",
                "environment",
                "agent_deployment",
                "agent_version",
                "agent_schema_version",
                "api_token",
                "admin_user",
                "admin_user_invite",
                "risk_profile",
            )
        ),
    )
    for query in (
        "pagination[offset]=-1",
        "pagination[offset]=x",
        "pagination[page_size]=0",
        "pagination[page_size]=101",
        "pagination[page_size]=1.5",
        "sorting=nothing",
        "sorting[field]=nothing",
        "sorting[direction]=up",
        "sorting=-",
        "unknown=1",
        "account_id=" + NOBODY,
    )
] + [
    Call("runs of nothing", "GET /agent_instance"),
    Call("runs of an unknown agent", f"GET /agent_instance?agent_id={NOBODY}"),
    Call("spans of nothing", "GET /agent_spans"),
    Call("spans of an unknown run", f"GET /agent_spans?agent_instance_id={NOBODY}"),
    Call("spans from a time that is none", f"{SPANS}&start_time=soon"),
    Call("spans to a time that is none", f"{SPANS}&end_time=2025-13-01"),
]
RESTRICTED_LISTS: Final = [
    Call("an environment", "POST /environment", details(name="staging"), silent=True),
    Call(
        "a token",
        "POST /api_token",
        details(
            token_scope="agent_deployment",
            agent_id="<agent 1>",
            environment_id="<environment 3>",
        ),
        silent=True,
    ),
    Call(
        "a run elsewhere",
        "POST /agent_instance/register",
        registration(agent_version=VERSION, environment_id="<environment 1>"),
        silent=True,
    ),
    Call("a span elsewhere", "POST /agent_spans", details(**span()), silent=True),
    Call(
        "a run", "POST /agent_instance/register", registration(""), token="<secret 1>", silent=True
    ),
    Call(
        "a span",
        "POST /agent_spans",
        details(**span("<agent_instance 2>")),
        "<secret 1>",
        silent=True,
    ),
    Call("runs", "GET /agent_instance", token="<secret 1>"),
    Call("spans of the agent", "GET /agent_spans?agent_id=<agent 1>", token="<secret 1>"),
    Call("spans of a run elsewhere", SPANS, token="<secret 1>"),
    Call("runs of another agent", "GET /agent_instance?agent_id=<agent 2>", token="<secret 1>"),
    Call("the agent", "GET /agent/<agent 1>", token="<secret 1>"),
    Call(
        "the agent elsewhere",
        "GET /agent/<agent 1>?environment_id=<environment 1>",
        token="<secret 1>",
    ),
    Call("the run elsewhere", "GET /agent_instance/<agent_instance 1>", token="<secret 1>"),
]

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS: Final = (
    "/ping",
    "/bulk",
    "/openapi",
    "/agent",
    "/agent/show",
    f"/agent/{NOBODY}",
    f"/agent/{NOBODY}/retire",
    f"/agent/{NOBODY}/risk",
    "/agent_instance",
    "/agent_instance/register",
    f"/agent_instance/{NOBODY}",
    f"/agent_instance/{NOBODY}/start",
    f"/agent_instance/{NOBODY}/update",
    "/agent_spans",
    "/agent_spans/create_test_spans",
    f"/agent_spans/{NOBODY}",
    f"/agent_spans/{NOBODY}/finish",
    "/pfid/generate",
    "/alerts/count",
    f"/api_token/{NOBODY}",
    "/nothing",
    "/agent/a/b/c",
    "/",
    "//",
    "//healthz",
    "//metrics",
    "//api/v2/ping",
    "//api",
)
PATHS_AND_METHODS: Final = [
    Call(f"{method} {path}", f"{method} {path}", token="none")
    for path in PATHS
    for method in METHODS
]
HEADS: Final = [
    Call(path, f"HEAD {path}")
    for path in (
        "/ping",
        "/agent",
        f"/agent/{NOBODY}",
        "/openapi",
        "/bulk",
        "/nothing",
        "//healthz",
    )
]
_BODIES: Final = {
    "nothing": b"",
    "blanks": b" \n",
    "words": b"hello",
    "cut off": b'{"details":',
    "an array": b"[]",
    "a text": b'"x"',
    "a null": b"null",
    "two values": b"{} {}",
    "NaN": b'{"details":{"name":NaN}}',
    "a number out of range": b'{"details":{"name":"x","other":1e999}}',
    "a lone surrogate": rb'{"details":{"name":"\ud800"}}',
    "not UTF-8": b'{"details":{"name":"\xff"}}',
    "a byte order mark": b'\xef\xbb\xbf{"details":{"name":"x"}}',
    "a key twice": b'{"details":{"name":"a","name":"b"}}',
    "details twice": b'{"details":{"name":"a"},"details":{"name":"b"}}',
    "a key twice, deep": b'{"details":{"name":"a","x":{"a":1,"a":2}}}',
    "details that are no object": b'{"details":5}',
    "details that are null": b'{"details":null}',
    "an unknown field": b'{"details":{"name":"a","unknown":1},"unknown":2}',
}
_GZIP: Final = {"Content-Encoding": "gzip"}
_NAMED: Final = b'{"details":{"name":"Zipped"}}'


def _zipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


HTTP: Final = [
    Call("a slash at the end", "GET /ping/"),
    Call("two slashes at the end", "GET /agent//"),
    Call("a slash at the end of a POST", "POST /agent/", details(name="Slash")),
    Call("an unknown path", "GET /nothing"),
    Call("a wrong method", "PATCH /agent"),
    Call("no token", "GET /ping", token="none"),
    Call("a wrong token", "GET /ping", token="remit_wrong"),
    Call(
        "another scheme",
        "GET /ping",
        token="none",
        headers={"Authorization": "Basic d3Jvbmc6"},
    ),
    Call(
        "a scheme without a token", "GET /ping", token="none", headers={"Authorization": "Bearer"}
    ),
    Call("a body in chunks", "POST /agent", b"{}", headers={"Transfer-Encoding": "chunked"}),
    Call("a head that is too long", "GET /ping", headers={"X-Long": "x" * 17_000}),
    Call("gzip", "POST /agent", _zipped(_NAMED), headers=_GZIP),
    Call("gzip in two members", "POST /agent", _zipped(_NAMED) + _zipped(b""), headers=_GZIP),
    Call("gzip that is none", "POST /agent", _NAMED, headers=_GZIP),
    Call("gzip that is cut off", "POST /agent", _zipped(_NAMED)[:-8], headers=_GZIP),
    Call("another encoding", "POST /agent", _NAMED, headers={"Content-Encoding": "br"}),
    Call("the encoding identity", "POST /agent", _NAMED, headers={"Content-Encoding": "identity"}),
    Call("another content type", "POST /agent", _NAMED, headers={"Content-Type": "text/plain"}),
    Call("a body of a GET", "GET /agent?pagination[page_size]=1", {"pagination": "none"}),
    Call("a query of a POST", "POST /agent?name=Query", details(name="Body")),
    Call("the id in path and body", "PUT /agent/<agent 1>", details(agent_id=NOBODY, name="Path")),
    Call("healthz", "GET //healthz", token="none"),
    Call("readyz", "GET //readyz", token="none"),
    Call("healthz by POST", "POST //healthz", token="none"),
]
BODIES: Final = [
    Call(f"{path}: {name}", f"POST {path}", body)
    for path in (
        "/agent",
        "/agent_spans",
        "/bulk",
        "/agent_instance/register",
        "/agent_instance/<agent_instance 1>/start",
        "/agent/<agent 1>/retire",
    )
    for name, body in _BODIES.items()
]
BEFORE_BODIES: Final = [Call("a run", "POST /agent_instance/register", registration())]


def _long(count: int) -> dict[str, Json]:
    return details(name="Long", description="x" * count)


LIMITS: Final = [
    Call("a body that is too long", "POST /agent", b"x" * 5000),
    Call("a body that is too long unpacked", "POST /agent", _zipped(b" " * 5000), headers=_GZIP),
    Call("too many values", "POST /agent", b"[" + b"1," * 300 + b"1]"),
    Call("too deep", "POST /agent", b'{"details":{"name":' + b"[" * 20 + b"]" * 20 + b"}}"),
    Call(
        "too many items", "POST /bulk", bulk(*({"_type": "agents/list", "n": n} for n in range(4)))
    ),
    Call("a long agent", "POST /agent", _long(2500)),
    Call(
        "answers that are too long together",
        "POST /bulk",
        bulk(*({"_type": "agents/list", "n": n} for n in range(3))),
    ),
    Call("a run", "POST /agent_instance/register", registration(), silent=True),
    *(
        Call(
            f"long span {n}",
            "POST /agent_spans",
            details(**span(payload={"a": "x" * 1500})),
            silent=True,
        )
        for n in range(3)
    ),
    Call("a page that is shorter", "GET /agent_spans?agent_instance_id=<agent_instance 1>"),
    Call(
        "the page after it",
        "GET /agent_spans?agent_instance_id=<agent_instance 1>&pagination[offset]=1"
        "&pagination[page_size]=1",
    ),
]
