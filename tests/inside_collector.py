"""The private parts of the collector that tests use, in one place; see `tests.inside`."""

from __future__ import annotations

from pathlib import Path

from remit._base.clock import NS_PER_US as NS_PER_US
from remit._base.clock import Clock
from remit._base.costs import Cost as Cost
from remit._base.files import make_private_file as make_private_file
from remit._base.ids import hash_of_on_behalf_of as hash_of_on_behalf_of
from remit._base.ids import hash_of_subject as hash_of_subject
from remit._base.ids import pfid as pfid
from remit._base.sqlite import COLLECTOR as COLLECTOR
from remit.collector.api.asgi import ThreadExecutor as ThreadExecutor
from remit.collector.api.bodies import unzip as unzip
from remit.collector.api.endpoints import BULK as BULK
from remit.collector.api.endpoints import DOCUMENT as DOCUMENT
from remit.collector.api.endpoints import ENDPOINTS as ENDPOINTS
from remit.collector.api.endpoints import OPERATIONS as OPERATIONS
from remit.collector.api.endpoints import PREFIX as PREFIX
from remit.collector.api.endpoints import Endpoint as Endpoint
from remit.collector.api.openapi import document as document
from remit.collector.domain.context import IdSource as IdSource
from remit.collector.domain.declared import Declaration as Declaration
from remit.collector.domain.declared import declaration_of as declaration_of
from remit.collector.domain.erasure import AskedFor as AskedFor
from remit.collector.domain.erasure import Erased as Erased
from remit.collector.domain.erasure import erase as erase
from remit.collector.domain.erasure import runs_of_person as runs_of_person
from remit.collector.domain.first_exchange import answer_in as answer_in
from remit.collector.domain.first_exchange import question_in as question_in
from remit.collector.domain.risk import PAGE_SPANS as PAGE_SPANS
from remit.collector.domain.spans import span_to_create as span_to_create
from remit.collector.domain.spans import span_to_finish as span_to_finish
from remit.collector.domain.tokens import revoke_token as revoke_token
from remit.collector.errors import RequestError as RequestError
from remit.collector.json_io import JsonText as JsonText
from remit.collector.json_io import object_of as object_of
from remit.collector.model_usage import MOST_MODELS as MOST_MODELS
from remit.collector.model_usage import OTHER as OTHER
from remit.collector.model_usage import ModelUsage as ModelUsage
from remit.collector.page.account.sessions import Sessions as Sessions
from remit.collector.page.account.sessions import create_code as create_code
from remit.collector.page.agents.rehearsal import asked as asked
from remit.collector.page.agents.rehearsal import denials as denials
from remit.collector.page.agents.rehearsal import exits as exits
from remit.collector.page.agents.widening import Group as Group
from remit.collector.page.agents.widening import changes as changes
from remit.collector.page.agents.widening import new_exits as new_exits
from remit.collector.page.help_page import KEYS as KEYS
from remit.collector.page.help_page import RULES as RULES
from remit.collector.page.help_page import why as why
from remit.collector.page.payload_tree import MOST_NODES as MOST_NODES
from remit.collector.page.payload_tree import Node as Node
from remit.collector.page.payload_tree import tree_of as tree_of
from remit.collector.page.run.conversation import Conversation as Conversation
from remit.collector.page.run.conversation import conversation as conversation
from remit.collector.page.run.html_file import html_of_run as html_of_run
from remit.collector.page.run.spans import ListedSpan as ListedSpan
from remit.collector.page.runs.sequences import aligned as aligned
from remit.collector.page.runs.sequences import rows_of as rows_of
from remit.collector.page.runs.sequences import sequence_of as sequence_of
from remit.collector.page.runs.sequences import without_the_same as without_the_same
from remit.collector.page.screens import SCREENS as SCREENS
from remit.collector.page.shell import static_files as static_files
from remit.collector.page.shell import static_version as static_version
from remit.collector.page.sides import reason_of as reason_of
from remit.collector.page.sides import summary_of as summary_of
from remit.collector.prices import Price as Price
from remit.collector.prices import Prices as Prices
from remit.collector.prices import costs_of as costs_of
from remit.collector.prices import read_prices as read_prices
from remit.collector.server.access_log import AccessLog as AccessLog
from remit.collector.server.app import create_app as create_app
from remit.collector.server.maintenance import Maintenance as Maintenance
from remit.collector.server.serve import Server as Server
from remit.collector.server.serve import ServerOptions as ServerOptions
from remit.collector.server.serve import listen as listen
from remit.collector.store.base import ConflictError as ConflictError
from remit.collector.store.base import Store as Store
from remit.collector.store.base import StoreUnavailableError as StoreUnavailableError
from remit.collector.store.base import TooSlowError as TooSlowError
from remit.collector.store.counts import RUN_COUNTS as RUN_COUNTS
from remit.collector.store.counts import SPAN_COUNTS as SPAN_COUNTS
from remit.collector.store.counts import US_PER_HOUR as US_PER_HOUR
from remit.collector.store.filters import Page as Page
from remit.collector.store.filters import Removed as Removed
from remit.collector.store.filters import SpanFilter as SpanFilter
from remit.collector.store.ids import first_at as first_at
from remit.collector.store.ids import ms_of as ms_of
from remit.collector.store.ids import shard_of as shard_of
from remit.collector.store.ids import to_bytes as to_bytes
from remit.collector.store.ids import to_text as to_text
from remit.collector.store.open import distribute as distribute
from remit.collector.store.open import is_postgres as is_postgres
from remit.collector.store.open import open_readable as open_readable
from remit.collector.store.postgres import PostgresStore, Waits
from remit.collector.store.postgres_partitions import WEEK_MS as WEEK_MS
from remit.collector.store.postgres_rows import PostgresTransaction as PostgresTransaction
from remit.collector.store.questions.run_lists import RunCriteria as RunCriteria
from remit.collector.store.questions.run_lists import oldest_run as oldest_run
from remit.collector.store.questions.run_steps import steps_of as steps_of
from remit.collector.store.questions.run_types import TypeCounts as TypeCounts
from remit.collector.store.questions.run_types import run_types as run_types
from remit.collector.store.questions.scope import run_ref_of as run_ref_of
from remit.collector.store.questions.scope import scope_of as scope_of
from remit.collector.store.retention import forget as forget
from remit.collector.store.rows import STATUSES as STATUSES
from remit.collector.store.rows import AccountRow as AccountRow
from remit.collector.store.rows import EnvironmentRow as EnvironmentRow
from remit.collector.store.rows import RunWithAgent as RunWithAgent
from remit.collector.store.rows import TokenRow as TokenRow
from remit.collector.store.sqlite import BUSY_TIMEOUT_S
from remit.collector.store.sqlite import SqliteStore as SqliteStore
from remit.collector.store.sqlite_readers import READ_LIMIT_S
from remit.collector.store.sqlite_rows import SqliteTransaction as SqliteTransaction
from remit.collector.store.subjects import root_id as root_id
from remit.collector.store.transaction import Transaction as Transaction
from remit.collector.store.version import VERSION as VERSION
from remit.collector.store.version import Change as Change
from remit.collector.store.version import schema_changes as schema_changes
from remit.collector.store.version import statements as statements
from remit.collector.store.version import statements_of as statements_of
from remit.collector.times import format_us as format_us
from remit.collector.upgrade.database import upgrade as upgrade
from remit.collector.validation.budget import Budget as Budget
from remit.collector.validation.schemas import Checker as Checker
from remit.collector.validation.summaries import Template as Template

# Store


def sqlite_store(
    path: Path | str = ":memory:",
    *,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    read_limit_s: float = READ_LIMIT_S,
) -> Store:
    """Open an SQLite file, made if need be, with limits of a test's own."""
    return SqliteStore(path, busy_timeout_s=busy_timeout_s, read_limit_s=read_limit_s)


def postgres_store(
    url: str, *, clock: Clock | None = None, waits: dict[str, float] | None = None
) -> Store:
    """Open a PostgreSQL database, with a clock of a test's own and some of the `Waits`."""
    return PostgresStore(url, clock=clock, waits=Waits(**waits or {}))
