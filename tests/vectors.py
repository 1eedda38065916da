"""Exchanges that the API's published clients had with a server: what they sent and accepted.

Source: captured on loopback; only tokens and paths were replaced.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "data" / "vectors"
CLIENTS: Final = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
_ID: Final = re.compile(r"/[0-7][0-9a-hjkmnp-tv-z]{31}(?=/|$)")


@dataclass(frozen=True)
class Exchange:
    """One request of a published client, and the answer that it took.

    Attributes:
        client: Name of the capture.
        number: Its place in the capture, from zero.
        method: HTTP method.
        path: Path, with the query if there was one.
        body: JSON that was sent, or None.
        status: HTTP status of the answer.
        response: JSON of the answer.
    """

    client: str
    number: int
    method: str
    path: str
    body: Any
    status: int
    response: Any

    def __str__(self) -> str:
        """Return what names it in a test's id."""
        return f"{self.client} {self.number}: {self.endpoint} {self.status}"

    @property
    def endpoint(self) -> str:
        """Method and path, with `{id}` in place of an id and without the query."""
        return f"{self.method} {_ID.sub('/{id}', self.path.partition('?')[0])}"


def exchanges(client: str) -> list[Exchange]:
    """Return the exchanges of one capture, in the order in which they happened."""
    recorded = json.loads((FOLDER / f"{client}.json").read_text())["exchanges"]
    names = ("method", "path", "body", "status", "response")
    return [
        Exchange(client, number, *(exchange[name] for name in names))
        for number, exchange in enumerate(recorded)
    ]


def everything() -> list[Exchange]:
    """Return the exchanges of all captures."""
    return [exchange for client in CLIENTS for exchange in exchanges(client)]
