"""The rules of the collector, without HTTP and without SQL."""

from __future__ import annotations

from remit.collector.ingest.context import Caller as Caller
from remit.collector.ingest.erasure import AskedFor as AskedFor
from remit.collector.ingest.erasure import Erased as Erased
from remit.collector.ingest.erasure import erase as erase
from remit.collector.ingest.erasure import runs_about as runs_about
from remit.collector.ingest.places import prepare as prepare
from remit.collector.ingest.tokens import CreatedToken as CreatedToken
from remit.collector.ingest.tokens import TokenInfo as TokenInfo
from remit.collector.ingest.tokens import TokenScope as TokenScope
from remit.collector.ingest.tokens import caller_of as caller_of
from remit.collector.ingest.tokens import create_token as create_token
from remit.collector.ingest.tokens import list_tokens as list_tokens
from remit.collector.ingest.tokens import revoke_token as revoke_token
