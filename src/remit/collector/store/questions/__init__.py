"""Questions about what is recorded: lists by keyset, the feed of changes, and numbers.

Statements are the same for both databases, except for shards, increments and the newest spans of
several types. None contains a text of a request.
"""

from __future__ import annotations

from remit.collector.store.questions.count_lists import CountCriteria as CountCriteria
from remit.collector.store.questions.count_lists import Counted as Counted
from remit.collector.store.questions.count_lists import StepCount as StepCount
from remit.collector.store.questions.count_lists import run_counts as run_counts
from remit.collector.store.questions.count_lists import span_counts as span_counts
from remit.collector.store.questions.count_lists import step_counts as step_counts
from remit.collector.store.questions.count_lists import withheld_counts as withheld_counts
from remit.collector.store.questions.durations import last_durations as last_durations
from remit.collector.store.questions.facts import DatabaseFacts as DatabaseFacts
from remit.collector.store.questions.facts import database_facts as database_facts
from remit.collector.store.questions.outlines import NamedType as NamedType
from remit.collector.store.questions.outlines import OutlineColumns as OutlineColumns
from remit.collector.store.questions.outlines import Searched as Searched
from remit.collector.store.questions.outlines import Usage as Usage
from remit.collector.store.questions.outlines import named_types as named_types
from remit.collector.store.questions.outlines import outline as outline
from remit.collector.store.questions.outlines import searched as searched
from remit.collector.store.questions.outlines import usages as usages
from remit.collector.store.questions.records import AgentRecord as AgentRecord
from remit.collector.store.questions.records import agents as agents
from remit.collector.store.questions.records import erasures as erasures
from remit.collector.store.questions.run_lists import MEASURES as MEASURES
from remit.collector.store.questions.run_lists import MOST_RANKED as MOST_RANKED
from remit.collector.store.questions.run_lists import Beside as Beside
from remit.collector.store.questions.run_lists import Cursor as Cursor
from remit.collector.store.questions.run_lists import Ranking as Ranking
from remit.collector.store.questions.run_lists import RunCriteria as RunCriteria
from remit.collector.store.questions.run_lists import changed_runs as changed_runs
from remit.collector.store.questions.run_lists import count_runs as count_runs
from remit.collector.store.questions.run_lists import newest_change as newest_change
from remit.collector.store.questions.run_lists import oldest_run as oldest_run
from remit.collector.store.questions.run_lists import ranked_runs as ranked_runs
from remit.collector.store.questions.run_lists import run_of as run_of
from remit.collector.store.questions.run_lists import runs as runs
from remit.collector.store.questions.run_lists import runs_beside as runs_beside
from remit.collector.store.questions.run_lists import subjects_from as subjects_from
from remit.collector.store.questions.run_steps import StepRecord as StepRecord
from remit.collector.store.questions.run_steps import steps_of as steps_of
from remit.collector.store.questions.run_types import TypeCounts as TypeCounts
from remit.collector.store.questions.run_types import run_types as run_types
from remit.collector.store.questions.scope import FAILED as FAILED
from remit.collector.store.questions.scope import FLAGS as FLAGS
from remit.collector.store.questions.scope import RunRef as RunRef
from remit.collector.store.questions.scope import Scope as Scope
from remit.collector.store.questions.scope import run_ref_of as run_ref_of
from remit.collector.store.questions.scope import scope_of as scope_of
from remit.collector.store.questions.span_lists import Position as Position
from remit.collector.store.questions.span_lists import SpanCriteria as SpanCriteria
from remit.collector.store.questions.span_lists import SpanRecord as SpanRecord
from remit.collector.store.questions.span_lists import spans as spans
from remit.collector.store.questions.versions import ListedAgent as ListedAgent
from remit.collector.store.questions.versions import RuleCount as RuleCount
from remit.collector.store.questions.versions import TokenSums as TokenSums
from remit.collector.store.questions.versions import VersionUse as VersionUse
from remit.collector.store.questions.versions import agents_of as agents_of
from remit.collector.store.questions.versions import last_runs as last_runs
from remit.collector.store.questions.versions import newest_declarations as newest_declarations
from remit.collector.store.questions.versions import rules_by_type as rules_by_type
from remit.collector.store.questions.versions import tokens_of as tokens_of
from remit.collector.store.questions.versions import version_uses as version_uses
