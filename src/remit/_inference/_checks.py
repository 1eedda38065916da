"""What of a declaration's types is an error where it is declared."""

from __future__ import annotations

from dataclasses import replace

from remit._annotations import function_scope, own_annotations, text_of
from remit._inference._effective import contradictions, told
from remit._inference._shown import inferred
from remit._marks import Sensitive
from remit._registry import SpanType
from remit._risk import withholding
from remit.errors import DeclarationError


def check_types(declared: SpanType, where: str) -> None:
    """Return if the types are sound as far as they are known by now.

    Annotations are evaluated at import only where a mistake can stand in them: it takes time, and
    the names in them may be missing yet.

    Args:
        declared: The declaration.
        where: The decorator and its place, for messages.

    Raises:
        DeclarationError: A `Sensitive` mark is of an unknown category, or a type shows data that
            the declaration excludes.
    """
    _check_marks(declared, where)
    said = withholding(declared.data_risk)
    if said.params_excluded or said.result_excluded:
        # Of a copy: what is missing by now may be there when the declaration itself is read.
        against = contradictions(declared.data_risk, inferred(replace(declared)))
        if against:
            raise DeclarationError(f"{where}: {told(against)}")


def _check_marks(declared: SpanType, where: str) -> None:
    """Make the marks in postponed annotations; one of an unknown category refuses to be made."""
    for name, annotation in own_annotations(declared.body).items():
        if f"{Sensitive.__name__}(" in (text_of(annotation) or ""):
            made = function_scope(declared.function).resolve(annotation)
            if isinstance(made, DeclarationError):
                raise DeclarationError(f"{where}: {name}: {made}") from made
