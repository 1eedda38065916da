"""What was measured, kept in a file as it comes, so that a run that broke can go on."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Values: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str, str, int]


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
    """Measurements by table, peer, case and round.

    Attributes:
        about: The machine and the versions, as `about.machine` tells them.
    """

    def __init__(self, path: Path) -> None:
        """Begin with what a file holds, if there is one."""
        self.path = path
        self.about: dict[str, Any] = {}
        self._values: dict[Key, Values] = {}
        if path.exists():
            held = json.loads(path.read_text())
            self.about = held["about"]
            for entry in held["results"]:
                table, peer, case, number = entry.pop("key")
                self._values[table, peer, case, number] = entry

    def forget(self, table: str) -> None:
        """Forget what was measured for a table."""
        self._values = {key: values for key, values in self._values.items() if key[0] != table}

    def has(self, key: Key) -> bool:
        """Return whether this has been measured, without a failure."""
        return "error" not in self._values.get(key, {"error": ""})

    def add(self, key: Key, values: Values) -> None:
        """Keep a measurement, in the file too."""
        self._values[key] = values
        self.save()

    def save(self) -> None:
        """Write the file anew; a reader sees the old one or the new one."""
        entries = [{"key": key, **values} for key, values in self._values.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps({"about": self.about, "results": entries}, indent=1))
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
