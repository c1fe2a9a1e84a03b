"""Where a model stands beside its baselines: whether a cheaper model does as well, said plainly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headway.files.records import Record
from headway.models import model_configs

Outcome = Literal["better", "worse", "not distinguishable"]


@dataclass(frozen=True)
class Standing(Record):
    """The model beside its best baseline; ``difference`` is positive when the model is better, with its paired 95 % interval.

    ``numbers`` are the two values and the difference as people read them, ``text`` is one line for people. Files of earlier code have
    neither ``numbers`` nor ``model``.
    """

    outcome: Outcome
    baseline: str
    difference: float
    low: float
    high: float
    numbers: str = ""
    model: str = ""
    verdict: bool = False
    text: str = ""

    @classmethod
    def of(cls, model: str, baseline: str, numbers: str, difference: float, low: float, high: float) -> Standing:
        """From an interval."""
        outcome: Outcome = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
        text = _sentence(outcome, model, baseline, numbers)
        return cls(outcome, baseline, difference, low, high, numbers, model, outcome == "better", text)

    @property
    def rival(self) -> str:
        """The baseline, as it is called beside the model."""
        return _rival(self.model, self.baseline)

    def advice(self, model: str) -> str:
        """What to do where the baseline is better than a first model."""
        if self.baseline == model:
            instead = f"train {model} longer or with other settings, or promote it anyway with gate.first: beat_trivial"
        elif self.baseline in model_configs():
            instead = (
                f"use it with --set model={self.baseline}, or promote {model} anyway with gate.first: beat_trivial"
            )
        else:
            instead = f"train longer, or promote {model} anyway with gate.first: beat_trivial"
        return f"{self.rival} is better ({self.numbers}); {instead}"


def _rival(model: str, baseline: str) -> str:
    """A baseline of the model's own name is scikit-learn's."""
    return f"scikit-learn's {baseline}" if model == baseline else f"the baseline {baseline}"


def _sentence(outcome: Outcome, model: str, baseline: str, numbers: str) -> str:
    configs = model_configs()
    name = (model == baseline and model in configs and configs[model].title) or model
    rival = _rival(model, baseline)
    return {
        "better": f"{name} is better than its best baseline, {rival.removeprefix('the baseline ')} ({numbers})",
        "worse": f"{name} is worse than {rival} ({numbers})",
        "not distinguishable": f"{rival} does as well as {name} ({numbers})",
    }[outcome]
