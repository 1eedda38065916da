"""Requests made to keep a collector busy or to fill its memory, each in a few bytes."""

from __future__ import annotations

import gzip
import os
import re
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from remit.collector import Settings
from tests.collecting import Api, details
from tests.inside import httpx
from tests.serving import serving, token_of
from tests.subtests import each

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from /proc"
)

MIB: Final = 1024 * 1024
MOST: Final = Settings().max_body_values
MAX_CPU_S: Final = 1.0
MAX_GROWTH: Final = 10 * Settings().max_body_bytes


@dataclass
class Attacked:
    """A collector in a separate process, with a run."""

    pid: int
    api: Api
    run: str

    def cpu_s(self) -> float:
        """Return how long it has been busy."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str) -> int:
        """Return how many bytes of memory it has (`VmRSS`), or had at most (`VmHWM`)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        """Reset the peak of the memory."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """Serve a collector."""
    with attack(tmp_path_factory.mktemp("attacked") / "remit.db") as attacked:
        yield attacked


@contextmanager
def attack(db: Path, *options: str) -> Generator[Attacked]:
    """Return a block with a collector over *db*, served with these options."""
    token = token_of(db)
    with serving(db, *options) as collector, collector.client(token) as client:
        agent = details(client.post("/api/v1/agent", json={"details": {"name": "A"}}))["id"]
        api = Api(client, agent)
        yield Attacked(collector.process.pid, api, api.instance("active")["id"])


def listed(value: bytes, count: int) -> bytes:
    """Return an array that holds *value* so many times."""
    return b"[" + b",".join([value] * count) + b"]"


def registration(schemas: bytes) -> bytes:
    """Return a registration with these schemas."""
    return b'{"agent_id":"AGENT","agent_version":{"name":"v"},"agent_schema_version":%s}' % schemas


def span(payload: bytes) -> bytes:
    """Return a span with this payload."""
    return (
        b'{"details":{"agent_instance_id":"RUN","schema_name":"t","status":"complete",'
        b'"payload":%s}}' % payload
    )


def bulk(item: bytes, count: int) -> bytes:
    """Return a bulk request with so many items of this form."""
    key = b'"idempotency_key":"key-%08d"'
    items = [b"{" + key % n + b"," + item + b"}" for n in range(count)]
    return b'{"items":[' + b",".join(items) + b"]}"


REGISTER: Final = "/agent_instance/register"
SPANS: Final = "/agent_spans"
BODIES: Final[dict[str, tuple[str, Callable[[], bytes], int]]] = {
    "many wrong items": (
        REGISTER,
        lambda: registration(b'{"span_type_schemas":' + listed(b"1", MOST - 100) + b"}"),
        422,
    ),
    "items within the cap, all wrong": (
        REGISTER,
        lambda: registration(b'{"span_type_schemas":' + listed(b'{"title":1}', 10_000) + b"}"),
        422,
    ),
    "as many small span types as may be": (
        REGISTER,
        lambda: registration(
            b'{"span_type_schemas":['
            + b",".join(
                b'{"name":"main:step%d","title":"Step","params_schema":{"properties":{"order":'
                b'{"type":"integer"},"note":{"default":"","type":"string"}},"required":["order"],'
                b'"type":"object"},"result_schema":{"type":"object"}}' % n
                for n in range(10_000)
            )
            + b"]}"
        ),
        200,
    ),
    "a map of many wrong members": (
        REGISTER,
        lambda: registration(
            b'{"span_schemas":{' + b",".join(b'"%d":1' % n for n in range(200_000)) + b"}}"
        ),
        422,
    ),
    "more values than allowed": (
        SPANS,
        lambda: span(b'{"v":' + listed(b"1", 4_000_000) + b"}"),
        413,
    ),
    "slow numbers": (SPANS, lambda: span(b'{"v":' + listed(b"1.1e300", MOST - 100) + b"}"), 200),
    "slow numbers in a field without a name": (
        SPANS,
        lambda: span(b'{},"payload_read":' + listed(b"1.1e300", MOST - 100)),
        200,
    ),
    "long numbers": (SPANS, lambda: span(b'{"v":' + listed(b"1" * 4000, 2000) + b"}"), 200),
    "deep": (SPANS, lambda: span(b'{"v":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), 400),
    "wide and deep": (
        SPANS,
        lambda: span(b'{"v":' + b'{"a":' * 90 + listed(b"[1]", 120_000) + b"}" * 91),
        200,
    ),
    "many keys": (
        SPANS,
        lambda: span(b"{" + b",".join(b'"%x":0' % n for n in range(MOST - 100)) + b"}"),
        200,
    ),
    "many keys and spaces": (
        SPANS,
        lambda: span(b"{" + b",".join(b'"%x":0' % n for n in range(MOST - 100)) + b"}").replace(
            b":", b" : "
        ),
        200,
    ),
    "many separators in strings": (
        SPANS,
        lambda: span(b'{"v":' + listed(b'",,"', 1_500_000) + b"}"),
        413,
    ),
    "a bomb": (SPANS, lambda: b" " * 200_000_000, 413),
    "many items": (
        "/bulk",
        lambda: bulk(
            b'"_type":"agent_spans/create","agent_instance_id":"RUN","schema_name":"t",'
            b'"status":"complete","payload":{"v":"x"}',
            10_000,
        ),
        200,
    ),
    "many registrations": (
        "/bulk",
        lambda: bulk(
            b'"_type":"agent_instances/register","agent_id":"AGENT","agent_version":{"name":"v"},'
            b'"agent_schema_version":{}',
            10_000,
        ),
        200,
    ),
    "items with long answers": (
        "/bulk",
        lambda: bulk(
            b'"_type":"agent_instances/record_quality","agent_instance_id":"RUN","name":"q",'
            b'"payload":{"v":"%s"}' % (b"y" * 600),
            9000,
        ),
        200,
    ),
}


@each("name", BODIES)
def test_a_request_takes_neither_long_nor_much(attacked: Attacked, name: str) -> None:
    """The bounds are a second of CPU and ten times the longest body."""
    path, made, status = BODIES[name]
    body = made().replace(b"AGENT", (attacked.api.agent_id or "").encode())
    packed = gzip.compress(body.replace(b"RUN", attacked.run.encode()), 1)
    attacked.forget_peak()
    memory, cpu_s = attacked.memory("VmRSS"), attacked.cpu_s()

    answer = attacked.api.post(path, content=packed, headers={"Content-Encoding": "gzip"})

    assert attacked.cpu_s() - cpu_s < MAX_CPU_S
    assert attacked.memory("VmHWM") - memory < MAX_GROWTH
    assert answer.status_code == status, answer.text[:300]
    if status != 200:
        assert len(answer.content) < 10_000


def patterned(start: int, types: int) -> dict[str, Any]:
    """Return a schema version with 64 patterns in each type, which are large when compiled."""
    return {
        "span_type_schemas": [
            {
                "name": f"t{n}",
                "params_schema": {
                    "properties": {
                        f"f{m}": {"pattern": rf"\p{{L}}{{3}}{start + 64 * n + m}"}
                        for m in range(64)
                    }
                },
            }
            for n in range(types)
        ]
    }


def spans_of(run: str, count: int, start: int = 0) -> list[dict[str, Any]]:
    """Return an item for a span of each of so many types; its payload matches."""
    payloads = [
        {f"f{m}": f"abc{start + 64 * n + m}" for m in range(64)} if n < 8 else {"f0": "no"}
        for n in range(count)
    ]
    return [
        {
            "_type": "agent_spans/create",
            "agent_instance_id": run,
            "schema_name": f"t{n}",
            "status": "complete",
            "payload": payload,
        }
        for n, payload in enumerate(payloads)
    ]


def test_the_patterns_of_a_schema_version_take_little_memory(attacked: Attacked) -> None:
    """Payloads of the types beyond the limit are stored unchecked, and say why."""
    attacked.api.bulk(*spans_of(attacked.run, 1))
    attacked.forget_peak()
    memory, cpu_s = attacked.memory("VmRSS"), attacked.cpu_s()

    run = attacked.api.instance(agent_schema_version=patterned(0, 150))["id"]
    shown = [
        output["details"]
        for item in spans_of(run, 150)
        for output in attacked.api.bulk(item).values()
    ]

    assert attacked.memory("VmHWM") - memory < 100 * MIB
    assert attacked.cpu_s() - cpu_s < 4 * MAX_CPU_S
    assert [each["valid"] for each in shown[:4]] == [True] * 4
    assert [each["valid"] for each in shown[4:]] == [None] * 146
    assert shown[4]["schema_errors"] == [
        "payload was not compared: the schema version has more than 256 patterns"
    ]


def test_the_patterns_of_many_schema_versions_take_little_memory(attacked: Attacked) -> None:
    """Compiled schemas that were not used lately are forgotten, and compiled again when needed."""
    attacked.api.bulk(*spans_of(attacked.run, 1))
    attacked.forget_peak()
    memory = attacked.memory("VmRSS")

    runs = [
        attacked.api.instance(agent_schema_version=patterned(1000 * n, 4))["id"]
        for n in range(1, 9)
    ]
    for n, run in enumerate(runs, 1):
        for item in spans_of(run, 4, 1000 * n):
            (output,) = attacked.api.bulk(item).values()
            assert output["details"]["valid"] is True

    assert attacked.memory("VmHWM") - memory < 100 * MIB
    (output,) = attacked.api.bulk(spans_of(runs[0], 1, 1000)[0]).values()
    assert output["details"]["valid"] is True


def test_compiling_schemas_does_not_hold_up_a_request(tmp_path: Path) -> None:
    """What it has no time for is stored unchecked; later requests go on."""
    starts = [50_000, 60_000, 70_000]
    with attack(tmp_path / "remit.db", "--max-bulk-s", "60") as attacked:
        items = []
        for start in starts:
            run = attacked.api.instance(agent_schema_version=patterned(start, 4))["id"]
            items += spans_of(run, 4, start)
        begin = attacked.cpu_s()
        outputs = attacked.api.bulk(*items)
        assert attacked.cpu_s() - begin < MAX_CPU_S
        (again,) = attacked.api.bulk(items[-1]).values()

    valid = [output["details"]["valid"] for output in outputs.values()]
    assert valid[0] is True
    assert valid[-1] is None
    assert again["details"]["valid"] is True


@pytest.mark.parametrize(
    "sent",
    [
        [b"0\r\n"] + [b"x: %s\r\n" % (b"y" * 1000) * 1000] * 40,
        [b"1\r\n1\r\n" * 100_000] * 40,
    ],
    ids=["trailers", "small chunks"],
)
def test_a_body_in_chunks_is_not_read(attacked: Attacked, sent: list[bytes]) -> None:
    """The server closes the connection, or answers 411."""
    attacked.forget_peak()
    memory, cpu_s = attacked.memory("VmRSS"), attacked.cpu_s()
    url = httpx.URL(attacked.api.http.base_url)
    got = b""
    with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
        try:
            connection.sendall(b"POST /api/v1/agent HTTP/1.1\r\nHost: x\r\n")
            connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
            for part in sent:
                connection.sendall(part)
            got = connection.recv(65536)
        except ConnectionError:
            # It was closed meanwhile.
            pass

    assert not got or got.startswith(b"HTTP/1.1 411 ")
    assert attacked.cpu_s() - cpu_s < MAX_CPU_S
    assert attacked.memory("VmHWM") - memory < 4 * MIB
