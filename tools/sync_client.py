"""Generate the synchronous client from the asynchronous one: `python tools/sync_client.py`.

With `--check` nothing is written, and it fails if `_sync.py` is not what would be generated.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from unasync import Rule, unasync_files

CLIENT: Final = Path(__file__).parent.parent / "src" / "remit" / "client"
NAMES: Final = {
    "AsyncAgentInstances": "AgentInstances",
    "AsyncAgentSpans": "AgentSpans",
    "AsyncAgents": "Agents",
    "AsyncBulk": "Bulk",
    "AsyncClient": "Client",
    "AsyncEndpoints": "Endpoints",
    "AsyncHttpClient": "HttpClient",
    "AsyncCallSender": "CallSender",
    "AsyncTransport": "Transport",
    "aclose": "close",
}
TEXTS: Final = {
    "The asynchronous client; `_sync.py` is generated from it, by `python tools/sync_client.py`.": (
        "The synchronous client, generated from `_async.py` by `python tools/sync_client.py`."
    ),
    "httpx.AsyncBaseTransport": "httpx.BaseTransport",
    "HTTP API, for use with `async with` in one event loop.": (
        "HTTP API, for use with `with`. It is thread-safe."
    ),
    ", awaitable.": ".",
    "including retries and the waits between them.\n": (
        "including retries and the waits between them. A\n"
        "                call can take longer if the server sends its headers in small parts.\n"
    ),
}


def generated() -> str:
    """Return the text of the synchronous client."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(shutil.copy(CLIENT / "_async.py", folder))
        rule = Rule("_async.py", "_sync.py", additional_replacements=NAMES)
        unasync_files([str(source)], [rule])
        text = source.with_name("_sync.py").read_text()
    for old, new in TEXTS.items():
        if old not in text:
            sys.exit(f"tools/sync_client.py replaces {old!r}, which _async.py does not have")
        text = text.replace(old, new)
    for command in (["check", "--fix", "--select", "I"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename"]
        text = subprocess.run(
            [*ruff, str(CLIENT / "_sync.py"), "-"],
            input=text, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
    return text


def main() -> None:
    """Write the synchronous client, or check it."""
    target = CLIENT / "_sync.py"
    text = generated()
    if "--check" not in sys.argv:
        target.write_text(text)
    elif target.read_text() != text:
        sys.exit(f"{target.name} is not current: run `python tools/sync_client.py`")


if __name__ == "__main__":
    main()
