"""Places in calls: arguments, results, items, defaults, and what a schema says of them."""

from __future__ import annotations

import asyncio
import enum
import os
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final, Generic, TypedDict, TypeVar

from pydantic import BaseModel, Field, RootModel, SecretStr

import remit
from tests.hiding.table import Account, give, key, place, take

T = TypeVar("T")
RESTRICTED: Final = remit.risk(classification="restricted")
NO_ADDRESSES: Final = remit.risk(excludes="contact_information")


@remit.span_type("forget", capture=False)
def forget(value: object) -> object:
    """Take and give what is not to be recorded."""
    return value


@dataclass
class Holder:
    """A dataclass with a hidden field."""

    account: Account
    unseen: str = field(repr=False, default="")


class Login(TypedDict):
    """A dict with a marked key."""

    user: str
    answer: Annotated[str, remit.Sensitive]


class Opaque:
    """An object that remit must not look into."""

    def __init__(self, canary: str) -> None:
        """Hold the secret where serialisers look."""
        self.password = self.public = canary

    def __repr__(self) -> str:
        """Show it."""
        return self.public


@remit.span_type("with_password")
def with_password(password: str) -> None:
    """Take a password."""
    del password


@remit.span_type("with_mark")
def with_mark(note: Annotated[str, remit.Sensitive("health_and_medical")]) -> None:
    """Take a marked note."""
    del note


@remit.span_type("with_login")
def with_login(login: Login) -> None:
    """Take a dict with a marked key."""
    del login


@remit.span_type("restricted", data_risk=RESTRICTED)
def restricted(text: str) -> str:
    """Take and give restricted data."""
    return text


@remit.span_type("no_addresses", data_risk=NO_ADDRESSES)
def no_addresses(email: str) -> None:
    """Take what the declaration says is no address."""
    del email


@remit.span_type("with_address")
def with_address(address: Annotated[str, remit.Sensitive("contact_information")]) -> None:
    """Take a marked address."""
    del address


@remit.span_type("no_contact", data_risk=NO_ADDRESSES)
def no_contact(*values: object) -> None:
    """Take what the declaration says is no address."""
    del values


place("an argument under a telling name")(lambda canary: take(password=canary))
place("a positional argument under a telling name")(with_password)
place("an argument that looks like a key")(lambda canary: take(key(canary)))
place("an argument of a secret type")(lambda canary: take(SecretStr(canary)))
place("an argument that is marked")(with_mark)
place("an argument that is not to be recorded")(forget)
place("an argument of a restricted step")(restricted)
place("an argument of an excluded category")(lambda canary: no_addresses(email=canary))


@place("a redacted value in a step that excludes it")
def excluded_argument(canary: str) -> None:
    """Pass it on by itself, in a sentence, as a value and as a key."""
    with_address(canary)
    no_contact(canary, f"write to {canary}, today", {"to": [canary]}, {canary: 1})


@place("a redacted value in a block that excludes it")
def excluded_in_block(canary: str) -> None:
    """Pass it on under a key, and as one."""
    with_address(canary)
    with remit.span("to", {"to": canary}, data_risk=NO_ADDRESSES):
        pass
    with remit.span("to", {canary: 1}, data_risk=NO_ADDRESSES):
        pass


place("a nested dict")(lambda canary: take([{"a": {"apiKey": [canary]}}]))
place("the key of a dict")(lambda canary: take({key(canary): 1, SecretStr(canary): 2}))
place("a set")(lambda canary: take({key(canary), "x"}))
place("bytes")(lambda canary: take(canary.encode()))
place("pairs of headers")(lambda canary: take([("Authorization", canary)]))
place("a header in text")(lambda canary: take(f"GET /\nAuthorization: Bearer {canary}abc0"))
place("a command line")(lambda canary: take(["mysql", "--password", canary]))
place("a connection string")(lambda canary: take(f"postgresql://app:{canary}@db/x"))
place("JSON in a text")(lambda canary: take(f'{{"password": "{canary}"}}'))
place("the lines of a private key")(
    lambda canary: take(["-----BEGIN PRIVATE KEY-----", canary, "-----END PRIVATE KEY-----"])
)
place("hidden fields of a model")(
    lambda canary: take(
        Account(pin_hint=canary, raw=canary, secret_word=SecretStr(canary), health=canary)
    )
)
place("a model inside a dataclass")(lambda canary: take(Holder(Account(raw=canary), unseen=canary)))
place("a marked key of a TypedDict")(lambda canary: with_login({"user": "a", "answer": canary}))
place("an object with attributes and a repr")(lambda canary: take(Opaque(canary), [Opaque(canary)]))
place("an enumeration")(lambda canary: take(enum.Enum("E", {"A": key(canary)}).A))  # type: ignore[attr-defined]
place("a returned dict")(lambda canary: give({"token": canary}))
place("a returned model")(lambda canary: give(Account(raw=canary, secret_word=SecretStr(canary))))
place("a returned text")(lambda canary: give(key(canary)))


@place("a default")
def default(canary: str) -> None:
    """The registration of a later run shows it in the schema too."""
    secret = SecretStr(canary)

    @remit.span_type("default")
    def step(password: str = canary, text: str = key(canary), word: SecretStr = secret) -> None:
        del password, text, word

    step()


