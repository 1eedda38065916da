"""Typed clients of the Prefactor API over HTTP: `Client`, and `AsyncClient`, its twin.

`endpoints` describes requests and reads responses, `_http` sends and decides what is retried.
`_library` chooses between httpx2 and httpx.
`_sync` is generated from `_async`: the two differ only in `await`.
"""

from __future__ import annotations

from remit.client._async import AsyncClient
from remit.client._sync import Client

__all__ = ["AsyncClient", "Client"]
