"""What waits for delivery and what was delivered costs the garbage collector nothing.

The collector examines every object that it tracks, again and again while they become more, and a
service stands still meanwhile.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.fake_api import RUNS_IN_BULK, FakeApi
from tests.inside import httpx
from tests.loopback import serving
from tests.processes import DECLARED, errors_of, settings, start

RUNS = 1_000
FEW = RUNS // 2
"""What does not grow with the runs, such as SQLite's statements.

The module sqlite3 keeps weak references to the last 200 cursors of each connection. How many there
are depends on the number of the writer's passes, and so on the speed of the machine.
"""
PROGRAM = f"""
import asyncio, gc, json
from collections.abc import AsyncIterator

@remit.agent("Worker")
def work(number: int) -> None:
    for _ in range(3):
        step(number)

@remit.span_type("stream")
async def stream(number: int) -> AsyncIterator[str]:
    yield str(number)

@remit.agent("Waiter")
async def wait(number: int) -> None:
    async with remit.span("thought"):
        async for _ in stream(number):
            step(number)

async def serve(first: int) -> None:
    for number in range(first, first + {RUNS // 2}):
        work(number)
        await wait(number)

# A collection no longer tracks the tuples that it meets, such as the keys of a cache of 2,000.
def tracked() -> int:
    return sum(type(each) is not tuple for each in gc.get_objects())

asyncio.run(serve(0))
remit.flush(60)
gc.collect()
gc.disable()
before = tracked()
print("ready", flush=True)
sys.stdin.readline()
asyncio.run(serve({RUNS}))
wait_until_written()
waiting = tracked() - before
print("waiting", flush=True)
sys.stdin.readline()
while remit.flush(5).pending:
    pass
print(json.dumps([waiting, tracked() - before, remit.status().dropped]), flush=True)
"""


def test_runs_that_wait_or_were_delivered_are_not_tracked(tmp_path: Path) -> None:
    """Fewer objects are tracked than there are runs, without a single collection."""
    api = FakeApi(in_bulk=RUNS_IN_BULK, keeps_schema=True)
    with (
        serving(api.behave) as url,
        start(DECLARED + PROGRAM, settings(tmp_path, url, "t")) as program,
    ):
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        api.rules.append(lambda _path, _body: httpx.Response(503))
        program.stdin.write("\n")
        assert program.stdout.readline() == "waiting\n"
        api.rules.clear()
        program.stdin.write("\n")
        waiting, delivered, dropped = json.loads(program.stdout.readline())
        assert errors_of(program).count("\n") == 1  # it says that nothing can be delivered
    assert dropped == {}
    assert len(api.instances) == 2 * RUNS
    assert waiting < FEW
    assert delivered < FEW