@place("examples and defaults of a model")
def examples(canary: str) -> None:
    """What pydantic writes into the schema by itself."""

    class Sample(BaseModel):
        text: str = Field(default=key(canary), examples=[key(canary)])
        password: str = Field(default=canary, examples=[canary])

    @remit.span_type("examples")
    def step(sample: Sample | None = None) -> Sample | None:
        return sample

    step(Sample())


@place("a docstring")
def docstring(canary: str) -> None:
    """It is the description in the registration."""

    def step() -> None: ...

    step.__doc__ = f"Log in with {key(canary)}."
    remit.span_type("docstring")(step)()


@place("an item that is yielded")
def items(canary: str) -> None:
    """By a generator that is driven to its end."""

    @remit.span_type("items")
    def step() -> Iterator[object]:
        yield {"password": canary}
        yield key(canary)
        yield SecretStr(canary)

    list(step())


@place("a key that is yielded in pieces")
def pieces(canary: str) -> None:
    """As language models do."""

    @remit.span_type("pieces")
    def step() -> Iterator[str]:
        yield from ("the key is sk-", "proj-", canary, "abcdef0", " keep it")

    list(step())


@place("an item of an async generator")
def async_items(canary: str) -> None:
    """Awaited in the consumer's task."""

    @remit.span_type("async_items")
    async def step() -> AsyncIterator[object]:
        yield {"password": canary}

    async def drain() -> None:
        async for _ in step():
            pass

    asyncio.run(drain())


@place("an item of an iterator that is returned")
def returned_items(canary: str) -> None:
    """The span ends when the iterator does."""

    @remit.span_type("returned_items")
    def step() -> Iterator[object]:
        return iter([{"password": canary}, key(canary)])

    list(step())


@place("what a context manager gives")
def managed(canary: str) -> None:
    """It is the result of the call."""

    @remit.span_type("managed")
    @contextmanager
    def step(password: str) -> Generator[dict[str, str]]:
        yield {"token": password}

    with step(canary):
        pass


@place("a coroutine")
def coroutine(canary: str) -> None:
    """Its argument and its result."""

    @remit.span_type("coroutine")
    async def step(password: str) -> dict[str, str]:
        return {"password": password}

    asyncio.run(step(canary))


@place("a thread")
def thread(canary: str) -> None:
    """The run is carried there."""
    worker = threading.Thread(target=remit.copy_context(take), args=(key(canary),))
    worker.start()
    worker.join()


@place("an environment variable")
def environment(canary: str) -> None:
    """The mapping itself is handed over, and a copy of it."""
    os.environ["CANARY_PASSWORD"] = canary
    try:
        take(os.environ, dict(os.environ))
    finally:
        del os.environ["CANARY_PASSWORD"]


@place("a class's attribute and an object's")
def methods(canary: str) -> None:
    """The receiver of a method is no argument."""

    class Service:
        password = canary

        def __init__(self) -> None:
            self.public = canary

        @remit.span_type("methods")
        def ask(self, question: str) -> str:
            return question

    Service().ask("why")


@place("an argument that is not what its type says")
def mistyped(canary: str) -> None:
    """Python does not check."""

    @remit.span_type("mistyped")
    def step(word: SecretStr) -> None:
        del word

    step(canary)  # type: ignore[arg-type]  # the case


@place("a pair that is yielded, and a lone pair")
def pairs(canary: str) -> None:
    """As items of a list are."""

    @remit.span_type("yielding pairs")
    def step() -> Iterator[object]:
        yield ("Authorization", canary)
        yield ["X-Api-Key", canary]

    list(step())
    take(("password", canary))
    give({"pair": ("password", canary)})
    give(("password", canary))


class Diagnosis(RootModel[Annotated[str, remit.Sensitive("health_and_medical")]]):
    """A root that is marked."""


class Diagnoses(RootModel[dict[str, Annotated[str, remit.Sensitive("health_and_medical")]]]):
    """A root that holds marked values."""


@dataclass
class Box(Generic[T]):
    """A generic dataclass."""

    content: T


@dataclass
class HealthBox(Box[Annotated[str, remit.Sensitive("health_and_medical")]]):
    """One whose contents are marked."""


@place("the root of a model")
def roots(canary: str) -> None:
    """As an argument, a field, a result, an item, a key."""

    class Patient(BaseModel):
        diagnosis: Diagnosis

    @remit.span_type("diagnosing")
    def step(diagnosis: Diagnosis, more: Diagnoses) -> Diagnoses:
        del diagnosis
        return more

    one, many = Diagnosis(canary), Diagnoses({"flu": canary})
    step(one, many)
    take(one, [many], Patient(diagnosis=one))
    give(one)
    give(many)


@place("the field of a generic class")
def generic_fields(canary: str) -> None:
    """Whose mark stands where a type variable is given."""

    @remit.span_type("opening")
    def step(box: Box[Annotated[str, remit.Sensitive]]) -> None:
        del box

    take(HealthBox(canary))
    give(HealthBox(canary))
    step(Box(canary))
