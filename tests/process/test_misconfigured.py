"""Each misconfiguration is one sentence in the program's log, which names the setting to change."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypedDict

import pytest

from tests.bad_servers import login_page, moved, plain, silent, tls
from tests.fake_api import Answer, FakeApi, Json, refusal
from tests.loopback import Behaviour, serving, unused_port
from tests.processes import DECLARED, WARM, forked, output_of, start

TOKEN = "prefactor_test_token_0123456789"
SPANS = 500
Server: TypeAlias = Callable[[], AbstractContextManager[str | None]]
LEFT = "recorded items were not delivered"

PROGRAM = f"""
import json, logging, os, sys, time

lines = []

class Said(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())

logging.getLogger("remit").addHandler(Said(logging.WARNING))
sys.modules.update(dict.fromkeys(sys.argv[1:]))
import remit

@remit.agent
def agent(steps):
    return sum(step(number) for number in range(steps))

results = [agent(10)]
for _ in range(120):
    remit.flush(0.5)
    if lines:
        break
results.append(agent({SPANS}))
remit.flush(0.2)
during = list(lines)
ended = remit.shutdown(0.1)
status = remit.status()
print(json.dumps({{"results": results, "during": during, "after": lines[len(during):],
                  "left": ended.pending, "faults": dict(status.faults),
                  "shown": str(status) + repr(status)}}))
