"""The Liquid library, with what it has no limits for taken away or bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import thread_time
from typing import Any, Final, TextIO

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags import (
    assign_tag,
    capture_tag,
    case_tag,
    comment_tag,
    echo_tag,
    for_tag,
    if_tag,
    inline_comment_tag,
    unless_tag,
)
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.stringify import to_liquid_string

from remit.collector.meaning.filters import FILTERS, Meter, TooMuchError, size_of

ALLOWANCE: Final = 20_000
"""Steps of one render; so many take 10 to 40 ms."""
MAX_RENDER_S: Final = 0.05
MAX_SUMMARY_BYTES: Final = 64 * 1024
MAX_RANGE: Final = 1000
MAX_DIGITS: Final = 20
_CHARS_A_STEP: Final = 256
_TAGS: Final = (
    content.Literal,
    illegal.Illegal,
    if_tag.IfTag,
    unless_tag.UnlessTag,
    case_tag.CaseTag,
    for_tag.ForTag,
    for_tag.BreakTag,
    for_tag.ContinueTag,
    assign_tag.AssignTag,
    capture_tag.CaptureTag,
    comment_tag.CommentTag,
    inline_comment_tag.InlineCommentTag,
)
# What may go wrong in a template or in the library: a summary is not worth a failed answer.
_FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LiquidError,
    LookupError,
    MemoryError,
    RecursionError,
    TooMuchError,
    TypeError,
    ValueError,
)


class _Context(RenderContext):
    """What a template can name, and how much it may still do."""

    __slots__ = ("meter", "words")

    def __init__(self, template: BoundTemplate, **more: Any) -> None:  # noqa: ANN401 - as the library has it
        super().__init__(template, **more)
        self.words = 1
        self.meter = Meter(ALLOWANCE, thread_time() + MAX_RENDER_S, thread_time)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Take what a loop of *length* rounds may do, before the first of them."""
        self.meter.spend(length * self.words)

    def get(self, path: list[object], **more: Any) -> object:  # noqa: ANN401 - as above
        """Look something up; what is done with it is paid here, by its size."""
        found = super().get(path, **more)
        self.meter.spend(1 + size_of(found) // _CHARS_A_STEP)
        return found


class _Template(BoundTemplate):
    context_class = _Context


class _Output(output.OutputNode):
    """Writes a value; objects and arrays as nothing."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        if isinstance(value, dict | list | tuple | range):
            return 0
        return buffer.write(to_liquid_string(value, autoescape=False))


class _OutputTag(output.Output):
    node_class = _Output


class _EchoTag(echo_tag.EchoTag):
    node_class = _Output  # type: ignore[assignment]  # the library's own is the same as the other


class _Near(Expression):
    """The end of a range, never far from its start."""

    __slots__ = ("start", "stop")

    def __init__(self, start: Expression, stop: Expression) -> None:
        super().__init__(stop.token)
        self.start, self.stop = start, stop

    def evaluate(self, context: RenderContext) -> object:
        start, stop = _whole(self.start.evaluate(context)), _whole(self.stop.evaluate(context))
        if stop - start > MAX_RANGE:
            raise TooMuchError
        return stop

    def children(self) -> list[Expression]:
        return [self.start, self.stop]


class _Environment(Environment):
    template_class = _Template
    output_stream_limit = MAX_SUMMARY_BYTES
    context_depth_limit = 30

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Know these and no others; another one is not valid Liquid here."""
        del extra
        for tag in (*_TAGS, _OutputTag, _EchoTag):
            self.add_tag(tag)
        for name, call in FILTERS.items():
            self.add_filter(name, _metered(call))


def _metered(call: Callable[..., object]) -> Callable[..., object]:
    def apply(left: object, *args: object, context: _Context, **named: object) -> object:
        return call(context.meter, left, *args, **named)

    apply.with_context = True  # type: ignore[attr-defined]  # how the library asks for it
    return apply


def parsed(source: str, words: int) -> Callable[[Mapping[str, object], int], str | None] | None:
    """Return what renders the template *source*; None if it is not valid.

    Args:
        source: The template.
        words: How many words it has, which bounds what one round of a loop does.
    """
    if not _closed(source, "{{", "}}") or not _closed(source, "{%", "%}"):
        return None
    try:
        template = _ENVIRONMENT.from_string(source)
        for node in template.nodes:
            _bound(node, RenderContext(template))
    except _FAULTS:
        return None

    def render(values: Mapping[str, object], chars: int) -> str | None:
        context = _Context(template, globals=values)
        context.words = words + chars // (64 * _CHARS_A_STEP)
        buffer = context.get_buffer()
        try:
            template.render_with_context(context, buffer)
        except _FAULTS:
            return None
        return buffer.getvalue()

    return render


def _closed(source: str, opening: str, closing: str) -> bool:
    """Return whether each *opening* has a *closing* after it; for each the lexer looks so far."""
    last = source.rfind(opening)
    return last < 0 or source.find(closing, last + 2) >= 0


def _bound(node: Node, context: RenderContext) -> None:
    """Bound the ranges in *node*."""
    _bound_all(node.expressions())
    for each in node.children(context):
        _bound(each, context)


def _bound_all(expressions: Iterable[Expression]) -> None:
    waiting = list(expressions)
    while waiting:
        each = waiting.pop()
        waiting.extend(each.children())
        if isinstance(each, RangeLiteral):
            each.stop = _Near(each.start, each.stop)


def _whole(value: object) -> int:
    if isinstance(value, str):
        if len(value) > MAX_DIGITS:
            raise TooMuchError
        return int(value) if value.lstrip("-").isdigit() else 0
    return int(value) if isinstance(value, int | float) else 0


_ENVIRONMENT: Final = _Environment()
