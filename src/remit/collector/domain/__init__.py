"""The rules of the collector, without HTTP and without SQL."""

from __future__ import annotations

from remit.collector.domain.context import Caller as Caller
from remit.collector.domain.context import Context as Context
from remit.collector.domain.context import IdSource as IdSource
from remit.collector.domain.context import Permission as Permission
from remit.collector.domain.context import Permissions as Permissions
from remit.collector.domain.erasure import AskedFor as AskedFor
from remit.collector.domain.erasure import Erased as Erased
from remit.collector.domain.erasure import erase as erase
from remit.collector.domain.erasure import runs_about as runs_about
from remit.collector.domain.failures import is_closed as is_closed
from remit.collector.domain.failures import is_open as is_open
from remit.collector.domain.params import instance_of as instance_of
from remit.collector.domain.places import prepare as prepare
from remit.collector.domain.tokens import CreatedToken as CreatedToken
from remit.collector.domain.tokens import TokenInfo as TokenInfo
from remit.collector.domain.tokens import TokenScope as TokenScope
from remit.collector.domain.tokens import caller_of as caller_of
from remit.collector.domain.tokens import create_token as create_token
from remit.collector.domain.tokens import hash_of as hash_of
from remit.collector.domain.tokens import holder_of as holder_of
from remit.collector.domain.tokens import list_tokens as list_tokens
from remit.collector.domain.tokens import revoke_token as revoke_token
