"""A model behind the API of Anthropic, on this machine: it asks for tools, then it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Final

PROMPT_TOKENS: Final = 16
ANSWER_TOKENS: Final = 5
STARTED: Final = {"input_tokens": 10, "cache_read_input_tokens": 6, "output_tokens": 1}


@contextmanager
def serving(calls: Sequence[tuple[str, dict[str, Any]]]) -> Generator[str]:
    """Serve a model that makes *calls* in its first answer; yield the address."""
    numbers = count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of the base
            """Be quiet."""

        def do_POST(self) -> None:
            """Answer with the events of one message."""
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            has_results = "tool_result" in json.dumps(body["messages"])
            blocks: list[dict[str, Any]] = [{"type": "text", "text": "Done."}]
            if not has_results:
                blocks = [
                    {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": arguments}
                    for index, (name, arguments) in enumerate(calls)
                ]
            content = "".join(
                f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
                for event in events(f"msg_{next(numbers)}", body["model"], blocks)
            ).encode()
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def events(key: str, model: str, blocks: Sequence[dict[str, Any]]) -> Generator[dict[str, Any]]:
    """Yield the events of a streamed message."""
    message: dict[str, Any] = {"id": key, "type": "message", "role": "assistant", "model": model}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": STARTED}
    yield {"type": "message_start", "message": message}
    for index, block in enumerate(blocks):
        is_text = block["type"] == "text"
        begun = {**block, "text": ""} if is_text else {**block, "input": {}}
        delta: dict[str, Any] = {"type": "text_delta", "text": block.get("text")}
        if not is_text:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    reason = "end_turn" if blocks[0]["type"] == "text" else "tool_use"
    delta = {"stop_reason": reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": ANSWER_TOKENS}}
    yield {"type": "message_stop"}
