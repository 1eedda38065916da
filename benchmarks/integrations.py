"""CPU of the steps of integrations on the caller's thread, compared with a decorated call.

A separate process measures each case: `python -m benchmarks.integrations CASE PORT FOLDER`.
The figure is the CPU time of the calling thread, the least of several series. A LangChain agent
makes two model calls and one call of a tool; its figure is what the handler adds to the agent.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import cycle
from operator import is_
from pathlib import Path
from typing import Any, Final

import remit
from benchmarks import children, peers
from remit._adapters.declare import declare
from remit._adapters.spans import start
from remit._record.context import open_context
from remit.integrations import _llm
from tests import sink

SERIES: Final = 7
CALLS: Final = 2_000
AGENTS: Final = 40
CHARS: Final = 330
"""Characters of a message."""
DECORATED: Final = "a decorated call"
TOOL: Final = "a tool's span"
FEW: Final = "a model call of 8 messages"
MANY: Final = "a model call of 100 messages, two of them new"
OUTSIDE: Final = "a watched client outside any run"
EXPORT: Final = "exporting a decorated call"
LANGCHAIN: Final = "a LangChain agent"
LANGFUSE: Final = "the same with Langfuse"
Act = Callable[[], object]


@remit.agent
def agent() -> None:
    """Hold the runs."""


@remit.span_type
def look_up(order_id: str, limit: int) -> dict[str, object]:
    """Return a small dict."""
    return {"order": order_id, "limit": limit, "state": "shipped"}


def least_us(act: Act, times: int = CALLS) -> float:
    """Return the microseconds of CPU that *act* takes this thread in the fastest series."""
    series: list[float] = []
    for _ in range(SERIES):
        with agent.run():
            began_s = time.thread_time()
            for _ in range(times):
                act()
            series.append((time.thread_time() - began_s) / times * 1e6)
        remit.flush(peers.FLUSH_S)
    return min(series)


def decorated() -> float:
    """Call a decorated function."""
    return least_us(lambda: look_up("order-1", 10))


def tool() -> float:
    """Open and end the span of a tool."""
    schema = {"properties": {"order_id": {"type": "string"}, "limit": {"type": "integer"}}}
    recorder = declare("bench:tool:look_up", "tool", params=schema)
    payload = {"tool_name": "look_up", "inputs": {"order_id": "order-1", "limit": 10}}
    result = {"outputs": {"output": "order-1 is shipped"}}
    return least_us(lambda: start(recorder, lambda: payload).end(lambda: result))


def model_call(count: int, new: int) -> float:
    """Open and end the span of a model call, with *count* messages of which some are new."""
    recorder = declare("bench:llm", "llm")
    history = _llm.History("new")
    texts = [f"{number}: " + "the order was shipped " * 15 for number in range(2 * count)]
    messages = [_llm.message("user", text[:CHARS]) for text in texts]
    answer = [_llm.message("assistant", "It is shipped.")]
    tokens = _llm.token_usage(1_000, 20)
    ends = cycle([messages[count : count + new], messages[count + new : count + 2 * new]])

    def call() -> None:
        parent = open_context()
        said = messages[: count - new] + next(ends)

        def payload() -> dict[str, object]:
            recorded, omitted = history.new(parent, said)
            return _llm.payload("chat", "bench", "m", recorded, omitted=omitted)

        start(recorder, payload).end(lambda: _llm.result(answer, ["stop"], tokens=tokens))

    return least_us(call, CALLS // count)


def outside() -> float:
    """Send a request by a watched client, whose own work is left out."""
    integration: Any = importlib.import_module("remit.integrations.openai")
    openai: Any = importlib.import_module("openai")
    options: Any = importlib.import_module("openai._models").FinalRequestOptions
    client = openai.OpenAI(api_key="benchmark", base_url="http://127.0.0.1:9/v1")
    bare: Any = is_
    client.request = bare
    body = {"model": "m", "messages": []}
    request: Any = options.construct(method="post", url="/chat/completions", json_data=body)
    integration.watch(client)
    series: list[float] = []
    for _ in range(SERIES):
        times: list[float] = []
        for send in (client.request, bare):
            began_s = time.thread_time()
            for _ in range(CALLS):
                send(object, request)
            times.append((time.thread_time() - began_s) / CALLS * 1e6)
        series.append(times[0] - times[1])
    return min(series)


def exported() -> float:
    """Call a decorated function whose span goes to a batch processor too."""
    sdk: Any = importlib.import_module("opentelemetry.sdk.trace.export")
    memory: Any = importlib.import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    processor = sdk.BatchSpanProcessor(memory.InMemorySpanExporter(), max_queue_size=100_000)
    remit.configure(span_processor=processor)
    return decorated()


def langchain(handler: str) -> float:
    """Run an agent of LangChain, and subtract what it takes without a handler."""
    agents: Any = importlib.import_module("langchain.agents")
    models: Any = importlib.import_module("langchain_core.language_models.fake_chat_models")
    messages: Any = importlib.import_module("langchain_core.messages")

    class Model(models.GenericFakeChatModel):  # type: ignore[misc] # of any type
        """Calls the tool once, then answers."""

        def bind_tools(self, tools: object, **options: object) -> Model:
            """Take the tools, and go on as scripted."""
            del tools, options
            return self

    def answers() -> Generator[Any]:
        call = {"name": "look_up", "args": {"order_id": "order-1"}, "id": "1"}
        while True:
            yield messages.AIMessage(content="", tool_calls=[call])
            yield messages.AIMessage(content="It is shipped.")

    def look_up(order_id: str) -> str:
        """Look an order up."""
        return f"{order_id} is shipped"

    made: dict[str, Any] = {"model": Model(messages=answers()), "tools": [look_up]}
    bare = agents.create_agent(**made)
    callbacks: list[Any] = []
    if handler == "remit":
        ours: Any = importlib.import_module("remit.integrations.langchain")
        made["middleware"] = [ours.RemitTools(tools=[look_up])]
        callbacks = [ours.RemitHandler()]
    else:
        theirs: Any = importlib.import_module("langfuse.langchain")
        callbacks = [theirs.CallbackHandler()]
    governed = agents.create_agent(**made)
    question = {"messages": [{"role": "user", "content": "Where is order-1?"}]}

    def ask(agent: Any, config: dict[str, Any]) -> Act:
        return lambda: agent.invoke(question, config)

    without = least_us(ask(bare, {}), AGENTS)
    return least_us(ask(governed, {"callbacks": callbacks}), AGENTS) - without


CASES: Final[dict[str, Callable[[], float]]] = {
    DECORATED: decorated,
    TOOL: tool,
    FEW: lambda: model_call(8, 8),
    MANY: lambda: model_call(100, 2),
    OUTSIDE: outside,
    EXPORT: exported,
    LANGCHAIN: lambda: langchain("remit"),
    LANGFUSE: lambda: langchain("langfuse"),
}


@contextmanager
def recording(case: str, place: peers.Place) -> Generator[None]:
    """Record with remit; for its own case, let Langfuse send to the sink too."""
    if case == LANGFUSE:
        langfuse: Any = importlib.import_module("langfuse")
        client = langfuse.Langfuse(
            public_key="pk-lf-benchmark", secret_key="sk-lf-benchmark", base_url=place.url
        )
        remit.configure(mode="off")
        yield
        client.flush()
        return
    remit.configure(api_url=place.url, api_token="benchmark", data_dir=place.folder / "data")
    yield


def measure(case: str) -> dict[str, Any]:
    """Return the microseconds of a case.

    Raises:
        ChildError: The measured process failed.
    """
    with (
        sink.running(module=children.SINK) as port,
        tempfile.TemporaryDirectory(prefix="remit-bench-") as folder,
    ):
        command = [sys.executable, "-m", "benchmarks.integrations", case, str(port), folder]
        peer = "langfuse" if case == LANGFUSE else "remit"
        done = children.run(command, children.environment(peer), children.PATIENCE_S)
        return children.figures(done.stdout, done.stderr)


def main() -> None:
    """Measure in this process."""
    case, port, folder = sys.argv[1:]
    with recording(case, peers.Place(int(port), Path(folder))):
        print(json.dumps({"us": CASES[case]()}), flush=True)


if __name__ == "__main__":
    main()
