"""`configure()` prepares the first run, and reads no annotation before the names in it exist."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import remit
from remit.testing import isolated

PROGRAM = """
from __future__ import annotations

import re
import string
import sys
import threading
from pydantic import BaseModel, EmailStr
import remit

class Loud(type):
    reads = 0

    def __getattr__(cls, name):
        Loud.reads += name == "Order"
        return Order

class Customer(BaseModel):
    mail: EmailStr

class Order(BaseModel):
    number: int
    customers: list[Customer]

class shop(metaclass=Loud):
    pass

@remit.span_type
def find(order: shop.Order, most: int | None = None) -> shop.Order:
    return order

@remit.span_type
def ask(messages: list[dict[str, str]]) -> str:
    return messages[-1]["content"]

@remit.agent
def bot(number: int) -> int:
    ask([{"role": "user", "content": string.printable * 40}])
    return find(Order(number=number, customers=[])).number

remit.configure(**{settings})
compiled, compile_pattern = [], re.compile
re.compile = lambda *given: compiled.append(given) or compile_pattern(*given)
modules, reads, threads = set(sys.modules), Loud.reads, threading.active_count()
bot(1)
print(sorted(set(sys.modules) - modules), reads > 0, threads, len(compiled))
remit.flush(5)
print(Loud.reads - reads)
"""
LOCAL = {"mode": "local"}
REMOTE = {"api_url": "http://127.0.0.1:9", "api_token": "t", "exit_timeout_s": 0}


@pytest.mark.parametrize("settings", [LOCAL, REMOTE], ids=["local", "remote"])
def test_the_first_run_finds_everything_ready(tmp_path: Path, settings: dict[str, object]) -> None:
    """It imports, evaluates and compiles nothing; `configure()` starts no thread."""
    settings = {**settings, "data_dir": str(tmp_path / "data")}
    (tmp_path / "main.py").write_text(PROGRAM.replace("{settings}", repr(settings)))
    ended = subprocess.run(
        [sys.executable, "main.py"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert ended.stdout.splitlines() == ["[] True 1 0", "0"]


MIDDLE = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
import remit

@dataclass
class Outer:
    inside: Inner

@remit.span_type
def direct(secret: Later) -> None: ...

@remit.span_type
def nested(outer: Outer) -> None: ...

@remit.span_type
def ready(number: int) -> None: ...

@remit.agent
def bot() -> None:
    direct("hunter22")
    nested(Outer(Inner("hunter22")))
    ready(1)

remit.configure()

Later = Annotated[str, remit.Sensitive("health_and_medical")]

@dataclass
class Inner:
    diagnosis: Later
"""


def test_what_does_not_exist_yet_is_read_by_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`configure()` in the middle of a module; in the types, and in the fields of their classes."""
    (tmp_path / "remit_test_middle.py").write_text(MIDDLE)
    monkeypatch.syspath_prepend(tmp_path)
    with isolated() as sink:
        bot: Any = importlib.import_module("remit_test_middle").bot
        bot()
        types = bot.registration()["agent_schema_version"]["span_type_schemas"]
    sys.modules.pop("remit_test_middle")
    assert "hunter22" not in str([span.payload for span in sink.spans()])
    schemas = {each["name"].rpartition(":")[2]: each["params_schema"] for each in types}
    assert "cannot be resolved" not in str(schemas)
    assert schemas["direct"]["properties"]["secret"]["type"] == "string"
    assert "diagnosis" in str(schemas["nested"])


def test_a_registration_is_a_copy() -> None:
    """A change of it changes no later one."""
    with isolated():

        @remit.agent
        def bot(number: int) -> None: ...

        remit.configure()
        first: Any = bot.registration()
        for entry in first["agent_schema_version"]["span_type_schemas"]:
            entry["params_schema"].clear()
        later: Any = bot.registration()
    assert all(
        entry["params_schema"] for entry in later["agent_schema_version"]["span_type_schemas"]
    )
