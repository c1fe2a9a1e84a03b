"""A reporter that keeps what it is told."""

from __future__ import annotations

from headway.run.report import Silent


class WarningsReporter(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)
