"""The versions of an agent, and the differences of two declarations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from remit.collector.domain.context import Context
from remit.collector.errors import not_found
from remit.collector.json_io import read_json
from remit.collector.page.agents.subjects import (
    MOST_RUNS,
    Subject,
    Version,
    read_declaration,
    subject_of,
    version_in,
)
from remit.collector.page.agents.widening import (
    Change,
    Group,
    Kind,
    changes,
    new_exits,
)
from remit.collector.page.declared import short_names
from remit.collector.page.visits import Data, Html, Response, Visit
from remit.collector.store.rows import SchemaVersionRow
from remit.collector.times import format_us


def compare(visit: Visit, subject: Subject) -> Html:
    """Show the versions of an agent, and compare two of them."""
    older, newer = _chosen(visit, subject)
    listed: list[Change] = []
    ways: dict[str, list[str]] = {}
    names = {step.name for step in subject.declared.all}
    if older is not None and newer is not None:
        old = read_declaration(visit, subject.agent, older)
        new = read_declaration(visit, subject.agent, newer)
        listed, ways = changes(old, new), new_exits(old, new)
        names = {step.name for step in (*old.all, *new.all)}
    return Html(
        "agent_versions.html",
        {
            "versions": [(version, format_us(version.since_us)) for version in subject.versions],
            "older": older,
            "newer": newer,
            "labels": _labels(older, newer),
            "changes": listed,
            "groups": [
                (group, [change for change in listed if change.group is group]) for group in Group
            ],
            "widened": _widened(listed),
            "first_declared": _first_declared(listed),
            "ways": ways,
            "short": short_names(names),
            "most": MOST_RUNS,
            "counted": sum(version.use.runs for version in subject.versions),
        },
    )


def both(visit: Visit) -> Response:
    """Return the declarations of two versions as JSON."""
    subject = subject_of(visit)
    older, newer = _chosen(visit, subject)
    if older is None or newer is None:
        raise not_found("agent_schema_version")

    def read(ctx: Context) -> list[object]:
        return [_content(ctx, older), _content(ctx, newer)]

    body = msgspec.json.format(msgspec.json.encode(visit.api.read(read)), indent=2)
    return Data(body, filename="versions.json")


def _content(ctx: Context, version: Version) -> dict[str, Any]:
    row = ctx.tx.row(SchemaVersionRow, ctx.caller.account_id, version.use.schema_version_id)
    if row is None:
        raise not_found("agent_schema_version")
    return {
        "version": version.label,
        "schema_version_id": row.id,
        "external_identifier": row.external_identifier,
        "span_type_schemas": read_json(row.span_type_schemas),
        "quality_schemas": read_json(row.quality_schemas),
    }


def _chosen(visit: Visit, subject: Subject) -> tuple[Version | None, Version | None]:
    """Return the versions that the address compares.

    By default, the one that was used last is compared with the one that was used before it, if
    there is one that is not newer.
    """
    older = version_in(visit, subject.versions, "a")
    newer = version_in(visit, subject.versions, "b") or next(iter(subject.versions), None)
    if older is not None or newer is None:
        return older, newer
    others = [version for version in subject.versions if version.use != newer.use]
    earlier = [version for version in others if version.since_us <= newer.since_us]
    return next(iter(earlier or others), None), newer


def _labels(older: Version | None, newer: Version | None) -> tuple[str, str]:
    """Return the names of the compared versions; other schemas of one version say so."""
    if older is None or newer is None:
        return "", ""
    if older.label != newer.label:
        return older.label, newer.label
    words = ("before", "later") if older.since_us <= newer.since_us else ("later", "before")
    return f"{older.label} {words[0]}", f"{newer.label} {words[1]}"


def _first_declared(listed: Sequence[Change]) -> int:
    """Return how many steps are declared for the first time."""
    return len({change.step for change in listed if change.group is Group.DECLARES})


def _widened(listed: Sequence[Change]) -> list[str]:
    """Return in words which declarations widen."""
    kinds = Counter(change.kind for change in listed if change.group is Group.WIDENS)
    texts = {
        Kind.STEP: ("new step", "new steps"),
        Kind.WORD: ("less strict declaration", "less strict declarations"),
        Kind.CLASS: ("changed class", "changed classes"),
    }
    return [f"{kinds[kind]} {text[kinds[kind] > 1]}" for kind, text in texts.items() if kinds[kind]]
