"""The collector: a server of the API over a database of one's own."""

from __future__ import annotations

from remit.collector.domain.context import Permission as Permission
from remit.collector.domain.tokens import CreatedToken as CreatedToken
from remit.collector.domain.tokens import TokenInfo as TokenInfo
from remit.collector.domain.tokens import TokenScope as TokenScope
from remit.collector.domain.tokens import create_token as create_token
from remit.collector.domain.tokens import list_tokens as list_tokens
from remit.collector.domain.tokens import revoke_token as revoke_token
from remit.collector.settings import Settings as Settings
from remit.collector.store.base import Store as Store
from remit.collector.store.open import open_store as open_store

__all__ = [
    "CreatedToken",
    "Permission",
    "Settings",
    "Store",
    "TokenInfo",
    "TokenScope",
    "create_token",
    "list_tokens",
    "open_store",
    "revoke_token",
]
