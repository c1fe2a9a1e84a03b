"""The page of a validation: one self-contained HTML file, readable without a network and without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.files.pages import Cell, Table, render

MOST = 1000
"""Lines of a page at most: a browser takes half a minute for 40,000."""

MARKS = {"passed": "good", "failed": "bad", "warned": "mild"}


@dataclass(frozen=True)
class Entry:
    """One line of the page; ``name``: of the expectation, or of the column that a finding is about."""

    passed: bool
    severity: str
    sentence: str
    name: str

    @property
    def word(self) -> str:
        """How it ended."""
        return "passed" if self.passed else "failed" if self.severity == "stop" else "warned"


def page(title: str, entries: Sequence[Entry]) -> str:
    """Failures come first. Of many checks the rest is counted, without their sentences."""
    template = Path(__file__).with_name("page.html")
    return render(template, title=title, head=heading(entries), checks=table(entries, MOST))


def heading(entries: Sequence[Entry]) -> str:
    """How many checks there are, and how many of them did not pass."""
    if not entries:
        return "nothing was checked: the project states no expectations"
    failures = sum(not entry.passed for entry in entries)
    count = f"{len(entries):,} check{'s' if len(entries) > 1 else ''}"
    return f"{count}, {failures:,} not passed" if failures else f"{count}, all passed"


def table(entries: Sequence[Entry], most: int) -> Table:
    """The checks, those that stop a run first, then warnings, then the others, ``most`` of them."""
    ranked = sorted(entries, key=lambda entry: (entry.passed, entry.severity != "stop"))
    rows = tuple(
        (Cell(entry.word, mark=MARKS[entry.word]), Cell(entry.sentence), Cell(entry.name)) for entry in ranked[:most]
    )
    return Table("Checks", ("verdict", "what was checked", "expectation or column"), rows, rest=_rest(ranked[most:]))


def _rest(entries: Sequence[Entry]) -> str:
    """The checks without a line."""
    if not entries:
        return ""
    failures = sum(not entry.passed for entry in entries)
    counts = [f"{failures:,} that did not pass"] if failures else []
    counts += [f"{len(entries) - failures:,} that passed"] if failures < len(entries) else []
    return f"and {' and '.join(counts)}: validation.json has every one"
