"""An agent on the client of openai, offline: its model is a function behind a fake transport.

```shell
python examples/order_agent.py "Where is order 1240?"
python examples/order_agent.py "I want a refund for 1240."
remit runs show last
```

It needs `pip install -e '.[collector,openai]'`, which `make demo` does not run, but no account, no
key and no network. The loop in `answer` is the one that an agent on the client has; what remit adds
are the decorators, `watch`, and the `except` around the call of a tool.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from openai import DefaultHttpxClient, OpenAI
from openai.types.chat import ChatCompletionMessageFunctionToolCall

import remit
from remit.errors import DeniedError
from remit.integrations.openai import watch

if TYPE_CHECKING:
    import httpx2 as httpx
else:
    try:
        import httpx2 as httpx
    except ImportError:  # an openai before version 3 brings httpx
        import httpx

MODEL: Final = "gpt-test"
ORDERS: Final = {1240: "shipped", 1263: "delivered"}
QUESTIONS: Final = ("Where is order 1240?", "I want a refund for 1263.")


@remit.span_type(
    data_risk=remit.risk(allows="read_data", forbids="financial_transactions"),
)
def find_order(number: int) -> str:
    """Find out where an order is."""
    return ORDERS.get(number, "unknown")


@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
def refund(number: int) -> str:
    """Pay the price of an order back."""
    return f"{number} was refunded"


TOOLS: Final[dict[str, Callable[..., str]]] = {"find_order": find_order, "refund": refund}


def described(name: str, tool: Callable[..., object]) -> Any:  # noqa: ANN401 - of the client's types
    """Describe a tool to the model."""
    number = {"type": "object", "properties": {"number": {"type": "integer"}}}
    function = {"name": name, "description": tool.__doc__, "parameters": number}
    return {"type": "function", "function": function}


@remit.agent(
    name="Order agent",
    data_risk=remit.risk(allows="read_data", forbids="financial_transactions"),
)
def answer(question: str) -> str:
    """Answer a question about an order."""
    tools = [described(name, tool) for name, tool in TOOLS.items()]
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        completion = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        message = completion.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return message.content or ""
        messages += [called(call) for call in message.tool_calls if call.type == "function"]


def called(call: ChatCompletionMessageFunctionToolCall) -> dict[str, str]:
    """Call a tool; a denial is its result, so that the model can go on."""
    try:
        output = TOOLS[call.function.name](**json.loads(call.function.arguments))
    except DeniedError as denied:
        output = denied.for_model()
    return {"role": "tool", "tool_call_id": call.id, "content": output}


# The model


def model(request: httpx.Request) -> httpx.Response:
    """Answer as a model would: call a tool, then say what it returned."""
    last = json.loads(request.content)["messages"][-1]
    message: dict[str, object] = {"role": "assistant", "content": None}
    if last["role"] == "tool":
        message["content"] = f"The answer is: {last['content']}"
    else:
        number = re.search(r"\d+", last["content"])
        name = "refund" if "refund" in last["content"] else "find_order"
        arguments = json.dumps({"number": int(number[0]) if number else 0})
        function = {"name": name, "arguments": arguments}
        message["tool_calls"] = [{"id": "call-1", "type": "function", "function": function}]
    usage = {"prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 49}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": MODEL}
    return httpx.Response(200, json={**body, "choices": [choice], "usage": usage})


client = watch(
    OpenAI(
        api_key="none",
        http_client=DefaultHttpxClient(transport=httpx.MockTransport(model)),
    )
)


def main(questions: Sequence[str] = QUESTIONS) -> None:
    """Answer the question on the command line, else two examples."""
    parser = argparse.ArgumentParser(description="An agent on a client of openai.")
    parser.add_argument("question", nargs="?", help="without one, two examples")
    asked = parser.parse_args().question
    remit.configure(on_violation="deny")
    for question in [asked] if asked else questions:
        print(f"> {question}\n{answer(question)}\n")


if __name__ == "__main__":
    main()
