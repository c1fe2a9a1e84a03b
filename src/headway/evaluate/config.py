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
        description="Columns; the metrics are also measured for each of their values. For dates, name a part, too: `when: hour`.",
    )
    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples behind each interval.")
    baselines: tuple[Baseline, ...] = Field(
        ("trivial", "linear", "boosting"),
        description="Simple models that the model is compared with. For documents: unigram and ngram, which count tokens. "
        "For time series, also: naive, the newest known target, and seasonal_naive, the target one season before.",
    )
    importance: int = Field(
        10_000,
        ge=0,
        le=100_000,
        description="The most test rows that are used to measure what drives the model: they are predicted again with the values of one "
        "column shuffled. Fewer are used where that takes more than three seconds of a core; 0: this is not measured.",
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
        description="Test rows that are kept in the bundle; `headway explain` compares other rows with them. 0: none.",
    )
    prompts: tuple[str, ...] = Field(("\n",), description="For a language model: the beginnings of its sample texts.")
    reference: str | None = Field(
        None,
        description="A column that already holds a score of the positive class: an older model, or the truth of a generated "
        "table. Its metrics are shown beside those of the model.",
    )


class Costs(Config):
    """The cost of one row, by its true class and its predicted class; a gain is a negative cost."""

    true_negative: float = Field(0.0, description="There was no event, and none was predicted.")
    false_positive: float = Field(1.0, description="There was no event, but one was predicted.")
    false_negative: float = Field(1.0, description="There was an event that was not predicted.")
    true_positive: float = Field(0.0, description="There was an event, and it was predicted.")


class ThresholdConfig(Config):
    """For two classes: the least probability with which the positive class is predicted, chosen on the validation rows."""

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
        description="The metric that decides. Left out: for two classes auc, or average_precision where the positive class is below 5 %; "
        "for more classes log_loss; for numbers the metric of the loss, which is rmse for squared errors; for documents bits_per_byte.",
    )
    margin: float | str | None = Field(
        None,
        description="How much worse than the champion a candidate may be: a number in the metric's unit, or a share of the "
        "champion's own value such as 1%. Left out: 0.005 for shares such as AUC, 1% for errors such as RMSE.",
    )
    slice_margin: float | str | None = Field(
        None, description="The same for the worst slice, as a number or a percentage; left out: slices do not decide."
    )
    first: Literal["beat_baselines", "beat_trivial"] = Field(
        "beat_baselines",
        description="What a first model must reach. beat_trivial: it is better than the trivial baseline; beat_baselines: it is also not "
        "worse than its best baseline.",
    )
    min_units: int = Field(
        10,
        ge=2,
        description="The fewest rows (or groups, days, documents) that may decide between two models. For AUC, average precision "
        "and F1 of two classes, only those with the rarer class count.",
    )
    max_latency_ms: float | None = Field(None, gt=0, description="Longest time to predict 1,000 rows.")
    max_size_mb: float | None = Field(None, gt=0, description="Largest size of the model's files.")

    @field_validator("margin", "slice_margin", mode="before")
    @classmethod
    def _margin(cls, value: object) -> float | str | None:
        return check_margin(value)
