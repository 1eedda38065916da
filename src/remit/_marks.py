"""Marks for parameters and fields, put into `Annotated`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sensitive:
    """The value belongs to a data category and is withheld from every payload.

    Used as `Annotated[str, remit.Sensitive("health_and_medical")]` on a parameter, a return
    type or a field of a dataclass or model.

    Args:
        category: One of the data categories of `remit.DataCategories`; empty for none of them.
    """

    category: str = ""


class Skip:
    """The parameter is left out of the schema and of every payload.

    Used as `Annotated[Session, remit.Skip]`, for what a framework injects.
    """
