"""`remit diff`: what a change lets agents do, read from two locks."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from remit._lock.difference import Change, Lock, changes
from remit.cli import main
from remit.cli._terminal import FALLBACK_COLUMNS
from tests.subtests import each

GOVERNED = Path(__file__).parents[1] / "data" / "governed"
"""Two programs, their locks, and how these differ (written by `remit diff --fail-on none`)."""
BEFORE, AFTER = (str(GOVERNED / f"{name}.lock.json") for name in ("before", "after"))
FIELDS = {"": "object", "age": "integer", "city": "string"}
TOKEN = "string, redacted: name:token"
LOCK: dict[str, Any] = {
    "remit_lock": 1,
    "made_with": {"pydantic": "2.12.4", "remit": "0.1.0"},
    "modules": ["desk"],
    "agents": {
        "desk:agent": {
            "risk": {"allows": ["read_data"], "forbids": ["destroy_data"], "excludes": ["others"]},
            "limits": {"financial_transactions": 1, "steps": 200},
            "registers": "schema-1",
            "steps": {
                "allowed": ["desk:find"],
                "undeclared": {"desk:send": ["destroy_data"]},
                "denied": {"desk:wipe": ["destroy_data"]},
            },
            "leaves": {"contact_information": {"desk:send": "declared"}},
        }
    },
    "steps": {
        "desk:agent": {
            "risk": {"allows": ["read_data"], "forbids": ["destroy_data"], "excludes": ["others"]}
        },
        "desk:find": {
            "description": "Find a customer.",
            "risk": {
                "allows": ["read_data"],
                "forbids": ["others"],
                "takes": ["personal_identifiers"],
                "gives": ["contact_information"],
                "excludes": ["others"],
                "classification": "confidential",
            },
            "params": {"name": "string", "token": TOKEN},
            "result": {
                "email": "string, redacted: type:Sensitive",
                "city": "string",
                "code": "string, off: pattern:jwt",
            },
        },
        "desk:send": {"risk": {"allows": ["external_communication"]}},
        "desk:wipe": {"risk": {"allows": ["destroy_data"]}},
    },
}


def locks(edit: Callable[[dict[str, Any]], object]) -> tuple[Lock, Lock]:
    """Return a lock and an edited copy of it."""
    old, new = copy.deepcopy(LOCK), copy.deepcopy(LOCK)
    edit(new)
    return cast("Lock", old), cast("Lock", new)


def shown(change: Change) -> tuple[str, str, str]:
    """Return what a table of this module says of a change."""
    subject = change.subject.removeprefix("desk:")
    part = " ".join(filter(None, (change.what, change.name, change.by))).replace("desk:", "")
    return change.effect, subject, part


def step(lock: dict[str, Any], name: str = "find") -> Any:
    """Return a step of a lock."""
    return lock["steps"][f"desk:{name}"]


def agent(lock: dict[str, Any]) -> Any:
    """Return the agent of a lock."""
    return lock["agents"]["desk:agent"]


def of_agent(lock: dict[str, Any], **words: object) -> None:
    """Change the risk of the agent, which the lock has twice."""
    for entry in (agent(lock), step(lock, "agent")):
        entry["risk"].update(words)


def as_step(lock: dict[str, Any]) -> None:
    """Let another agent take the agent, and give it a word."""
    of_agent(lock, allows=["read_data", "create_data"])
    lock["agents"]["desk:outer"] = {"steps": {"allowed": ["desk:agent"]}}


EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], list[tuple[str, str, str]]]] = {
    "disallowed to unknown": (
        lambda lock: step(lock)["risk"].update(forbids=["destroy_data", "create_data"]),
        [
            ("widens", "find", f"action {name}")
            for name in ("external_communication", "financial_transactions", "update_data")
        ],
    ),
    "disallowed to allowed": (
        lambda lock: step(lock)["risk"].update(allows=["read_data", "create_data"]),
        [("widens", "find", "action create_data")],
    ),
    "unknown to allowed": (
        lambda lock: step(lock, "send")["risk"].update(
            allows=["external_communication", "read_data"]
        ),
        [("widens", "send", "action read_data")],
    ),
    "unknown to included": (
        lambda lock: step(lock, "send")["risk"].update(takes=["minors_data"]),
        [("widens", "send", "params minors_data")],
    ),
    "excluded to included": (
        lambda lock: step(lock)["risk"].update(gives=["contact_information", "minors_data"]),
        [("widens", "find", "result minors_data")],
    ),
    "allowed to unknown": (
        lambda lock: step(lock, "send")["risk"].update(allows=[]),
        [("weakens", "send", "action external_communication")],
    ),
    "included to excluded": (
        lambda lock: step(lock)["risk"].update(gives=[]),
        [("narrows", "find", "result contact_information")],
    ),
    "unknown to disallowed": (
        lambda lock: step(lock, "send")["risk"].update(forbids=["destroy_data"]),
        [("narrows", "send", "action destroy_data")],
    ),
    "one side of a category": (
        lambda lock: step(lock, "send")["risk"].update(excludes_params=["minors_data"]),
        [("narrows", "send", "params minors_data")],
    ),
    "class raised": (
        lambda lock: step(lock)["risk"].update(classification="secret"),
        [("widens", "find", f"{side} classification") for side in ("params", "result")],
    ),
    "class lowered on one side": (
        lambda lock: step(lock)["risk"].update(classification_result="public"),
        [("weakens", "find", "result classification")],
    ),
    "class dropped": (
        lambda lock: step(lock)["risk"].pop("classification"),
        [("weakens", "find", f"{side} classification") for side in ("params", "result")],
    ),
    "no declaration any more": (
        lambda lock: step(lock, "wipe").pop("risk"),
        [("weakens", "wipe", "action destroy_data")],
    ),
    "the same words in another way": (
        lambda lock: step(lock)["risk"].update(allows=["read_data"] * 2),
        [("changes", "find", "risk")],
    ),
    "a key of its own in the risk": (
        lambda lock: step(lock)["risk"].update(extra={"owner": "desk"}),
        [("changes", "find", "risk")],
    ),
    "a key of its own beside a word": (
        lambda lock: step(lock, "send")["risk"].update(extra={"owner": "desk"}, allows=[]),
        [("weakens", "send", "action external_communication"), ("changes", "send", "risk")],
    ),
    "an agent's limit on an action": (
        lambda lock: of_agent(lock, forbids=[]),
        [("widens", "agent", "action destroy_data")],
    ),
    "an agent's limit on a category": (
        lambda lock: of_agent(lock, excludes=["others"], takes=["minors_data"]),
        [("widens", "agent", "params minors_data")],
    ),
    "a new limit of an agent": (
        lambda lock: of_agent(lock, forbids=["destroy_data", "create_data"]),
        [("narrows", "agent", "action create_data")],
    ),
    "what an agent allows is no limit": (
        lambda lock: of_agent(lock, allows=["create_data"], classification="secret"),
        [
            ("changes", "agent", "action create_data"),
            ("changes", "agent", "action read_data"),
            ("changes", "agent", "params classification"),
            ("changes", "agent", "result classification"),
        ],
    ),
    "an agent that is a step of another one": (
        as_step,
        [("widens", "agent", "action create_data"), ("widens", "outer", "presence")],
    ),
    "denied to undeclared": (
        lambda lock: agent(lock)["steps"].update(
            undeclared={"desk:send": ["destroy_data"], "desk:wipe": ["destroy_data"]}, denied={}
        ),
        [("widens", "agent", "may take wipe")],
    ),
    "allowed to undeclared": (
        lambda lock: agent(lock)["steps"].update(
            undeclared={"desk:send": ["destroy_data"], "desk:find": ["minors_data"]}, allowed=[]
        ),
        [("narrows", "agent", "may take find")],
    ),
    "undeclared for another reason": (
        lambda lock: agent(lock)["steps"].update(undeclared={"desk:send": ["minors_data"]}),
        [("changes", "agent", "may take send")],
    ),
    "no step of it any more": (
        lambda lock: agent(lock)["steps"].update(allowed=[]),
        [("narrows", "agent", "may take find")],
    ),
    "the same steps in another way": (
        lambda lock: agent(lock)["steps"].update(allowed=["desk:find"] * 2),
        [("changes", "agent", "other steps")],
    ),
    "the same leaves in another way": (
        lambda lock: agent(lock)["leaves"].update(minors_data={}),
        [("changes", "agent", "other leaves")],
    ),
    "a limit raised": (
        lambda lock: agent(lock)["limits"].update(steps=201),
        [("widens", "agent", "limit steps")],
    ),
    "a limit dropped": (
        lambda lock: agent(lock)["limits"].pop("financial_transactions"),
        [("widens", "agent", "limit financial_transactions")],
    ),
    "all limits dropped": (
        lambda lock: agent(lock).pop("limits"),
        [("widens", "agent", "limit financial_transactions"), ("widens", "agent", "limit steps")],
    ),
    "a limit lowered": (
        lambda lock: agent(lock)["limits"].update(steps=199),
        [("narrows", "agent", "limit steps")],
    ),
    "a limit added": (
        lambda lock: agent(lock)["limits"].update(read_data=5),
        [("narrows", "agent", "limit read_data")],
    ),
    "a category may leave": (
        lambda lock: agent(lock)["leaves"].update(minors_data={"desk:find": "not ruled out"}),
        [("widens", "agent", "leaves minors_data find")],
    ),
    "a category is no longer declared to leave": (
        lambda lock: agent(lock)["leaves"]["contact_information"].update(
            {"desk:send": "not ruled out"}
        ),
        [("narrows", "agent", "leaves contact_information send")],
    ),
    "a category may no longer leave": (
        lambda lock: agent(lock)["leaves"].clear(),
        [("narrows", "agent", "leaves contact_information send")],
    ),
    "a place no longer redacted": (
        lambda lock: step(lock)["result"].update(email="string"),
        [("weakens", "find", "result place email")],
    ),
    "a place redacted": (
        lambda lock: step(lock)["result"].update(city="string, redacted: type:Sensitive"),
        [("narrows", "find", "result place city")],
    ),
    "a place redacted by another rule": (
        lambda lock: step(lock)["result"].update(email="string, redacted: type:SecretStr"),
        [("changes", "find", "result place email")],
    ),
    "a place redacted in part": (
        lambda lock: step(lock)["result"].update(email="string, redacted in part: type:Sensitive"),
        [("weakens", "find", "result place email")],
    ),
    "a parameter renamed that loses a part of its mark": (
        lambda lock: step(lock).update(
            params={"name": "string", "key": "string, redacted in part: type:Sensitive"}
        ),
        [("changes", "find", "params place key"), ("weakens", "find", "params place token")],
    ),
    "a parameter renamed that loses its mark": (
        lambda lock: step(lock).update(params={"name": "string", "key": "string"}),
        [("changes", "find", "params place key"), ("weakens", "find", "params place token")],
    ),
    "a parameter renamed that keeps its mark": (
        lambda lock: step(lock).update(
            params={"name": "string", "key": "string, redacted: name:key"}
        ),
        [("changes", "find", "params place key"), ("changes", "find", "params place token")],
    ),
    "a parameter renamed that gains a mark": (
        lambda lock: step(lock).update(
            params={"secret": "string, redacted: name:secret", "token": TOKEN}
        ),
        [("changes", "find", "params place name"), ("narrows", "find", "params place secret")],
    ),
    "an open place added on the other side": (
        lambda lock: (
            step(lock)["params"].pop("token"),
            step(lock)["result"].update(age="integer"),
        ),
        [("changes", "find", "params place token"), ("changes", "find", "result place age")],
    ),
    "a rule turned off": (
        lambda lock: step(lock)["params"].update(token="string, off: name:token"),
        [("weakens", "find", "params place token")],
    ),
    "a rule turned off beside what is redacted": (
        lambda lock: step(lock)["params"].update(token=f"{TOKEN}, off: key:aws, pattern:jwt"),
        [("weakens", "find", "params place token")],
    ),
    "a rule turned on again": (
        lambda lock: step(lock)["result"].update(code="string"),
        [("narrows", "find", "result place code")],
    ),
    "a place written twice": (
        lambda lock: step(lock).update(result={"city?": "integer", **step(lock)["result"]}),
        [("changes", "find", "other result")],
    ),
    "a place whose rule was off before": (
        lambda lock: step(lock)["result"].update(code="integer, off: pattern:jwt"),
        [("changes", "find", "result place code")],
    ),
    "a new place with a rule turned off": (
        lambda lock: step(lock)["params"].update(code="string, off: pattern:jwt"),
        [("weakens", "find", "params place code")],
    ),
    "a place gone": (
        lambda lock: step(lock)["result"].pop("city"),
        [("changes", "find", "result place city")],
    ),
    "a place retyped": (
        lambda lock: step(lock)["params"].update(name="integer"),
        [("changes", "find", "params place name")],
    ),
    "a place that got a default": (
        lambda lock: step(lock).update(params={"name?": "string", "token": TOKEN}),
        [("changes", "find", "params place name")],
    ),
    "a place that got a default and lost its mark": (
        lambda lock: step(lock).update(params={"name": "string", "token?": "string"}),
        [("weakens", "find", "params place token")],
    ),
    "a description": (
        lambda lock: step(lock).update(description="Find them."),
        [("changes", "find", "description")],
    ),
    "a description that is null": (
        lambda lock: step(lock, "send").update(description=None),
        [("changes", "send", "description")],
    ),
    "a schema version alone": (
        lambda lock: agent(lock).update(registers="schema-2"),
        [("changes", "agent", "registers")],
    ),
    "a schema version that a step explains": (
        lambda lock: (agent(lock).update(registers="schema-2"), step(lock).update(description="")),
        [("changes", "find", "description")],
    ),
    "a new step": (
        lambda lock: lock["steps"].update({"desk:new": {}}),
        [("widens", "new", "presence")],
    ),
    "a step gone": (
        lambda lock: lock["steps"].pop("desk:wipe"),
        [("narrows", "wipe", "presence")],
    ),
    "a new agent, which is a step too": (
        lambda lock: (
            lock["agents"].update({"desk:new": {}}),
            lock["steps"].update({"desk:new": {}}),
        ),
        [("widens", "new", "presence")],
    ),
    "an agent gone": (
        lambda lock: lock["agents"].pop("desk:agent"),
        [("narrows", "agent", "presence")],
    ),
    "a key that a later version of remit writes": (
        lambda lock: (
            step(lock).update(cost=1),
            agent(lock).update(cost=1),
            lock.update(cost=1),
        ),
        [
            ("changes", "agent", "other cost"),
            ("changes", "find", "other cost"),
            ("changes", "", "other cost"),
        ],
    ),
    "how the lock was made": (
        lambda lock: lock.update(made_with={}, modules=["desk", "other"], project="shop"),
        [],
    ),
}


@each("name", list(EDITS))
def test_an_edit_is_told_with_its_effect_and_nothing_else_is(name: str) -> None:
    """The table of effects, row by row."""
    edit, expected = EDITS[name]
    assert [shown(change) for change in changes(*locks(edit))] == expected


def test_a_consequence_names_its_cause() -> None:
    """An agent's own words, those of the step, or those of the step that brings the data in."""
    lock = json.loads(Path(BEFORE).read_text()), json.loads(Path(AFTER).read_text())
    causes = {shown(change): change.cause for change in changes(*lock)}
    assert causes["widens", "analyst", "may take read_inbox"] == ("desk:analyst",)
    assert causes["narrows", "support", "may take find_order"] == ("desk:find_order",)
    assert causes["widens", "support", "leaves contact_information export"] == ("desk:export",)

    def edit(lock: dict[str, Any]) -> None:
        step(lock)["risk"]["gives"].append("minors_data")
        agent(lock)["leaves"]["minors_data"] = {"desk:send": "declared"}

    causes = {shown(change): change.cause for change in changes(*locks(edit))}
    assert causes["widens", "agent", "leaves minors_data send"] == ("desk:find",)


