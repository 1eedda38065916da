"""A program whose server answers to hurt it: slow numbers, bombs, and more."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.loopback import request_of, serving

# The main thread does little, and notices what this process computes meanwhile. It reads the time
# of the processor: a busy machine stops a process for seconds. It records one long run and many
# short.
PROGRAM: Final = """
import json, resource, time
import remit

@remit.agent(name="bot")
def bot(seconds):
    longest, end = 0.0, time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        began = time.process_time()
        step(now)
        with visit.run():
            step(now)
            step(now)
        time.sleep(0.001)
        longest = max(longest, time.process_time() - began)
    return longest

@remit.agent(name="visitor")
def visit():
    pass

@remit.span_type("step")
def step(now):
    return now

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

remit.configure()
bot(0.3)
before = peak()
longest = bot(1.5)
print(json.dumps({"longest_s": longest, "grown_mib": peak() - before}))
"""
MIB: Final = 1024 * 1024
SLOW: Final = b"[" + b"1.1e300," * 4_000_000 + b"1]"
ANSWERS: Final[dict[str, tuple[int, str, Callable[[], bytes]]]] = {
    "slow numbers in a refusal": (422, "", lambda: b'{"code":"c","errors":{"a":%s}}' % SLOW),
    "slow numbers in 1 MiB": (422, "", lambda: b'{"code":"c","errors":{"a":%s1]}}' % SLOW[:MIB]),
    "slow numbers in an output": (
        200,
        "",
        lambda: b'{"outputs":{"k":{"status":"error","errors":{"a":%s1]}}}}' % SLOW[: MIB - 100],
    ),
    "many wrong outputs": (
        200,
        "",
        lambda: b'{"outputs":{' + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}}",
    ),
    "a bomb": (200, "gzip", lambda: gzip.compress(b"\0" * 400 * MIB, 1)),
}


def answering(body: bytes, status: int, encoding: str) -> Callable[[socket.socket, object], None]:
    """Return a server that lets runs begin and answers everything else so."""

    def behave(connection: socket.socket, over: object) -> None:
        del over
        while head := request_of(connection):
            top, _, rest = head.partition(b"\r\n\r\n")
            length = int(top.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            while len(rest) < length:
                rest += connection.recv(65536)
            said, said_status, said_encoding = body, status, encoding
            if b"/bulk" not in top.partition(b"\r\n")[0]:
                details = {"id": "01j00000000000000000000000000000", "status": "active"}
                said = json.dumps({"status": "success", "details": details}).encode()
                said_status, said_encoding = 200, ""
            lines = [f"HTTP/1.1 {said_status} X", f"Content-Length: {len(said)}"]
            lines += [f"Content-Encoding: {said_encoding}"] if said_encoding else []
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + said)

    return behave


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_cannot_stall_the_program(tmp_path: Path, name: str) -> None:
    """The program goes on, and its memory stays bounded."""
    status, encoding, made = ANSWERS[name]
    with serving(answering(made(), status, encoding)) as url:
        env = {
            **os.environ,
            "REMIT_API_URL": url,
            "REMIT_API_TOKEN": "pf_0123456789abcdef",
            "REMIT_DATA_DIR": str(tmp_path),
            "REMIT_FLUSH_INTERVAL_S": "0.1",
            "REMIT_EXIT_TIMEOUT_S": "0.5",
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, check=True, timeout=60
        )
    found = json.loads(done.stdout)

    # Usually 0.1 s at most; the 1 MiB of slow numbers takes 2.7 s where it is parsed.
    assert found["longest_s"] < 1.5, done.stderr
    assert found["grown_mib"] < 32
