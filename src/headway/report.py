"""How a stage speaks to people, whoever shows it: a terminal, Prefect, a test."""

from __future__ import annotations

from typing import Protocol


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