def diff(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["diff", *words], env={"COLUMNS": str(FALLBACK_COLUMNS)})


@pytest.mark.parametrize(("form", "suffix"), [("text", "txt"), ("markdown", "md")])
def test_a_pull_request_of_ten_edits_is_read_in_one_page(
    form: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents first, and a word of a shared `partial` is one line for all steps that have it."""
    monkeypatch.chdir(GOVERNED)
    result = diff("before.lock.json", "after.lock.json", "--format", form)
    assert result.exit_code == 1
    assert result.stdout == (GOVERNED / f"diff.{suffix}").read_text()


def test_a_program_gets_all_changes_with_full_ids() -> None:
    """The ten edits of the pull request, and what follows from them."""
    result = diff(BEFORE, AFTER, "--format", "json", "--fail-on", "none")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["old"], document["new"]) == (BEFORE, AFTER)
    listed = [
        (change["effect"], change["subject"], change["what"], change.get("name", ""))
        for change in document["changes"]
    ]
    for expected in (
        ("weakens", "desk:find_customer", "result place", "email"),
        ("weakens", "desk:send_mail", "params place", "address"),
        ("widens", "desk:search_help", "params", "minors_data"),
        ("widens", "desk:analyst", "params", "contact_information"),
        ("weakens", "desk:refund", "params", "classification"),
        ("widens", "desk:export", "presence", ""),
        ("changes", "desk:find_order", "description", ""),
        ("weakens", "desk:read_inbox", "params place", "token"),
        ("narrows", "desk:add_note", "presence", ""),
        ("widens", "desk:auditor", "presence", ""),
    ):
        assert listed.count(expected) == 1, expected


def test_an_empty_diff_says_what_was_compared() -> None:
    """So that a wrong path does not pass for a change without consequences."""
    result = diff(BEFORE, BEFORE)
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert text.startswith(f"Nothing changed. Compared {BEFORE} (3 agents, 12 steps) with {BEFORE}")
    assert "remit.span blocks or steps of other packages" in text
    assert json.loads(diff(BEFORE, BEFORE, "--format", "json").stdout)["changes"] == []


def write(path: Path, edit: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Write the lock of this module, edited."""
    path.write_text(json.dumps(locks(edit)[1]))


def test_other_versions_and_modules_are_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schema may differ because of the library alone."""
    monkeypatch.chdir(tmp_path)
    write(Path("old.json"))
    write(Path("new.json"), lambda lock: lock.update(made_with={"pydantic": "2.13"}, modules=[]))
    result = diff("old.json", "new.json")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert text.startswith("Nothing changed.")
    assert "Made with pydantic 2.12.4 and 2.13: " in text
    assert "Made with remit 0.1.0 and unknown: " in text
    assert "Made from different modules: desk -> none." in text


@each(
    ("edit", "fail_on", "status"),
    [
        (EDITS["class raised"], [], 1),
        (EDITS["class dropped"], [], 1),
        (EDITS["a new limit of an agent"], [], 0),
        (EDITS["a description"], [], 0),
        (EDITS["class raised"], ["weakens"], 0),
        (EDITS["class raised"], ["weakens", "widens"], 1),
        (EDITS["a description"], ["changes"], 1),
        (EDITS["class raised"], ["changes"], 0),
        (EDITS["class raised"], ["none"], 0),
    ],
)
def test_the_status_follows_from_what_changed(
    edit: tuple[Callable[[dict[str, Any]], object], object],
    fail_on: list[str],
    status: int,
    tmp_path: Path,
) -> None:
    """By default, what widens and what weakens fails."""
    write(tmp_path / "old.json")
    write(tmp_path / "new.json", edit[0])
    options = [word for effect in fail_on for word in ("--fail-on", effect)]
    result = diff(str(tmp_path / "old.json"), str(tmp_path / "new.json"), *options)
    assert result.exit_code == status


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `app` of a repository, the working directory; its branch `main` has the lock."""
    folder = tmp_path / "app"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write(folder / "remit.lock.json")
    (folder / "README").write_text("no lock")
    for words in ("init -q -b main", "add .", "commit -q -m lock"):
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        subprocess.run(["git", *identity, *words.split()], cwd=tmp_path, check=True)
    return folder


@pytest.mark.usefixtures("repository")
def test_a_revision_is_compared_with_the_working_tree_or_another_file() -> None:
    """Paths begin at the working directory, wherever that is in the repository."""
    assert diff("main:remit.lock.json").exit_code == 0
    write(Path("remit.lock.json"), EDITS["class raised"][0])
    result = diff("main:remit.lock.json")
    assert result.exit_code == 1
    assert "widens   classification: confidential -> secret" in result.stdout
    assert diff("main:../app/remit.lock.json", "main:remit.lock.json").exit_code == 0
    assert diff("remit.lock.json", "HEAD:remit.lock.json").exit_code == 1


def test_the_program_need_not_be_importable(repository: Path) -> None:
    """The comparison reads two files."""
    (repository / "desk.py").write_text("raise RuntimeError('no database')")
    write(repository / "remit.lock.json", EDITS["a description"][0])
    result = diff("main:remit.lock.json", "--fail-on", "changes")
    assert result.exit_code == 1
    assert 'description: "Find a customer." -> "Find them."' in result.stdout


BAD: dict[str, tuple[str | bytes, str]] = {
    "not json": ("{", "is not JSON: "),
    "merge conflict": ("<<<<<<< HEAD\n{}", "is not JSON: "),
    "no utf-8": (b'"\xff"', "is not JSON: "),
    "too deep": ("[" * 100_000, "is not JSON: "),
    "a list": ("[]", "is not a lock: "),
    "other json": ('{"name": "desk"}', "is not a lock: "),
    "a later format": ('{"remit_lock": 2}', "has the format 2, and this version of remit reads"),
    "a format of text": ('{"remit_lock": "1"}', 'has the format "1", and'),
    "no agents": ('{"remit_lock": 1}', "is not a lock as `remit lock` writes it: "),
    "agents of another type": (
        '{"remit_lock": 1, "agents": [], "steps": {}}',
        r"is not a lock as `remit lock` writes it: .*\$\.agents",
    ),
    "words of another type": (
        '{"remit_lock": 1, "agents": {}, "steps": {"a": {"risk": {"allows": "read_data"}}}}',
        r"is not a lock as `remit lock` writes it: .*allows",
    ),
}


@each("name", list(BAD))
def test_a_file_that_is_no_lock_cannot_be_compared(name: str, tmp_path: Path) -> None:
    """Status 2 and one sentence, whichever of the two it is."""
    content, sentence = BAD[name]
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    write(good)
    for words in ([str(bad), str(good)], [str(good), str(bad)]):
        result = diff(*words)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert re.fullmatch(rf"remit: {re.escape(str(bad))} {sentence}.*\n", result.stderr), (
            result.stderr
        )


@each(
    ("words", "sentence"),
    [
        (["nothing.json", "remit.lock.json"], "nothing.json cannot be read: No such file"),
        ([".", "remit.lock.json"], r"\. cannot be read: Is a directory"),
        (["main:nothing.json"], "main:nothing.json cannot be read: Git says .*does not exist"),
        (["main:../app"], r"main:\.\./app cannot be read: Git says "),
        (["nowhere:remit.lock.json"], "nowhere:remit.lock.json cannot be read: Git says "),
        (["--", "-x:remit.lock.json"], "-x:remit.lock.json cannot be read: Git says "),
        (["main:README"], "main:README is not JSON: "),
        (["main:"], "main: cannot be read: Git says "),
        (["remit.lock.json"], "remit.lock.json is a file, and there is nothing to compare it with"),
        (["main:gone.json"], "main:gone.json cannot be read: "),
        (["nul\0.json", "remit.lock.json"], ".* cannot be read: embedded null byte"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_what_cannot_be_read_cannot_be_compared(words: list[str], sentence: str) -> None:
    """A file that is missing is no empty lock."""
    result = diff(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert re.match(f"remit: {sentence}", result.stderr), result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("repository")
def test_a_lock_that_was_deleted_in_the_working_tree_cannot_be_compared() -> None:
    """Deleting it hides nothing."""
    Path("remit.lock.json").unlink()
    result = diff("main:remit.lock.json")
    assert result.exit_code == 2
    assert "remit: remit.lock.json cannot be read: No such file" in result.stderr


@pytest.mark.usefixtures("repository")
def test_without_git_a_revision_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither without the program nor without a repository."""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        result = diff("main:remit.lock.json")
    assert result.exit_code == 2
    assert "main:remit.lock.json cannot be read: Git is not installed" in result.stderr
    monkeypatch.setenv("GIT_DIR", "nowhere")
    result = diff("main:remit.lock.json")
    assert result.exit_code == 2
    assert 'Git says "not a git repository' in result.stderr


def test_markdown_is_not_broken_by_what_a_lock_says(tmp_path: Path) -> None:
    """Texts are spans of code, with as many backticks as it takes."""
    write(tmp_path / "old.json")
    write(
        tmp_path / "new.json",
        lambda lock: step(lock).update(description="See `find`\n<img src=x> | @team"),
    )
    names = [str(tmp_path / name) for name in ("old.json", "new.json")]
    lines = diff(*names, "--format", "markdown").stdout.splitlines()
    assert "`step find`" in lines
    assert (
        '- **changes** `` description: "Find a customer." -> "See `find` <img src=x> | @team" ``'
        in lines
    )


def test_a_name_that_is_no_file_is_taken_for_a_revision() -> None:
    """As in `remit diff main`."""
    result = diff("main")
    assert result.exit_code == 2
    assert "there is no file main: specify one of a revision, as in main:remit.lock.json" in (
        result.stderr
    )


def test_places_that_are_redacted_alike_are_one_line(tmp_path: Path) -> None:
    """A class that was lowered is not a line for each field of a model."""
    secret = {name: f"{of}, redacted: classification:secret" for name, of in FIELDS.items()}
    write(tmp_path / "old.json", lambda lock: step(lock).update(result=secret))
    write(tmp_path / "new.json", lambda lock: step(lock).update(result=FIELDS | {"age": "string"}))
    lines = diff(str(tmp_path / "old.json"), str(tmp_path / "new.json")).stdout.splitlines()
    assert lines[:3] == [
        "step find",
        "  weakens  'age' in the result: integer, redacted: classification:secret -> string",
        "  weakens  the value, 'city' in the result: redacted: classification:secret -> recorded",
    ]


def test_names_are_short_only_if_they_name_one_thing(tmp_path: Path) -> None:
    """Two modules may have a step of the same name."""

    def edit(lock: dict[str, Any]) -> None:
        lock["steps"] |= {"shop:find": {}, "mail:Box.send": {}}

    write(tmp_path / "old.json")
    write(tmp_path / "new.json", edit)
    lines = diff(str(tmp_path / "old.json"), str(tmp_path / "new.json")).stdout.splitlines()
    assert {"step shop:find", "step Box.send"} <= set(lines)


def test_the_first_declaration_of_a_step_does_not_widen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was forbidden is allowed; what an agent may take is a change of its own."""
    monkeypatch.chdir(tmp_path)
    old, new = locks(lambda lock: agent(lock)["steps"]["allowed"].append("desk:wipe"))
    del cast("Any", old)["steps"]["desk:wipe"]["risk"]
    listed = [shown(change) for change in changes(old, new)]
    assert ("declares", "wipe", "action destroy_data") in listed
    assert ("widens", "agent", "may take wipe") in listed
    write(Path("old.json"), lambda lock: step(lock, "wipe").pop("risk"))
    write(Path("new.json"), lambda _: None)
    result = diff("old.json", "new.json")
    assert "  declares destroy_data: unknown -> allowed" in result.stdout
    assert "1 declares for the first time." in result.stdout
    assert result.exit_code == 0
