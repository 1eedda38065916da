"""The outline of a run, from which a browser draws its tree; search; changes.

An outline is sent in slices in the order of the ids, as columns: the server remembers nothing
between two slices. Ids are the hexadecimal digits of their stored form, which cost nothing to make;
the script of the page writes the few that it needs as the API does.
"""

from __future__ import annotations

import re
import time
from typing import Final

import msgspec

from remit._base.ids import is_pfid
from remit._base.step_names import NAMED_TYPES, StepName, model_in, step_name_in
from remit.collector.domain.context import Context
from remit.collector.domain.findings import ASKED_SPAN, OF_PERSONS
from remit.collector.domain.waiting import waits
from remit.collector.errors import invalid_field
from remit.collector.page.formats import step, visible
from remit.collector.page.hiding import hidden_types, hides_errors
from remit.collector.page.run.facts import RunRows, questions_in
from remit.collector.page.scope import run_in
from remit.collector.page.visits import CHANGES, Data, Visit
from remit.collector.store.ids import to_bytes, to_text
from remit.collector.store.questions import outlines, run_lists
from remit.collector.store.questions.holds import held_steps
from remit.collector.store.questions.scope import RunRef
from remit.collector.store.rows import FOUND, STATUSES, RunRow
from remit.collector.store.subjects import ROOT_SPAN
from remit.collector.validation.declarations import Declared

FIRST: Final = 500
"""Steps of the first slice, which is to be drawn soon."""
SLICE: Final = 5_000
MOST_CALLS: Final = 500
"""Model calls of a slice whose tokens are read; with more, none are read."""
MOST_HITS: Final = 1_000
FIND_S: Final = 0.2
"""How long one request searches."""
_FIND_STEPS: Final = 1_000
_MOST_CHARS: Final = 200
_LABEL_CHARS: Final = 60
_NONE: Final = -1
_MOST_DIGITS: Final = 17
_TOKENS: Final = re.compile(r'"(?:prompt|completion)_tokens":([0-9]{1,15})[,}]')


def outline(visit: Visit) -> Data:
    """Return the next slice of a run, or of the steps that were written since a time."""
    after = _after(visit)
    changed = visit.query.get("changed")
    if changed is not None and not (changed.isdecimal() and len(changed) <= _MOST_DIGITS):
        raise invalid_field("changed", "must be a time in microseconds since 1970")
    since_us = None if changed is None else int(changed)
    run_id = visit.named["id"]

    def work(ctx: Context) -> dict[str, object]:
        cursor = None if after else run_lists.newest_change(ctx.tx, ctx.tx.end_of_changes())
        row, run = run_in(ctx, run_id)
        limit = SLICE if after or since_us is not None else FIRST
        spans = outlines.outline(ctx.tx, run, after=after, since_us=since_us, limit=limit + 1)
        has_more = len(spans.ids) > limit
        if has_more:
            spans = outlines.OutlineColumns._make(column[:limit] for column in spans)
        slice_ = _Slice(ctx, row, run, spans)
        held = held_steps(ctx.tx, [row.id]).get(row.id, ()) if row.denied else ()
        return {
            "now": visit.now_us,
            "cursor": None if cursor is None else f"{cursor.seq}-{cursor.run_ref}",
            "run": _facts(row),
            "questions": _questions(RunRows(ctx, run_id)),
            "held": sorted(to_bytes(step).hex() for step in held),
            **slice_.columns(),
            "next": to_text(spans.ids[-1]) if has_more else None,
        }

    return Data(msgspec.json.encode(visit.api.read(work)))


