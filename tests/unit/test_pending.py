"""A declared risk before its model is there: the same object is a `DataRisk` at the first touch.

Each touch is in a process of its own: in this one the models are loaded.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import VERSION, BaseModel

from remit.models import _pending
from remit.models._pending import PendingRisk
from remit.models.data_risk import DataRisk

pytestmark = pytest.mark.python
DECLARED = """
import sys
import remit
SAID = {"allows": "read_data", "takes": "minors_data", "classification": "secret"}
risk, twin = remit.risk(**SAID), remit.risk(**SAID)
other = remit.risk(forbids="read_data")
kind = type(risk)
assert kind.__name__ == "PendingRisk" and "pydantic" not in sys.modules
def is_model(each):
    of = remit.DataRisk
    assert type(each) is of, type(each)
def as_ever():
    is_model(risk)
    assert risk == twin == remit.risk(**SAID)
    is_model(twin)
    assert risk.action_profile.read_data == "allowed"
    assert risk.result_data_categories.minors_data == "unknown"
    assert risk.model_dump() == remit.DataRisk.model_validate(risk.model_dump()).model_dump()
    assert risk.model_fields_set == {
        "action_profile", "params_data_categories", "result_data_categories"}
    assert risk.model_extra == {}
    assert risk.params_data_categories.model_fields_set == {"minors_data", "classification"}
"""

# What a program may do to a risk first; each says what has to come of it.
TOUCHES = {
    "a field": "assert risk.action_profile.read_data == 'allowed'",
    "a dump": "assert risk.model_dump()['action_profile']['read_data'] == 'allowed'",
    "json": 'assert \'"read_data":"allowed"\' in risk.model_dump_json()',
    "vars": "assert list(vars(risk)) == list(remit.DataRisk.model_fields)",
    "class": "assert risk.__class__ is remit.DataRisk; risk.model_extra",
    "isinstance": "assert isinstance(risk, remit.DataRisk)",
    "isinstance of a base": "import pydantic; assert isinstance(risk, pydantic.BaseModel); "
    "assert isinstance(twin, pydantic.BaseModel); risk.model_extra; twin.model_extra",
    "isinstance of another": "assert not isinstance(risk, str); risk.model_extra",
    "type, the class at hand": "of = remit.DataRisk; assert type(risk) is of",
    "type, the module imported": "import remit.models.agent; assert type(risk) is remit.DataRisk",
    "repr": "assert repr(risk).startswith('DataRisk(action_profile=ActionProfile(create_data=')",
    "str": "assert str(risk).startswith('action_profile=ActionProfile(create_data=')",
    "format": "assert f'{risk}'.startswith('action_profile=ActionProfile(create_data=')",
    "dir": "assert 'model_dump' in dir(risk)",
    "equal": "assert risk == twin and not risk != twin",
    "equal to a model": "assert risk == remit.DataRisk(**risk.model_dump())",
    "a model equal to it": "assert remit.DataRisk(**twin.model_dump()) == risk",
    "unequal": "assert risk != other and other != risk",
    "unequal to anything": "assert risk != 5 and 5 != risk and risk != None",
    "in a list": "assert [other, twin].index(risk) == 1",
    "in": "assert risk in [twin]",
    "hash": """
try: hash(risk)
except TypeError: pass
else: raise AssertionError""",
    "iter": "assert [name for name, _ in risk] == list(remit.DataRisk.model_fields)",
    "dict": "assert dict(risk)['action_profile'].read_data == 'allowed'",
    "set": "risk.model_extra; risk.note = 'x'; assert risk.note == 'x'; del risk.note; "
    "risk.model_fields_set.discard('note')",
    "set first": "risk.action_profile = twin.action_profile; assert risk == twin",
    "delete first": """
try: del risk.note
except AttributeError: pass
else: raise AssertionError""",
    "no such thing": "assert not hasattr(risk, 'nothing')",
    "bool": "assert risk; risk.model_dump()",
    "copy": "import copy; assert copy.copy(risk) == twin; is_model(copy.copy(other))",
    "deepcopy": "import copy; made = copy.deepcopy([risk, risk]); is_model(made[0]); "
    "assert made[0] is made[1] and made[0] == twin",
    "model_copy": "is_model(risk.model_copy(deep=True))",
    "pickle": """
import pickle
for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
    made = pickle.loads(pickle.dumps(remit.risk(allows='read_data'), protocol))
    is_model(made); assert made == remit.risk(allows='read_data')
risk.model_dump()""",
    "pickle first": "import pickle; made = pickle.loads(pickle.dumps(risk)); is_model(made); "
    "assert made == twin",
    "match": """
match risk:
    case remit.DataRisk(action_profile=remit.ActionProfile(read_data='allowed')): pass
    case _: raise AssertionError""",
    "validated": "assert remit.DataRisk.model_validate(risk) is risk",
    "a field of a model": """
import pydantic
class Mine(pydantic.BaseModel):
    said: remit.DataRisk
    anything: object
mine = Mine(said=risk, anything=twin)
assert mine.said is risk and Mine.model_validate_json(mine.model_dump_json()).said == risk""",
    "in a field of any type": """
import typing, pydantic
class Mine(pydantic.BaseModel):
    anything: typing.Any
    base: pydantic.BaseModel
mine = Mine(anything=risk, base=twin)
dumped = mine.model_dump()
assert dumped['anything']['action_profile']['read_data'] == 'allowed', dumped
is_model(twin)""",
    "in any type, as json": """
