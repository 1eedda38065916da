"""What was measured, kept in a file as it comes, so that a run that broke can go on."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

Values: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str, str, int]
PACE: Final = "pace_ms"
TOOK: Final = "took_s"
RATE: Final = "rate"
OF_ALL: Final = (PACE, TOOK)
"""What every measurement has beside its own values."""
About: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Several measurements of the same.

    Attributes:
        middle: Their median.
        low: The smallest.
        high: The largest.
    """

    middle: float
    low: float
    high: float


class Results:
    """Measurements by table, peer, case and round, of one run or of several after each other."""

    def __init__(self, path: Path) -> None:
        """Begin with what a file holds, if there is one."""
        self.path = path
        self._values: dict[Key, Values] = {}
        self._run_of: dict[Key, int] = {}
        held: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"results": []}
        # A file of before has one `about` in place of runs.
        runs = held.get("runs", {"0": held.get("about", {})})
        self._abouts: dict[int, About] = {int(number): about for number, about in runs.items()}
        self._run = max(self._abouts)
        for entry in held["results"]:
            table, peer, case, number = entry.pop("key")
            self._run_of[table, peer, case, number] = entry.pop("run", 0)
            self._values[table, peer, case, number] = entry

    @property
    def about(self) -> About:
        """The machine and the versions of the last run, as `about.machine` tells them."""
        return self._abouts[self._run]

    @about.setter
    def about(self, told: About) -> None:
        self._abouts[self._run] = told

    def begin(self, about: About) -> None:
        """Begin a run: what is added from here on is measured on this machine, at this time."""
        self._run += 1
        self._abouts[self._run] = about

    def runs(self, tables: Iterable[str] = ()) -> list[tuple[About, list[str]]]:
        """Return what each run was on, with the tables that it measured.

        Args:
            tables: Leaves out the runs that have measured none of these.
        """
        found: dict[int, dict[str, None]] = {}
        for key, run in self._run_of.items():
            found.setdefault(run, {})[key[0]] = None
        wanted = set(tables)
        return [
            (self._abouts[run], list(names))
            for run, names in sorted(found.items())
            if not wanted or wanted & names.keys()
        ]

    def dates(self, table: str = "") -> list[str]:
        """Return when a table was measured; without its name, when any was."""
        told = [about.get("date", "unknown") for about, _ in self.runs([table] if table else ())]
        return list(dict.fromkeys(told))

    def forget(self, table: str) -> None:
        """Forget what was measured for a table."""
        self._values = {key: values for key, values in self._values.items() if key[0] != table}
        self._run_of = {key: run for key, run in self._run_of.items() if key[0] != table}

    def has(self, key: Key) -> bool:
        """Return whether this has been measured, without a failure."""
        return "error" not in self._values.get(key, {"error": ""})

    def add(self, key: Key, values: Values) -> None:
        """Keep a measurement, in the file too."""
        self._values[key] = values
        self._run_of[key] = self._run
        self.save()

    def save(self) -> None:
        """Write the file anew; a reader sees the old one or the new one."""
        used = {*self._run_of.values(), self._run}
        entries = [
            {"key": key, "run": self._run_of[key], **values} for key, values in self._values.items()
        ]
        held = {
            "runs": {run: about for run, about in self._abouts.items() if run in used},
            "results": entries,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(held, indent=1))
        beside.replace(self.path)

    def tables(self) -> set[str]:
        """Return the tables that something was measured for."""
        return {key[0] for key in self._values}

    def cases(self, table: str) -> set[str]:
        """Return the cases that were measured for a table."""
        return {key[2] for key in self._values if key[0] == table}

    def all(self, table: str, peer: str, case: str) -> list[Values]:
        """Return the measurements of one thing that did not fail, round after round."""
        return [
            values
            for key, values in sorted(self._values.items())
            if key[:3] == (table, peer, case) and "error" not in values
        ]

    def spread(self, table: str, peer: str, case: str, field: str) -> Spread | None:
        """Return median, minimum and maximum of one value, if there is any."""
        found = [
            float(values[field])
            for values in self.all(table, peer, case)
            if values.get(field) is not None
        ]
        if not found:
            return None
        return Spread(statistics.median(found), min(found), max(found))

    def middle(self, table: str, peer: str, case: str, field: str) -> float | None:
        """Return the median of one value, if there is any."""
        spread = self.spread(table, peer, case, field)
        return None if spread is None else spread.middle

    def error(self, table: str, peer: str, case: str) -> str | None:
        """Return why something has no value, if it failed in each round."""
        if self.all(table, peer, case):
            return None
        return next(
            (str(values["error"]) for key, values in self._values.items()
             if key[:3] == (table, peer, case)),
            None,
        )  # fmt: skip

    def errors(self) -> dict[str, list[str]]:
        """Return the failures of each table, in words."""
        found: dict[str, list[str]] = {}
        for (table, peer, case, number), values in sorted(self._values.items()):
            if "error" in values:
                line = f"{peer}, {case}, round {number + 1}: {values['error']}"
                found.setdefault(table, []).append(line)
        return found