def find(visit: Visit) -> Data:
    """Return steps of a run whose name, payload or result has a text.

    Hidden values are not searched: a reader has to open them, which the access log records.
    If a step with hidden values failed, the results of failed steps are not searched either: its
    message passes through the steps around it.
    """
    text = visit.query.get("q", "").strip()
    if not 0 < len(text) <= _MOST_CHARS:
        raise invalid_field("q", f"must be a string of 1 to {_MOST_CHARS} characters")
    after, run_id = _after(visit), visit.named["id"]

    def work(ctx: Context) -> dict[str, object]:
        row, run = run_in(ctx, run_id)
        names = _Names(ctx, row)
        errors = not hides_errors(ctx, row, names.hidden)
        written = msgspec.json.encode(text).decode()[1:-1]
        hits: list[str] = []
        last: bytes | None = after
        until = time.monotonic() + FIND_S
        while last is not None:
            page = outlines.searched(
                ctx.tx, run, written, after=last, limit=_FIND_STEPS, errors=errors
            )
            names.read({match.type_ref for match in page})
            hits += [
                match.id.hex()
                for match in page
                if text.lower() in names.shown[match.type_ref].lower()
                or (match.has_text and names.is_shown(match.type_ref))
            ]
            last = page[-1].id if len(page) == _FIND_STEPS else None
            if len(hits) >= MOST_HITS or time.monotonic() > until:
                break
        hidden = sorted({names.shown[ref] for ref in names.shown if not names.is_shown(ref)})
        return {
            "ids": hits[:MOST_HITS],
            "hidden": hidden,
            "next": None if last is None else to_text(last),
        }

    return Data(msgspec.json.encode(visit.api.read(work)))


def live(visit: Visit) -> Data:
    """Return the changes after a cursor: 204, or the state of the runs and the next cursor."""
    since = visit.query.get("since")
    response = visit.api.get(CHANGES, run_id=visit.query.get("run"), after=since)
    if since and not response["runs"]:
        return Data(None)
    runs = [{"id": run["id"], "status": run["status"]} for run in response["runs"]]
    return Data(msgspec.json.encode({"cursor": response["cursor"], "runs": runs}))


class _Names:
    """The names of the types of a run, and their declarations."""

    def __init__(self, ctx: Context, row: RunRow) -> None:
        self._ctx = ctx
        self.declared: Declared = ctx.declarations.of(ctx.tx, row.agent_schema_version_id)
        self.hidden = hidden_types(self.declared.types)
        self._names: dict[int, str] = {}
        self.shown: dict[int, str] = {}

    def read(self, refs: set[int]) -> None:
        """Read the names that are not known yet."""
        for named in outlines.named_types(self._ctx.tx, sorted(refs - self._names.keys())):
            self._names[named.ref] = named.name
            self.shown[named.ref] = visible(step(named.name))

    def is_model_call(self, ref: int) -> bool:
        """Return whether steps of a type are calls of a model."""
        declared = self.declared.types.get(self._names[ref])
        return declared is not None and declared.is_model_call

    def kind(self, ref: int) -> str:
        """Return what steps of a type are: `root`, `asked` (a person), a model `call`, a `step`."""
        if self._names[ref] == ROOT_SPAN:
            return "root"
        if self._names[ref] == ASKED_SPAN:
            return "asked"
        return "call" if self.is_model_call(ref) else "step"

    def may_have_names(self, ref: int) -> bool:
        """Return whether payloads of steps of a type may have a name that may be listed."""
        named = self._names[ref] in NAMED_TYPES or self.is_model_call(ref)
        return named and self.is_shown(ref)

    def name(self, ref: int, head: str) -> StepName | None:
        """Return the name of a step from the beginning of its payload."""
        return step_name_in(self._names[ref], head)

    def is_shown(self, ref: int) -> bool:
        """Return whether texts of steps of a type may be listed."""
        name = self._names[ref]
        # A question has the arguments of a step, which may be a hidden one.
        return name not in self.hidden and not (self.hidden and name in OF_PERSONS)


