"""CPU of a LangChain agent, two model calls and a tool: `python -m benchmarks.langchain_agent`.

The agent runs bare, with remit, and with the handler of Langfuse, in turns in one process. Both
deliver to a port at which nothing listens. Two times are printed: CPU of the thread that runs the
agent, and CPU of the process, which includes what background threads encode and write.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

import remit
from remit.integrations.langchain import RemitHandler, RemitTools

NOWHERE = "http://127.0.0.1:9"
QUESTION: Any = {"messages": [("user", "Where is order A-1? " * 16)]}
ANSWERS = (
    AIMessage(
        "",
        tool_calls=[
            {"id": "c", "name": "look_up", "args": {"order_id": "A-1"}, "type": "tool_call"}
        ],
    ),
    AIMessage("It is shipped. " * 20),
)


class Model(BaseChatModel):
    """Answers with a call of a tool, and then with a text."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *_: object, **__: object) -> Any:
        """Return itself."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: object, **__: object) -> ChatResult:
        answer = ANSWERS[messages[-1].type == "tool"]
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy())])


def look_up(order_id: str) -> str:
    """Look an order up."""
    return f"{order_id} is shipped"


@remit.agent
def agent() -> None:
    """Hold the runs."""


def ways() -> dict[str, Callable[[], object]]:
    """Return a function for each way to run the agent."""
    langfuse: Any = importlib.import_module("langfuse")
    langfuse.Langfuse(public_key="pk", secret_key="sk", base_url=NOWHERE, timeout=1)
    theirs = importlib.import_module("langfuse.langchain").CallbackHandler()
    remit.configure(api_url=NOWHERE, api_token="benchmark", data_dir=tempfile.mkdtemp())
    bare = create_agent(Model(), [look_up])
    ours = create_agent(Model(), [look_up], middleware=[RemitTools([look_up])])

    def with_remit() -> None:
        with agent.run():
            ours.invoke(QUESTION, {"callbacks": [RemitHandler()]})

    return {
        "bare": lambda: bare.invoke(QUESTION),
        "remit": with_remit,
        "Langfuse": lambda: bare.invoke(QUESTION, {"callbacks": [theirs]}),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=4, help="in each round")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    agents = ways()
    for run in agents.values():
        for _ in range(20):
            run()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in agents}
    for _ in range(arguments.rounds):
        for name, run in agents.items():
            thread, process = time.thread_time(), time.process_time()
            for _ in range(arguments.runs):
                run()
            used = time.thread_time() - thread, time.process_time() - process
            times[name].append((used[0] / arguments.runs, used[1] / arguments.runs))
    # Both, because a machine that others use too is slow for a while.
    for quartile, statistic in ((0, "lower quartile"), (1, "median")):
        for at, label in enumerate(("thread", "process")):
            used_ms = {
                name: statistics.quantiles(each[at] for each in measured)[quartile] * 1000
                for name, measured in times.items()
            }
            ours, theirs = (used_ms[name] - used_ms["bare"] for name in ("remit", "Langfuse"))
            print(
                f"{statistic}, {label}: bare {used_ms['bare']:.2f} ms; remit adds {ours:.2f}, "
                f"Langfuse {theirs:.2f}: {ours / theirs:.2f} of it"
            )


if __name__ == "__main__":
    main()
