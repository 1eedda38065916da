"""The Liquid library with the tags and filters that a summary may use.

None of them loops, so time and memory of a summary are in proportion to template and payload.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TextIO

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.filters import array, misc, string
from liquid.builtin.tags import case_tag, if_tag, unless_tag
from liquid.exceptions import LiquidError, OutputStreamLimitError
from liquid.expression import Expression
from liquid.stringify import to_liquid_string

from remit.collector.validation.summaries import MAX_PAYLOAD_CHARS, MAX_SUMMARY_BYTES, Rendering

FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "capitalize": string.capitalize,
    "default": misc.default,
    "downcase": string.downcase,
    "first": array.first,
    "last": array.last,
    "lstrip": string.lstrip,
    "rstrip": string.rstrip,
    "size": misc.size,
    "slice": string.slice_,
    "strip": string.strip,
    "strip_newlines": string.strip_newlines,
    "truncate": string.truncate,
    "truncatewords": string.truncatewords,
    "upcase": string.upcase,
}
# Errors of a template or of the library; a template that fails gives no summary.
_FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LiquidError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class _OutputNode(output.OutputNode):
    """Writes a value; objects and arrays as nothing."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        if isinstance(value, dict | list | tuple):
            return 0
        return buffer.write(to_liquid_string(value, autoescape=False))


class _Output(output.Output):
    node_class = _OutputNode


class _Environment(Environment):
    output_stream_limit = MAX_SUMMARY_BYTES

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Add the tags and filters of a summary; others are not valid."""
        del extra
        for tag in (
            content.Literal,
            illegal.Illegal,
            _Output,
            if_tag.IfTag,
            unless_tag.UnlessTag,
            case_tag.CaseTag,
        ):
            self.add_tag(tag)
        for name, function in FILTERS.items():
            self.add_filter(name, _bounded(function))


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter *function* with a bound on the text that it returns."""

    @functools.wraps(function)
    def apply(*args: object, **named: object) -> object:
        result = function(*args, **named)
        if isinstance(result, str) and len(result) > MAX_PAYLOAD_CHARS:
            raise OutputStreamLimitError("the text is too long", token=None)
        return result

    return apply


def parsed(source: str) -> Rendering | None:
    """Return the function that renders the template *source*; None if it is not valid."""
    if not _is_closed(source, "{{", "}}") or not _is_closed(source, "{%", "%}"):
        return None
    try:
        template = _ENVIRONMENT.from_string(source)
        context = RenderContext(template)
        if not all(map(_is_allowed, _expressions(template.nodes, context))):
            return None
    except _FAULTS:
        return None
    return functools.partial(_rendered, template)


def _is_closed(source: str, opening: str, closing: str) -> bool:
    """Return whether a *closing* follows each *opening*; the lexer looks for each to the end."""
    last = source.rfind(opening)
    return last < 0 or source.find(closing, last + 2) >= 0


def _rendered(template: BoundTemplate, values: Mapping[str, object]) -> str | None:
    try:
        return template.render(values)
    except _FAULTS:
        return None


def _expressions(nodes: Iterable[Node], context: RenderContext) -> Iterator[Expression]:
    for node in nodes:
        waiting = list(node.expressions())
        while waiting:
            expression = waiting.pop()
            yield expression
            waiting.extend(expression.children())
        yield from _expressions(node.children(context), context)


def _is_allowed(expression: Expression) -> bool:
    if isinstance(expression, FilteredExpression):
        return all(applied.name in FILTERS for applied in expression.filters or ())
    return not isinstance(expression, RangeLiteral)


_ENVIRONMENT: Final = _Environment()
