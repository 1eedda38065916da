"""The table of places: each is a function that plants a canary inside a run of `desk`.

A canary stands where a rule of redaction redacts it, or where nothing is to be recorded at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, Field, SecretStr

import remit

Place: TypeAlias = Callable[[str], object]
PLACES: Final[dict[str, Place]] = {}
"""By what the place is called."""


def place(name: str) -> Callable[[Place], Place]:
    """Return a decorator that adds a function to the table."""

    def add(plant: Place) -> Place:
        PLACES[name] = plant
        return plant

    return add


def key(canary: str) -> str:
    """Return what looks like a key of a language model."""
    return f"sk-proj-{canary}abcdef0"


@remit.agent("desk")
def desk() -> None:
    """Stand for an agent; its runs are opened by hand."""


@remit.span_type("take")
def take(*values: object, **named: object) -> None:
    """Take anything."""
    del values, named


@remit.span_type("give", capture={"value": False})
def give(value: object) -> object:
    """Give back what it gets, which is not to be recorded on the way in."""
    return value


class Account(BaseModel):
    """A model whose author hid some fields."""

    name: str = "Ada"
    pin_hint: str = Field(default="", repr=False)
    raw: str = Field(default="", exclude=True)
    secret_word: SecretStr = SecretStr("")
    health: Annotated[str, remit.Sensitive("health_and_medical")] = ""


def canaries() -> dict[str, str]:
    """Return the canary of each place."""
    return {name: f"Zq{number:03}canary7XwV9" for number, name in enumerate(PLACES)}


def plant_all() -> None:
    """Plant every canary, each inside a run that is labelled with its place."""
    for name, canary in canaries().items():
        with desk.run(labels={"place": name}):
            PLACES[name](canary)
    # Whatever was declared on the way is in the registration of one more run.
    with desk.run():
        pass
