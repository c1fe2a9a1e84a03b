"""The page of a validation: one self-contained HTML file, readable without a network and without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.files.pages import render

MOST = 1000
"""Lines of a page at most: a browser takes half a minute for 40,000."""


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
    """Failures come first. Of many rules the rest is counted, without their sentences."""
    failures = sum(not entry.passed for entry in entries)
    head = f"{len(entries):,} rules, {failures:,} broken" if failures else f"all {len(entries):,} rules hold"
    ranked = sorted(entries, key=lambda entry: (entry.passed, entry.severity != "stop"))
    return render(
        Path(__file__).with_name("page.html"),
        title=title,
        head=head if entries else "no rules are stated",
        entries=ranked[:MOST],
        rest=_rest(ranked[MOST:]),
    )


def _rest(entries: Sequence[Entry]) -> str:
    """The rules without a line."""
    if not entries:
        return ""
    broken = sum(not entry.passed for entry in entries)
    counts = [f"{broken:,} that are broken"] if broken else []
    counts += [f"{len(entries) - broken:,} that hold"] if broken < len(entries) else []
    return f"and {' and '.join(counts)}: validation.json has every rule"
