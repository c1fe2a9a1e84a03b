"""What is measured on the test split, and when a candidate is good enough."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from headway.config import Config
from headway.evaluate.margin import check_margin

Baseline = Literal["trivial", "linear", "boosting", "naive", "seasonal_naive", "unigram", "ngram"]

NAIVE: tuple[Baseline, ...] = ("naive", "seasonal_naive")
"""Baselines that need data.series."""


class EvaluateConfig(Config):
    """What is measured on the untouched test split."""

    slices: tuple[str, ...] = Field(
        (),
        description="Columns; the metrics are also measured for each of their values. Of a date, name a part: `when: hour`.",
    )
    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples behind each interval.")
    baselines: tuple[Baseline, ...] = Field(
        ("trivial", "linear", "boosting"),
        description="Cheap models that the model is compared with; of documents unigram and ngram, which count tokens; "
        "of data.series naive, the newest known target, and seasonal_naive, that of a season ago.",
    )
    importance: int = Field(
        10_000,
        ge=0,
        le=100_000,
        description="Test rows at most that are predicted once more for each column, with its values shuffled; fewer where that "
        "takes more than three seconds of a core, 0 for none.",
    )
    boosting_seconds: float = Field(
        120,
        gt=0,
        description="Seconds that the baseline boosting may take, estimated from its first trees; where it would take more, it has fewer "
        "rounds or is left out, and the run says so.",
    )
    background: int = Field(
        100,
        ge=0,
        le=1000,
        description="Test rows that a bundle keeps, with which `headway explain` compares others; 0 for none.",
    )
    prompts: tuple[str, ...] = Field(("\n",), description="Of a language model: what the samples begin with.")
    reference: str | None = Field(
        None,
        description="A column that already holds a score of the positive class: an older model, or the truth of a generated "
        "table; its metrics are printed beside.",
    )


class Costs(Config):
    """What one row costs by what it is and what is predicted; a gain is negative."""

    true_negative: float = Field(0.0, description="No event, none predicted.")
    false_positive: float = Field(1.0, description="No event, but one predicted.")
    false_negative: float = Field(1.0, description="An event that is not predicted.")
    true_positive: float = Field(0.0, description="An event that is predicted.")


class ThresholdConfig(Config):
    """From which probability on the positive one of two classes is predicted: chosen on the validation rows, kept in the model."""

    by: Literal["f1", "cost", "recall_at_precision", "top_share"] | None = Field(
        None,
        description="What the predicted classes are for: the best F1, the least cost, the most recall with the stated precision, or the "
        "stated share of rows with the highest probabilities. Left out: the likelier class is predicted.",
    )
    precision: float = Field(0.9, gt=0, le=1, description="For recall_at_precision: the least precision.")
    share: float = Field(
        0.05, gt=0, lt=1, description="For top_share: the share of the rows that are predicted positive."
    )
    costs: Costs = Field(Costs(), description="For cost: what each kind of row costs.")

    @property
    def aim(self) -> str:
        """In words."""
        return {
            "f1": "the best F1",
            "cost": "the least cost",
            "recall_at_precision": f"the most recall with a precision of {self.precision:g}",
            "top_share": f"the {100 * self.share:g} % of rows with the highest probability",
            None: "",
        }[self.by]

    @model_validator(mode="after")
    def _has_effect(self) -> ThresholdConfig:
        own = {"precision": "recall_at_precision", "share": "top_share", "costs": "cost"}
        for name, by in own.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.by != by:
                raise ValueError(f"{name} must come with by: {by}, but by is {self.by or 'left out'}")
        costs = self.costs
        if costs.false_positive - costs.true_negative + costs.false_negative - costs.true_positive <= 0:
            raise ValueError("costs must make mistakes cost more than right predictions, but they do not")
        return self


class GateConfig(Config):
    """When a candidate replaces the champion."""

    metric: str | None = Field(
        None,
        description="The metric that decides. Left out: auc of two classes, average_precision where the positive one is below 5 %, "
        "log_loss of more, of numbers that of the loss, rmse for squared errors.",
    )
    margin: float | str | None = Field(
        None,
        description="How much worse than the champion a candidate may be: a number in the metric's unit, or a share of the "
        "champion's own value such as 1%. Left out: 0.005 for shares such as AUC, 1% for errors such as RMSE.",
    )
    slice_margin: float | str | None = Field(
        None, description="The same for the worst slice, as a number or a percentage; left out: not looked at."
    )
    first: Literal["beat_baselines", "beat_trivial"] = Field(
        "beat_baselines",
        description="What the first model must beat: the trivial baseline, and by default it must not be worse than any other.",
    )
    min_units: int = Field(
        10,
        ge=2,
        description="Rows (or groups, days, documents) on which two models must be compared at least; by AUC, average "
        "precision and F1 of two classes, as many with the rarer class.",
    )
    max_latency_ms: float | None = Field(None, gt=0, description="Longest time to predict 1,000 rows.")
    max_size_mb: float | None = Field(None, gt=0, description="Largest size of the model's files.")

    @field_validator("margin", "slice_margin", mode="before")
    @classmethod
    def _margin(cls, value: object) -> float | str | None:
        return check_margin(value)
