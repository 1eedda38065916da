"""Documents, the web UI and the help of commands have no habit of translated English.

Each habit has its plain form, one example that the pattern finds, and one that it leaves alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from docs import derive
from tests.architecture.sources import PACKAGE, ROOT
from tests.subtests import each

DOCS: Final = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md"))),
]
TEMPLATES: Final = sorted((PACKAGE / "collector" / "page" / "templates").glob("*.html"))
_CONTEXT_CHARS: Final = 40


class Habit(NamedTuple):
    """A pattern of prose, and what to write instead.

    Attributes:
        found: A text with the habit.
        plain: A similar text without it.
    """

    pattern: str
    instead: str
    found: str
    plain: str


HABITS: Final = (
    Habit(
        r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer\b|more\b|other\b|different\b)\w+",
        "is not a ...",
        "FILE is no lock.",
        "There is no lock, and it is no longer needed.",
    ),
    Habit(
        r", also (?:if|where|when|by|for|in|of|with)\b",
        "even if; including; as well",
        "A step is recorded, also if it fails.",
        "A step is recorded. The error is also recorded.",
    ),
    Habit(
        r"\b(?:is|are|was|were) answered\b|\banswers? (?:with )?(?:a )?(?:X\b|\d{3}\b)",
        "returns; responds",
        "A long body is answered 413.",
        "The agent answers customers, and the server returns 413.",
    ),
    Habit(
        r"(?:^|[.:;|] ?)What (?!X? ?(?:is|are) (?:X )?(?:not )?\w+\?)[^.?|\n]*(?=[.|\n]|$)",
        "a noun: data, items, steps, results",
        "What is recorded is kept in memory.",
        "What is a remit? It says what an agent may do.",
    ),
    Habit(
        r"\b(?:those|that) (?:that|which)\b",
        "a noun: steps, items, values",
        "It lists those that failed.",
        "It lists the steps that failed, those of the last run included.",
    ),
    Habit(
        r"\b(?:clients? of (?:openai|anthropic)|fixtures? of pytest"
        r"|(?:tools?|servers?|clients?) of MCP|files? of SQLite|agents? of LangChain"
        r"|workflows? of Temporal)\b",
        "the OpenAI client; a pytest fixture; an SQLite file",
        "A fixture of pytest opens a file of SQLite.",
        "A pytest fixture opens the files of one SQLite database.",
    ),
    Habit(
        r"(?:^|[.:;] )Of (?:a|an|the|one|each|every|all|what|which|such|these|those)\b",
        "the subject first",
        "Of the oldest run, the day is shown.",
        "The day of the oldest run is shown.",
    ),
    Habit(
        r"^#+ (?:What|Where|When|Which|That)\b",
        "a heading that a reader would search for",
        "## What is recorded",
        "## Recorded data",
    ),
    Habit(
        r"\b(?:is|are|was|were) told\b|\b(?:tells|told) (?:what|which|how|whether|of)\b",
        "is notified; says",
        "The program is told at its next step.",
        "The program stops at its next step.",
    ),
    Habit(
        r"\bbeside\b|\bbeneath\b|\bstands (?:in|on|at|there|below|above)\b",
        "next to; with; under; is in",
        "The lock stands in the directory beside the module.",
        "SDK stands for software development kit; the lock is next to the module.",
    ),
    Habit(
        r"\b(?:so many|gravest|anew|mend(?:s|ed|ing)?|ended well|for ever|whoever|nobody|meanwhile"
        r"|in the place of|lets go|gives way)\b",
        "that many; most serious; again; fix; succeeded; forever; anyone who; instead of",
        "Nobody can mend it meanwhile.",
        "It cannot be fixed until then, and is kept forever.",
    ),
    Habit(
        r"\b(?:by none|half within|19 of 20|closest data|nothing said|unsaid|withheld)\b",
        "none; p50; p95; most sensitive data; undeclared; redacted",
        "The value is withheld.",
        "The value is redacted.",
    ),
)


def prose_of_page(text: str) -> str:
    """Return the prose of a Markdown page, a paragraph or a cell in each line; `X` is code."""
    text = re.sub(r"^ *(`{3,}|~{3,}).*?^ *\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(`+).+?\1", "X", text, flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return re.sub(r"\n(?!\n|[#|>:-]|\s*[*-] |\s*\d+\. )", " ", text)


def prose_of_template(text: str) -> str:
    """Return the prose of a template, without its tags; `X` is a value."""
    text = re.sub(r"\{#.*?#\}|<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"\{\{.*?\}\}", "X", text, flags=re.DOTALL)
    text = re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL)
    text = re.sub(r"</?(?:a|b|bdi|code|i|kbd)\b[^>]*>", "", text)
    return re.sub(r"<[^>]*>", "\n", text)


def _help() -> Iterator[tuple[str, str]]:
    """Return the help of each command with its name."""
    for context in derive.every_command():
        command = context.command
        texts = [command.help, *(getattr(param, "help", None) for param in command.params)]
        yield (
            context.command_path,
            "\n".join(re.sub(r"\s*\n\s*", " ", text) for text in texts if text),
        )


def habits_in(text: str) -> list[str]:
    """Return the habits that *text* has, each with its place and its plain form."""
    return [
        f"{text[max(0, hit.start() - _CONTEXT_CHARS) : hit.end() + _CONTEXT_CHARS]!r}"
        f" -> {habit.instead}"
        for habit in HABITS
        for hit in re.finditer(habit.pattern, text, re.MULTILINE)
    ]


@each("habit", HABITS, ids=lambda habit: habit.instead)
def test_a_habit_is_found_and_its_plain_form_is_not(habit: Habit) -> None:
    """Otherwise the other tests here could not fail."""
    assert habits_in(habit.found) != []
    assert all(line.endswith(habit.instead) for line in habits_in(habit.found))
    assert habits_in(habit.plain) == []


def test_code_and_tags_are_not_prose() -> None:
    """A sentence may be wrapped."""
    page = (
        "A step\nis answered\n`404`.\n\n```python\nwhat = 'is no step'\n```\n\n## Recorded `What`\n"
    )
    lines = [line.strip() for line in prose_of_page(page).split("\n") if line.strip()]
    assert lines == ["A step is answered X.", "## Recorded X"]
    template = '{# What is no prose. #}<p class="is no">It <b>is no</b> step of {{ what }}.</p>'
    assert habits_in(prose_of_template(template)) == ["'\\nIt is no step of X.\\n' -> is not a ..."]


@each("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_habit(page: Path) -> None:
    """Code is not prose."""
    assert habits_in(prose_of_page(page.read_text())) == []


def test_the_web_ui_has_no_habit() -> None:
    """In none of its templates."""
    assert TEMPLATES
    found = {path.name: habits_in(prose_of_template(path.read_text())) for path in TEMPLATES}
    assert {name: habits for name, habits in found.items() if habits} == {}


def test_the_help_of_commands_has_no_habit() -> None:
    """Neither that of a command nor that of an option."""
    found = {name: habits_in(text) for name, text in _help()}
    assert len(found) > 20
    assert {name: habits for name, habits in found.items() if habits} == {}
