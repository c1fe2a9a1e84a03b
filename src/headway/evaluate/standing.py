"""Where a model stands beside its baselines: whether a cheaper model does as well, said plainly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headway.files.records import Record

Outcome = Literal["better", "worse", "not distinguishable"]

REGISTRABLE = ("linear", "boosting")
"""Baselines that can be a project's model."""


@dataclass(frozen=True)
class Standing(Record):
    """The model beside its best baseline; ``difference`` is positive when the model is better, with its paired 95 % interval.

    ``numbers`` are the two values and the difference as people read them.
    """

    outcome: Outcome
    baseline: str
    difference: float
    low: float
    high: float
    numbers: str
    model: str

    @classmethod
    def of(cls, model: str, baseline: str, numbers: str, difference: float, low: float, high: float) -> Standing:
        """From an interval."""
        outcome: Outcome = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
        return cls(outcome, baseline, difference, low, high, numbers, model)

    @property
    def rival(self) -> str:
        """The baseline, as it is called beside the model: one of the model's own name is scikit-learn's."""
        return f"scikit-learn's {self.baseline}" if self.model == self.baseline else f"the baseline {self.baseline}"

    @property
    def text(self) -> str:
        """One line for people. The model named boosting is LightGBM."""
        model, rival = "LightGBM" if self.model == self.baseline == "boosting" else self.model, self.rival
        return {
            "better": f"{model} is better than its best baseline, {rival.removeprefix('the baseline ')} ({self.numbers})",
            "worse": f"{model} is worse than {rival} ({self.numbers})",
            "not distinguishable": f"{rival} does as well as {model} ({self.numbers})",
        }[self.outcome]

    def advice(self, model: str) -> str:
        """What to do where the baseline is better than a first model."""
        if self.baseline == model:
            instead = f"train {model} longer or otherwise, or promote it all the same with gate.first: beat_trivial"
        elif self.baseline in REGISTRABLE:
            instead = f"take it with --set model={self.baseline}, or promote {model} all the same with gate.first: beat_trivial"
        else:
            instead = f"train longer, or promote {model} all the same with gate.first: beat_trivial"
        return f"{self.rival} is better ({self.numbers}); {instead}"

    def to_json(self) -> dict[str, object]:
        """As plain values, the sentence among them."""
        return {**super().to_json(), "verdict": self.outcome == "better", "text": self.text}
