"""The scripts of the golden answers by the names of their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from tests.golden import bulk, reads, rejections, repeats, resources, runs
from tests.golden.recorder import Call
from tests.golden.rows import OF_A_DEPLOYMENT, READS, ROWS, THINGS, as_column

Script: TypeAlias = tuple[Sequence[Call], Sequence[Call]]
"""The calls before, of which the answers are not recorded, and those recorded."""

FULL: Final[dict[str, Script]] = {
    "every_endpoint": ([], [*THINGS, *as_column(ROWS, "account")]),
    "every_endpoint_by_a_deployment": (THINGS, as_column(OF_A_DEPLOYMENT, "<secret 2>")),
    "every_read_by_another_account": (THINGS, as_column(READS, "other")),
    "another_account": ([], resources.SEEN_BY_OTHERS),
    "runs": ([], runs.RUNS),
    "registrations": ([], runs.REGISTRATIONS),
    "spans": ([], runs.SPANS),
    "qualities": ([], runs.QUALITIES),
    "summaries": ([], runs.SUMMARIES),
    "summaries_with_loops": ([], runs.SUMMARIES_WITH_LOOPS),
    "risk": ([], runs.RISKS),
    "causes": ([], runs.CAUSES),
    "agents": ([], resources.AGENTS),
    "places": ([], resources.PLACES),
    "versions": ([], resources.VERSIONS),
    "tokens": ([], resources.TOKENS),
    "ids_and_people": ([], resources.IDS_AND_PEOPLE),
    "lists": (reads.BEFORE_LISTS, reads.LISTS),
    "lists_of_a_deployment": ([], reads.RESTRICTED_LISTS),
    "http": ([], reads.HTTP),
    "heads": ([], reads.HEADS),
    "limits": ([], reads.LIMITS),
    "keys": ([], repeats.KEYS),
    **{
        f"{name}_repeated_at_once": ([], repeats.repeated(name, changed=False))
        for name in repeats.GROUPS
    },
    **{
        f"{name}_repeated_after_a_change": ([], repeats.repeated(name, changed=True))
        for name in repeats.GROUPS
    },
    "bulk_repeated_after_a_change": ([], repeats.BULK),
    "bulk": ([], bulk.MIXED),
    "bulk_with_details": (bulk.BEFORE, bulk.WRAPPED),
    "bulk_without_details": (bulk.BEFORE, bulk.FLAT),
}
"""Scripts of which the answers are recorded whole."""
LIMITED: Final = frozenset({"limits"})
"""Those of them that run with low limits."""
BRIEF: Final[dict[str, Script]] = {
    "steps_of_runs": ([], runs.STEPS_OF_RUNS),
    "steps_of_spans": ([], runs.STEPS_OF_SPANS),
    "lists_refused": (reads.BEFORE_LISTS, reads.REFUSED_LISTS),
    "paths_and_methods": ([], reads.PATHS_AND_METHODS),
    "bodies": (reads.BEFORE_BODIES, reads.BODIES),
    "fields": (rejections.BEFORE, rejections.FIELDS),
    "fields_together": (rejections.BEFORE, rejections.SEVERAL),
    "bulk_without_fields": ([], bulk.MISSING),
}
"""Scripts of which one line an answer is recorded."""
