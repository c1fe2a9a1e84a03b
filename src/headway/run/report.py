"""How a stage speaks to people, whoever shows it: a terminal, Prefect, a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from headway.errors import DataError


class Reporter(Protocol):
    """What a stage may say."""

    def line(self, text: str) -> None:
        """One line for people."""

    def warn(self, text: str) -> None:
        """One line that deserves attention."""

    def progress(self, share: float, text: str) -> None:
        """How far the current stage is, 0 to 1."""


class Silent:
    """Says nothing."""

    def line(self, text: str) -> None:  # noqa: ARG002
        return

    def warn(self, text: str) -> None:  # noqa: ARG002
        return

    def progress(self, share: float, text: str) -> None:  # noqa: ARG002
        return


def tell(report: Reporter, warnings: Iterable[str], failures: Sequence[str], summary: str) -> None:
    """Say what a validation found. Raises DataError, with all failures, where a rule is broken."""
    for text in warnings:
        report.warn(text)
    if failures:
        raise DataError("\n".join(failures))
    report.line(summary)


def number(value: float | None) -> str:
    """Four digits after the point below 10, fewer above; `undefined` where the rows define none."""
    if value is None:
        return "undefined"
    size = abs(value)
    return f"{value:.4f}" if size < 10 else f"{value:.2f}" if size < 10_000 else f"{value:,.0f}"


def markdown_table(rows: list[dict[str, str]]) -> str:
    """The same rows for a web page."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join([*lines, *("| " + " | ".join(cell or " " for cell in row.values()) + " |" for row in rows)])
