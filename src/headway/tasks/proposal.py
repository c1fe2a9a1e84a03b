"""What `headway init` and validation ask of a task, before it is fitted to a target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headway.columns.summary import Summary


@dataclass(frozen=True)
class Problem:
    """What is wrong with a target. ``severity`` stop: nothing is to be trained on it."""

    severity: Literal["stop", "warn"]
    text: str
    examples: tuple[Any, ...] = ()


class Proposal(ABC):
    """Which columns a task can predict, and which it suits."""

    @abstractmethod
    def problems(self, summary: Summary, positive: str | None) -> list[Problem]:
        """Why a column of some values can be no target, or a poor one. ``positive``: the stated class."""

    def suits(self, distinct: int, numbers: np.ndarray | None) -> bool:
        """Whether `headway init` proposes this task for a target column: its values where they are numbers, otherwise None."""
        del distinct, numbers
        return False

    @abstractmethod
    def why(self, distinct: str) -> str:
        """For the reader of a draft, why it was proposed: `has 3 different values`."""
