"""Values that are recorded and hidden until a reader opens them.

Hidden are payload, result, summary and messages of a step whose declared classification is
*confidential* or higher, or that declares data of article 9 of the GDPR: `is_hidden` in
`domain/failures`. So is a question to a person about such a step. The message of another step is
hidden if the exception of such a step is in its chain or group, or may be: `HiddenErrors` there.

Every reader who sees the run may open them, for one request. *Show values* leads to a route below
`/runs/{id}/spans/{span}/values` in `screens`: the panel, a whole payload, the conversation. Its
handler gets `opened=True`. The access log, if the server keeps one, has the route and the path of
that request and the ids of token and session. Panels, copies, searches, lists and saved files have
no hidden values; the export of a run has all values, and its link says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

from remit.collector.domain.context import Context
from remit.collector.domain.failures import (
    MOST_FAILED,
    HiddenErrors,
    hidden_errors_of,
    shows_text,
)
from remit.collector.domain.findings import ANSWERED_SPAN, OF_PERSONS
from remit.collector.errors import RequestError
from remit.collector.json_io import read_json
from remit.collector.page.payload_tree import members
from remit.collector.store.filters import SpanFilter
from remit.collector.store.rows import RunRow, SpanRow
from remit.collector.validation.declarations import CompiledSpanType


class Hidden(NamedTuple):
    """What is hidden of a step.

    Attributes:
        values: Whether its payload, its result and its message are.
        errors: The exceptions of other steps whose messages are.
    """

    values: bool = False
    errors: HiddenErrors = HiddenErrors()

    def message(self, error: Mapping[str, object]) -> bool:
        """Return whether the message of an exception is hidden."""
        return self.values or self.errors.has(error)

    def part(self, part: str, error: Mapping[str, object]) -> bool:
        """Return whether a whole payload is hidden.

        Args:
            part: `payload` or `result`; the result of a step with an *error* has messages.
        """
        return self.values or (part == "result" and bool(error) and self.errors.any)


OPENED = Hidden()
"""What is hidden of a step whose values a reader has opened: nothing."""


def hidden_types(types: Mapping[str, CompiledSpanType]) -> frozenset[str]:
    """Return the names of the declared types whose values are hidden."""
    return frozenset(name for name, span_type in types.items() if not shows_text(span_type))


def hidden_of(row: SpanRow, failed: Sequence[SpanRow], types: Collection[str]) -> Hidden:
    """Return what is hidden of a step.

    Args:
        failed: The failed steps of its run, at most `MOST_FAILED`.
        types: The types of the run whose values are hidden.
    """
    values = row.schema_name in types or _quotes_hidden(row, types)
    return Hidden(values, hidden_errors_of(failed, types))


def _quotes_hidden(row: SpanRow, types: Collection[str]) -> bool:
    """Return whether a question to a person, or its answer, has or may have hidden values.

    A question about a step has the arguments of the step. Those of a framework may quote any step.
    """
    if not types or row.schema_name not in OF_PERSONS:
        return False
    payload = members(read_json(row.payload))
    if row.schema_name == ANSWERED_SPAN:
        return not isinstance(payload.get("decision"), str)
    step = payload.get("step")
    return step in types if isinstance(step, str) else True


def hides_errors(ctx: Context, run: RunRow, types: Collection[str]) -> bool:
    """Return whether a step of one of the hidden *types* failed."""
    if not types or not run.spans_failed:
        return False
    failed = SpanFilter(agent_instance_id=run.id, status="failed")
    return hidden_errors_of(ctx.tx.some_spans(failed, MOST_FAILED), types).any


def hidden_value() -> RequestError:
    """Return the rejection of a request for a hidden value."""
    message = (
        "this value is confidential, so it is hidden here. Open the page of its step to see it"
    )
    return RequestError(HTTPStatus.FORBIDDEN, "hidden", message)
