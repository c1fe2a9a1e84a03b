"""What is measured on the test split, and when a candidate is good enough."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headway.base import Config

Baseline = Literal["trivial", "linear", "boosting"]


class EvaluateConfig(Config):
    """What is measured on the untouched test split."""

    slices: tuple[str, ...] = Field((), description="Columns by whose values the metrics are also given.")
    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples behind each interval.")
    baselines: tuple[Baseline, ...] = Field(
        ("trivial", "linear", "boosting"), description="Cheap models that the network must beat to earn its keep."
    )
    reference: str | None = Field(
        None,
        description="A column that already holds a score of the positive class: an older model, or the truth of a generated "
        "table; its metrics are printed beside.",
    )


class GateConfig(Config):
    """When a candidate replaces the champion."""

    metric: str | None = Field(
        None, description="The metric that decides; auc, log_loss or rmse by the kind of target."
    )
    margin: float = Field(
        0.005, ge=0, description="How much worse than the champion, in the metric's unit, a candidate may be."
    )
    slice_margin: float | None = Field(None, ge=0, description="The same for the worst slice; absent: not looked at.")
    max_latency_ms: float | None = Field(None, gt=0, description="Longest time to predict 1,000 rows.")
    max_size_mb: float | None = Field(None, gt=0, description="Largest size of the model's files.")
