"""The page of a validation: one self-contained HTML file, readable without a network and without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.files.pages import render


@dataclass(frozen=True)
class Entry:
    """One line of the page; ``name``: of the rule, or of the column that a finding is about."""

    passed: bool
    severity: str
    sentence: str
    name: str

    @property
    def word(self) -> str:
        """How it ended."""
        return "passed" if self.passed else "failed" if self.severity == "stop" else "warned"


def page(title: str, entries: Sequence[Entry]) -> str:
    """Failures come first."""
    failures = sum(not entry.passed for entry in entries)
    head = f"{len(entries)} rules, {failures} broken" if failures else f"all {len(entries)} rules hold"
    return render(
        Path(__file__).with_name("page.html"),
        title=title,
        head=head if entries else "no rules are stated",
        entries=sorted(entries, key=lambda entry: (entry.passed, entry.severity != "stop")),
    )