class _Slice:
    """Some steps of a run, as columns."""

    def __init__(
        self,
        ctx: Context,
        row: RunRow,
        run: RunRef,
        spans: outlines.OutlineColumns,
    ) -> None:
        self._spans = spans
        self._names = _Names(ctx, row)
        refs = set(spans.type_refs)
        self._names.read(refs)
        self._of_models = {ref for ref in refs if self._names.is_model_call(ref)}
        calls = [
            span_id
            for span_id, ref in zip(spans.ids, spans.type_refs, strict=True)
            if ref in self._of_models
        ]
        few = calls if len(calls) <= MOST_CALLS else []
        self._usages = {usage.id: usage.usage for usage in outlines.usages(ctx.tx, run, few)}
        named = {ref for ref in refs if self._names.may_have_names(ref)}
        ids = [
            span_id for span_id, ref in zip(spans.ids, spans.type_refs, strict=True) if ref in named
        ]
        self._heads = outlines.heads(ctx.tx, [(run, ids)])

    def columns(self) -> dict[str, object]:
        """Return the columns; times are differences in microseconds."""
        spans, names = self._spans, self._names
        refs = sorted(names.shown)
        places = {ref: place for place, ref in enumerate(refs)}
        parents, outside = self._parents()
        return {
            "ids": b"".join(spans.ids).hex(),
            "parents": parents,
            "outside": outside,
            "types": [[names.shown[ref], names.kind(ref)] for ref in refs],
            "type": [places[ref] for ref in spans.type_refs],
            "status": "".join(map(str, spans.statuses)),
            "flags": [flags & FOUND for flags in spans.flags],
            "start": self._starts(),
            "took": [
                None if started is None or finished is None else finished - started
                for started, finished in zip(spans.started, spans.finished, strict=True)
            ],
            "names": self._step_names(),
            "labels": self._labels(),
            "calls": self._calls(),
        }

    def _parents(self) -> tuple[list[int], list[str]]:
        """Return the places of the parents in the slice, and the ids of parents outside it.

        The first of the latter is -2, the next -3; -1 means no parent.
        """
        places: dict[bytes | None, int] = {
            span_id: place for place, span_id in enumerate(self._spans.ids)
        }
        places[None] = _NONE
        outside: list[str] = []
        for parent_id in self._spans.parent_ids:
            if parent_id is not None and parent_id not in places:
                outside.append(parent_id.hex())
                places[parent_id] = _NONE - len(outside)
        return [places[parent_id] for parent_id in self._spans.parent_ids], outside

    def _starts(self) -> list[int | None]:
        """Return when each began: the time since the one before it that began, the first in all."""
        starts: list[int | None] = []
        before = 0
        for started in self._spans.started:
            if started is None:
                starts.append(None)
            else:
                starts.append(started - before)
                before = started
        return starts

    def _labels(self) -> dict[str, str]:
        """Return summaries by place, of types whose texts may be listed."""
        spans = self._spans
        return {
            str(place): visible(summary.partition("\n")[0][:_LABEL_CHARS])
            for place, summary in enumerate(spans.summaries)
            if summary and self._names.is_shown(spans.type_refs[place])
        }

    def _step_names(self) -> dict[str, list[str]]:
        """Return by place the names that integrations gave steps, and the words about them."""
        found: dict[str, list[str]] = {}
        for place, (span_id, ref) in enumerate(
            zip(self._spans.ids, self._spans.type_refs, strict=True)
        ):
            is_call = ref in self._of_models
            name = None if is_call else self._names.name(ref, self._heads.get(span_id, ""))
            if name is not None:
                found[str(place)] = [visible(name.text), visible(name.word)]
        return found

    def _calls(self) -> dict[str, list[object]]:
        """Return model and tokens of model calls by place; None if not recorded."""
        calls: dict[str, list[object]] = {}
        for place, (span_id, ref) in enumerate(
            zip(self._spans.ids, self._spans.type_refs, strict=True)
        ):
            if ref in self._of_models:
                model = model_in(self._heads.get(span_id, ""))
                tokens = [
                    int(number) for number in _TOKENS.findall(self._usages.get(span_id) or "")
                ]
                calls[str(place)] = [visible(model) or None, sum(tokens) if tokens else None]
        return calls


def _questions(rows: RunRows) -> list[list[str | None]]:
    """Return the questions of a run: span, span of the answer, subject, status, shape."""
    return [
        [
            to_bytes(each.span_id).hex(),
            None if each.answer is None else to_bytes(each.answer.span_id).hex(),
            visible(each.subject[:_LABEL_CHARS]),
            visible(each.status[:_LABEL_CHARS]),
            each.shape,
        ]
        for each in questions_in(rows)
    ]


def _facts(row: RunRow) -> dict[str, object]:
    return {
        "status": row.status,
        "waits": waits(row),
        "start": row.started_at,
        "end": row.finished_at,
        "seen": row.updated_at,
        "spans": sum(getattr(row, f"spans_{status}") for status in STATUSES),
    }


def _after(visit: Visit) -> bytes:
    """Return the id after which the response begins."""
    text = visit.query.get("after", "")
    if text and not is_pfid(text):
        raise invalid_field("after", "must be the `next` of a response")
    return to_bytes(text) if text else b""
