"""Where the collector stores its data: the interface of a database, SQLite and PostgreSQL."""

from __future__ import annotations

from remit.collector.store.base import ConflictError as ConflictError
from remit.collector.store.base import Reader as Reader
from remit.collector.store.base import Store as Store
from remit.collector.store.base import StoreUnavailableError as StoreUnavailableError
from remit.collector.store.base import TooSlowError as TooSlowError
from remit.collector.store.base import write as write
from remit.collector.store.filters import Listed as Listed
from remit.collector.store.filters import Page as Page
from remit.collector.store.filters import Removed as Removed
from remit.collector.store.filters import SpanFilter as SpanFilter
from remit.collector.store.filters import SpanKind as SpanKind
from remit.collector.store.open import is_postgres as is_postgres
from remit.collector.store.open import open_reader as open_reader
from remit.collector.store.open import open_store as open_store
from remit.collector.store.open import shown as shown
from remit.collector.store.rows import BAD_PAYLOAD as BAD_PAYLOAD
from remit.collector.store.rows import BAD_RESULT as BAD_RESULT
from remit.collector.store.rows import FOUND as FOUND
from remit.collector.store.rows import MARKED as MARKED
from remit.collector.store.rows import SENSITIVE as SENSITIVE
from remit.collector.store.rows import UNCHECKED_PAYLOAD as UNCHECKED_PAYLOAD
from remit.collector.store.rows import UNCHECKED_RESULT as UNCHECKED_RESULT
from remit.collector.store.rows import UNDECLARED as UNDECLARED
from remit.collector.store.rows import AccountRow as AccountRow
from remit.collector.store.rows import AgentRow as AgentRow
from remit.collector.store.rows import DeploymentRow as DeploymentRow
from remit.collector.store.rows import EnvironmentRow as EnvironmentRow
from remit.collector.store.rows import ErasureRow as ErasureRow
from remit.collector.store.rows import InstanceRow as InstanceRow
from remit.collector.store.rows import KeyRow as KeyRow
from remit.collector.store.rows import SchemaVersionRow as SchemaVersionRow
from remit.collector.store.rows import SpanRow as SpanRow
from remit.collector.store.rows import SubjectRow as SubjectRow
from remit.collector.store.rows import TokenRow as TokenRow
from remit.collector.store.rows import VersionRow as VersionRow
from remit.collector.store.rows import content_hash as content_hash
from remit.collector.store.sqlite import SqliteReader as SqliteReader
from remit.collector.store.sqlite import SqliteStore as SqliteStore
from remit.collector.store.transaction import Transaction as Transaction
