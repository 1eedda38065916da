"""How a database is named: the path of an SQLite file, or the URL of a PostgreSQL database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_POSTGRES: Final = frozenset({"postgres", "postgresql"})


def scheme_of(database: Path | str) -> str:
    """Return the scheme of a URL, an empty text for a path."""
    found = re.match(r"([a-z][a-z0-9+]*)://", str(database))
    return found[1] if found else ""


def is_postgres(database: Path | str) -> bool:
    """Return whether *database* names a PostgreSQL database, which several processes may serve."""
    return scheme_of(database) in _POSTGRES


def shown(database: Path | str) -> str:
    """Return the name of a database for people: a URL without its password."""
    text = str(database)
    if not scheme_of(text):
        return text
    text = re.sub(r"(://[^:/@?]*):[^@/?]*@", r"\1@", text)
    return re.sub(r"([?&])password=[^&]*&?", r"\1", text).rstrip("?&")
