"""Draws the risk of a run: declared actions and data, refusals, redacted values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from remit.cli._terminal import bold, coloured, columns, cut, faint, lines, number_of, printable
from remit.models.risk import Risk, SpanTypeRisk

LABEL_COLUMNS = 14


def drawn_risk(risk: Risk, spans: int) -> Iterator[str]:
    """Yield the lines that show the *risk* of a number of *spans*."""
    yield bold("Risk") + faint(f"  {number_of(spans, 'span')}, by the declarations of their types")
    yield from _row("may", _counted(risk.allows))
    yield from _row("takes", _counted(risk.takes))
    yield from _row("gives", _counted(risk.gives))
    yield from _row(
        "classification", "" if risk.classification == "unknown" else risk.classification
    )
    yield from _section("refused", risk.refused.spans, risk.refused.violations)
    for reason in risk.refused.termination_reasons:
        yield from _row("terminated", coloured("failed", printable(reason)))
    yield from _section("violations", risk.exceeded.spans, risk.exceeded.violations)
    yield from _row("redacted", _counted(risk.redacted))
    yield from _row("schemas", _findings(risk))
    for one in risk.span_types:
        if words := _words(one):
            yield from _row("", f"{printable(one.schema_name)}: {words}")
    if not risk.complete:
        yield faint("  Only the newest flagged spans were looked into.")


def _section(label: str, spans: int, violations: Mapping[str, int]) -> Iterator[str]:
    if spans:
        yield from _row(label, coloured("failed", number_of(spans, "span")))
    for sentence, count in violations.items():
        yield from _row("", f"{count} x {printable(sentence)}")


def _row(label: str, text: str) -> Iterator[str]:
    if text:
        room = columns() - LABEL_COLUMNS - 4
        yield faint(f"  {label:<{LABEL_COLUMNS}}  ") + cut(text, room, lines().cut)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{printable(word)} ({count})" for word, count in counts.items())


def _findings(risk: Risk) -> str:
    said = risk.schema_findings
    counts = {
        "not as declared": said.invalid,
        "undeclared": said.undeclared,
        "not compared": said.unchecked,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _words(one: SpanTypeRisk) -> str:
    said = {"may": one.allows, "must not": one.forbids, "takes": one.takes, "gives": one.gives}
    return "; ".join(f"{verb} {', '.join(words)}" for verb, words in said.items() if words)