import typing, pydantic
made = pydantic.TypeAdapter(typing.Any).dump_json({'a': risk})
assert b'"read_data":"allowed"' in made, made""",
    "a strict union": """
import pydantic
made = pydantic.TypeAdapter(remit.ActionProfile | remit.DataRisk).validate_python(risk, strict=True)
assert made is risk""",
    "singledispatch": """
import functools
@functools.singledispatch
def which(value): raise AssertionError
@which.register
def _(value: remit.DataRisk): pass
which(risk)""",
    "threads": """
import threading
found, together = [], threading.Barrier(8)
def touch():
    together.wait()
    risk.model_extra.setdefault('seen', []).append(1)
    found.append((type(risk), id(risk.__dict__), len(risk.model_dump())))
threads = [threading.Thread(target=touch) for _ in range(8)]
[each.start() for each in threads]; [each.join() for each in threads]
assert set(found) == {(remit.DataRisk, id(risk.__dict__), 4)}, found
assert risk.model_extra.pop('seen') == [1] * 8""",
    "threads that declare": """
import threading
made, together = [], threading.Barrier(5)
def declare():
    together.wait()
    for _ in range(100): made.append(remit.risk(allows='read_data'))
threads = [threading.Thread(target=declare) for _ in range(4)]
[each.start() for each in threads]
together.wait()
import remit.models.data_risk
[each.join() for each in threads]
for each in made: is_model(each)""",
    "a thread that touches it while the models come": """
import threading
from remit.models import _pending
class Overtaken(dict):
    def _taken_by_another(self):
        other = threading.Thread(target=lambda: dict.clear(self))
        other.start()
        other.join()
    def pop(self, key, default=None):
        self._taken_by_another()
        return super().pop(key, default)
    def popitem(self):
        self._taken_by_another()
        return super().popitem()
_pending._state.waiting = Overtaken(_pending._state.waiting)
assert remit.DataRisk.__name__ == 'DataRisk'
assert isinstance(risk, remit.DataRisk)
risk.model_dump()
twin.model_dump()""",
    "a fork": """
import os
child = os.fork()
if not child:
    try: as_ever()
    except BaseException: os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert type(risk) is kind
risk.model_dump()""",
    "many": """
made = [remit.risk() for _ in range(1_001)]
is_model(made[0])""",
    "capture": """
from remit._capture import Limits, Rules, capture_mapping
rules = Rules(Limits(), None)
before = capture_mapping({'a': [risk]}, rules)
assert before == capture_mapping({'a': [remit.DataRisk(**risk.model_dump())]}, rules)""",
    "type hints": """
import typing
for each in (remit.span_type, remit.agent, remit.span):
    assert remit.DataRisk in typing.get_args(typing.get_type_hints(each)['data_risk'])
assert typing.get_type_hints(remit.risk)['return'] is remit.DataRisk""",
}


# pydantic 2.10 writes no model within a value of any type if it is to be built at its first use.
ANY = {"a field of a model", "in a field of any type", "in any type, as json"}
EXPECTED = TOUCHES.keys() - (ANY if VERSION.startswith("2.10.") else set[str]())

# A child for each touch: to start Python as often would take a minute.
EACH = """
import os, traceback
for name, touch in TOUCHES.items():
    child = os.fork()
    if not child:
        try:
            exec(touch, globals())
            as_ever()
        except BaseException:
            print(f"{name}: {traceback.format_exc()}", flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(f"{name}: the child ended otherwise")
assert "pydantic" not in sys.modules
"""


def said_by(program: str) -> str:
    """Return what a program of its own says of what is wrong."""
    command = [sys.executable, "-W", "error", "-c", program]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    return ended.stdout + ended.stderr


@pytest.mark.gate
def test_a_touch_makes_it_a_model() -> None:
    """Whatever is done first, it is done to a model; and all else is as of any model after it."""
    touches = {name: TOUCHES[name] for name in EXPECTED}
    assert said_by(f"{DECLARED}\nTOUCHES = {touches!r}\n{EACH}") == ""


def test_it_is_laid_out_as_a_model() -> None:
    """Else no object could change from the one to the other."""
    assert set(PendingRisk.__slots__) == set(BaseModel.__slots__)
    assert PendingRisk.__basicsize__ == DataRisk.__basicsize__
    assert vars(_pending)["_state"].alike


UNLIKE = """
from remit.models import _pending
import remit.models.data_risk as models
waiting = vars(_pending)["_state"]
waiting.kind = waiting.make = None
risk, twin = remit.risk(allows="read_data"), remit.risk(allows="read_data")
assert type(risk) is kind
class Otherwise(remit.DataRisk):
    __slots__ = ("more",)
_pending.settle_all(Otherwise, lambda words: Otherwise(**models._declared(words).model_dump()))
assert isinstance(risk, remit.DataRisk) and risk == twin and twin == risk
risk.action_profile.read_data = "disallowed"
assert risk.model_dump()["action_profile"]["read_data"] == "disallowed" and risk != twin
assert remit.DataRisk.model_validate(risk) == risk
from remit._risk import said
assert said(risk)["action_profile"]["read_data"] == "disallowed"
"""


def test_of_another_layout_a_model_stands_behind_it() -> None:
    """A pydantic to come may lay out models otherwise: nothing breaks but the look at the type."""
    assert said_by(DECLARED + UNLIKE) == ""
