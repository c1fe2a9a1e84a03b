"""What is measured on the test split, and when a candidate is good enough."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from headway.config import Config
from headway.evaluate.margin import check_margin

Baseline = Literal["trivial", "linear", "boosting", "naive", "seasonal_naive", "unigram", "ngram"]

NAIVE: tuple[Baseline, ...] = ("naive", "seasonal_naive")
"""Baselines that need data.series."""


class EvaluateConfig(Config):
    """What is measured on the untouched test split."""

    slices: tuple[str, ...] = Field(
        (), description="Columns by whose values the metrics are also given; of a date a part, as in `when: hour`."
    )
    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples behind each interval.")
    baselines: tuple[Baseline, ...] = Field(
        ("trivial", "linear", "boosting"),
        description="Cheap models that the network must beat to earn its keep; of documents unigram and ngram, which count tokens; "
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
        description="How long the baseline boosting may take, by its first trees: it grows fewer rounds, or is left out, and says so.",
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
