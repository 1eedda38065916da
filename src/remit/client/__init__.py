"""Typed clients of the Prefactor API over httpx: `Client`, and `AsyncClient`, its twin.

Every decision (what is sent, how an answer is read, what is tried again) is made once, in
`remit._endpoints` and `remit.client._retries`; the two differ only in `await`.
"""

from __future__ import annotations

from remit.client._async import AsyncClient
from remit.client._sync import Client

__all__ = ["AsyncClient", "Client"]
