"""The interface by which a stage reports to a terminal, to Prefect or to a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from headway.errors import DataError


class Reporter(Protocol):
    """The kinds of report that a stage makes."""

    def line(self, text: str) -> None:
        """One line of information."""

    def warn(self, text: str) -> None:
        """One warning."""

    def progress(self, share: float, text: str) -> None:
        """The progress of the current stage, 0 to 1."""


class Silent:
    """Ignores all reports."""

    def line(self, text: str) -> None:  # noqa: ARG002
        return

    def warn(self, text: str) -> None:  # noqa: ARG002
        return

    def progress(self, share: float, text: str) -> None:  # noqa: ARG002
        return


def tell(report: Reporter, warnings: Iterable[str], failures: Sequence[str], summary: str) -> None:
    """Report a validation. Raises DataError with the failures, if there are some."""
    for text in shortened(tuple(warnings), "warnings"):
        report.warn(text)
    if failures:
        raise DataError("\n".join(shortened(failures, "failures")))
    report.line(summary)


MOST_LINES = 50
"""Lines at most of one list that people read."""


def shortened(lines: Sequence[str], what: str) -> list[str]:
    """The first lines, and how many more there are: a table of 20,000 columns may have one for each. ``what``: they are."""
    rest = len(lines) - MOST_LINES
    return list(lines) if rest <= 0 else [*lines[:MOST_LINES], f"and {rest:,} more {what}; validation.json has all"]


def number(value: float | None) -> str:
    """The value with four decimals below 10 and fewer above; `undefined` where it has none."""
    if value is None:
        return "undefined"
    size = abs(value)
    return f"{round(value, 4) + 0.0:.4f}" if size < 10 else f"{value:.2f}" if size < 10_000 else f"{value:,.0f}"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def markdown_table(rows: list[dict[str, str]]) -> str:
    """The same rows for a web page."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join([*lines, *("| " + " | ".join(cell or " " for cell in row.values()) + " |" for row in rows)])
