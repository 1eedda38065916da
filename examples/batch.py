"""Look for personal data in the files of a directory, on several threads; offline.

```shell
python examples/batch.py ~/exports --workers 8
```

Such a program reads the very data that must not get into a record: here only names of files and
numbers do. It ends with 1 if a file could not be read, and with 2 if the record was not delivered.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel

import remit

HERE = Path(__file__).parent
MAX_CHARS = 1_000_000

# What a file says goes from step to step and into no payload.
Text = Annotated[str, remit.Sensitive("personal_identifiers")]
FOUND: Final = ("personal_identifiers", "contact_information", "financial_information")
NEVER: Final = ("update_data", "destroy_data", "financial_transactions", "external_communication")

KINDS = {
    "mail address": re.compile(r"[\w.+-]+@[\w-]+\.[\w.]*\w"),
    "telephone": re.compile(r"\+\d[\d ]{7,14}\d"),
    "card number": re.compile(r"\b(?:\d[ -]?){15}\d\b"),
}


class Findings(BaseModel):
    """How often each kind of personal data was found in a file."""

    file: str
    counts: dict[str, int]


class Report(BaseModel):
    """What a scan found."""

    findings: list[Findings]
    unread: list[str]


@remit.span_type(data_risk=remit.risk(allows="read_data", forbids=NEVER, gives=FOUND))
def read(file: Path) -> Text:
    """Return the beginning of a file."""
    with file.open(encoding="utf-8") as opened:
        return opened.read(MAX_CHARS)


@remit.span_type(data_risk=remit.risk(forbids=NEVER, takes=FOUND, classification="confidential"))
def count(text: Text) -> dict[str, int]:
    """Count what looks like personal data."""
    found = Counter({name: len(kind.findall(text)) for name, kind in KINDS.items()})
    return dict(+found)


@remit.span_type(data_risk=remit.risk(allows="read_data", forbids=NEVER))
def look_into(file: Path) -> Findings:
    """Look into one file."""
    return Findings(file=file.name, counts=count(read(file)))


@remit.agent(data_risk=remit.risk(allows="read_data", forbids=NEVER))
def scanner(folder: Path, workers: int = 4) -> Report:
    """Look for personal data in every file of a directory."""
    report = Report(findings=[], unread=[])
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    # A plain ThreadPoolExecutor would carry no run: its spans would be recorded nowhere.
    with remit.ContextExecutor(workers, thread_name_prefix="scan") as pool:
        for file, job in [(file, pool.submit(look_into, file)) for file in files]:
            try:
                report.findings.append(job.result())
            except (OSError, UnicodeDecodeError):
                report.unread.append(file.name)
    return report


def main() -> int:
    """Scan the directory of the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="A scan, recorded by remit.")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "help_pages")
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    with scanner.run(purpose="live", labels={"job": "scan"}) as run:
        report = scanner(given.folder, given.workers)
        if report.unread:
            run.fail(f"{len(report.unread)} of the files could not be read")
    for each in report.findings:
        print(each.file, *(f"{name}: {many}" for name, many in each.counts.items()), sep="  ")
    for name in report.unread:
        print(f"cannot be read: {name}", file=sys.stderr)
    delivered = remit.flush(timeout_s=10)
    if not delivered:
        print(f"the record was not delivered: {delivered.last_error}", file=sys.stderr)
    return 2 if not delivered else 1 if report.unread else 0


if __name__ == "__main__":
    sys.exit(main())