"""


class Report(TypedDict):
    """What the program tells."""

    results: list[int]
    during: list[str]
    after: list[str]
    left: int
    faults: dict[str, int]
    shown: str


@dataclass(frozen=True)
class Case:
    """One misconfiguration.

    Attributes:
        name: In a word.
        server: Makes the URL; without one there is none.
        names: What the sentence says, the setting to change among it.
        variables: What is in the environment beside the URL and the token; None unsets.
        blocked: Modules that are not installed.
    """

    name: str
    server: Server
    names: tuple[str, ...]
    variables: dict[str, str | None] = field(default_factory=dict[str, str | None])
    blocked: tuple[str, ...] = ()


def answers(rule: Callable[[str, Json], Answer], path: str = "") -> Server:
    """Return a server that breaks the contract by *rule*; its URL ends in *path*."""
    return lambda: at(FakeApi(rules=[rule]).behave, path=path)


@contextmanager
def at(behave: Behaviour, *, scheme: str = "http://", path: str = "") -> Generator[str]:
    """Serve, and give the URL with another scheme, user or path."""
    with serving(behave) as url:
        yield url.replace("http://", scheme) + path


def needs_agent(path: str, _: Json) -> Answer:
    """Require an agent id, and refuse to look up or create agents."""
    if path.endswith("/register"):
        return refusal(422, "validation_errors", errors={"agent_id": ["can't be blank"]})
    return refusal(403, "forbidden") if path.startswith("/api/v1/agent/") else None


def good() -> AbstractContextManager[str]:
    """Serve the API as it should be."""
    return serving(FakeApi().behave)


def nobody() -> AbstractContextManager[str]:
    """Give a URL where nothing listens."""
    return nullcontext(f"http://127.0.0.1:{unused_port()}")


CASES = [
    Case("no token", good, ("api_token is not set", "local"), {"REMIT_API_TOKEN": None}),
    Case("no url", nullcontext, ("api_url is not set", "local"), {"REMIT_API_URL": None}),
    Case(
        "remote without a token",
        good,
        ("REMIT_API_TOKEN", "off until"),
        {"REMIT_API_TOKEN": None, "REMIT_MODE": "remote"},
    ),
    Case(
        "wrong token",
        answers(lambda *_: refusal(401, "bad_authtoken")),
        ("api_token", "remit spool send --all"),
    ),
    Case("wrong scope", answers(lambda *_: refusal(403, "forbidden")), ("api_token", "scope")),
    Case("token with a space", good, ("api_token",), {"REMIT_API_TOKEN": f"Bearer {TOKEN}"}),
    Case(
        "unknown host",
        lambda: nullcontext("https://no-such-host.invalid"),
        ("api_url", "host name"),
    ),
    Case("wrong port", nobody, ("api_url", "nothing listens there")),
    Case("https to http", lambda: at(plain, scheme="https://"), ("api_url", "supports https")),
    Case("http to https", lambda: at(tls), ("api_url", "http or https")),
    Case(
        "wrong path",
        answers(lambda *_: refusal(404, "not_found"), "/console"),
        ("api_url", "/console/api/v1/agent_instance/register", "remit spool send --from http"),
    ),
    Case("login page", lambda: at(login_page), ("api_url",)),
    Case("moved", lambda: at(moved), ("api_url", "https://api.example")),
    Case(
        "no answer",
        lambda: at(silent),
        ("api_url", "request_timeout_s"),
        {"REMIT_REQUEST_TIMEOUT_S": "0.5"},
    ),
    Case(
        "user in the url",
        lambda: at(FakeApi().behave, scheme="http://me:hunter2@"),
        ("api_url", "off until"),
    ),
    Case("folder", good, ("data_dir", "in memory only"), {"REMIT_DATA_DIR": "/dev/null/remit"}),
    Case(
        "local without the collector",
        nullcontext,
        ("the extra `collector`", "REMIT_API_URL", "REMIT_MODE"),
        {"REMIT_MODE": "local", "REMIT_API_TOKEN": None},
        ("jsonschema_rs",),
    ),
    Case("agent id", answers(needs_agent), ("agent_id",)),
    Case("mistyped value", good, ("REMIT_FLUSH_ON",), {"REMIT_FLUSH_ON": "never"}),
    Case("mistyped hook", good, ("REMIT_REDACT",), {"REMIT_REDACT": "this_is:nowhere"}),
    Case(
        "proxy that is none",
        good,
        ("HTTP_PROXY",),
        {"HTTP_PROXY": "socks5://me:hunter2@127.0.0.1:9", "NO_PROXY": ""},
    ),
    Case(
        "proxy that is away",
        good,
        ("HTTP_PROXY", "the proxy 127.0.0.1:"),
        {"HTTP_PROXY": f"http://me:hunter2@127.0.0.1:{unused_port()}", "NO_PROXY": ""},
    ),
]


PROGRAMS = ("no token", "local without the collector", "mistyped value")
"""Cases that are run as programs of their own as well."""


def environment_of(case: Case, url: str | None, folder: Path) -> dict[str, str]:
    """Return the environment with a misconfiguration."""
    ours = ("REMIT_", "PREFACTOR_", "HTTP_", "NO_PROXY", "ALL_PROXY")
    given: dict[str, str | None] = {
        "REMIT_API_URL": url,
        "REMIT_API_TOKEN": TOKEN,
        "REMIT_DATA_DIR": str(folder / case.name),
        "REMIT_FLUSH_INTERVAL_S": "0.1",
        "REMIT_EXIT_TIMEOUT_S": "0.1",
        **case.variables,
    }
    kept = {name: text for name, text in os.environ.items() if not name.upper().startswith(ours)}
    return kept | {name: text for name, text in given.items() if text is not None}


def check(case: Case, report: Report) -> None:
    """Assert that a misconfiguration was said once, with the setting, and hurt nothing."""
    assert report["results"] == [45, SPANS * (SPANS - 1) // 2]
    (said,) = report["during"]
    for words in case.names:
        assert words in said
    # The first line says where items wait; the exit adds a line only if something is lost.
    if report["left"] and not report["after"]:
        assert "remit spool send" in said
    assert all(LEFT in line for line in report["after"])
    assert report["faults"] == {}
    shown = report["shown"] + said + "".join(report["after"])
    assert TOKEN not in shown
    assert "hunter2" not in shown


def test_a_misconfiguration_is_said_once_and_names_the_setting(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """The program's results are the same as without remit, and no secret is shown."""
    with ExitStack() as stack:
        cases = {
            case.name: (
                environment_of(case, stack.enter_context(case.server()), tmp_path),
                list(case.blocked),
            )
            for case in CASES
        }
        ended = forked(DECLARED + WARM, PROGRAM, cases)
        by_itself = {
            name: output_of(start(DECLARED + PROGRAM, environ, *arguments))
            for name, (environ, arguments) in cases.items()
            if name in PROGRAMS
        }
    for case in CASES:
        with subtests.test(case.name):
            found = ended[case.name]
            assert (found.code, found.errors) == (0, "")
            check(case, json.loads(found.out))
            if case.name in PROGRAMS:
                out, errors = by_itself[case.name]
                assert errors == ""
                check(case, json.loads(out))
