"""What a training minimises: the loss with its parameters, and the scale on which a number is learnt. Kept with the target in a bundle.

A loss with a log link (poisson, gamma, tweedie) has outputs that are the logarithm of the expected value; the other losses have outputs
on the target's own scale, or on its logarithm.
McCullagh and Nelder 1989, "Generalized Linear Models", chapter 2; Koenker and Bassett 1978, "Regression Quantiles".

Shapes: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from headway.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Scale = Literal["linear", "log", "log1p"]

LOG_LINKS = ("poisson", "gamma", "tweedie")
"""Losses whose outputs are the logarithm of the expected value."""

LEAST: dict[str, tuple[float, bool]] = {
    "poisson": (0.0, True),
    "gamma": (0.0, False),
    "tweedie": (0.0, True),
    "log": (0.0, False),
    "log1p": (-1.0, False),
}
"""The least target that a loss or a scale takes, and whether that value itself is taken."""

WITH_ZEROS = {"gamma": "train.loss tweedie", "log": "train.target_scale log1p"}
"""What takes 0 in place of one that does not."""


@dataclass(frozen=True)
class Objective:
    """``center`` and ``spread`` are fitted to the training rows: of the target on its scale, or the logarithm of its mean and 1."""

    loss: str = "auto"
    scale: Scale = "linear"
    quantile: float = 0.5
    delta: float = 1.0
    power: float = 1.5
    gamma: float = 2.0
    center: float = 0.0
    spread: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether it is what a task minimises where nothing is stated."""
        return self.loss in ("auto", "mse", "cross_entropy") and self.scale == "linear"

    @property
    def has_log_link(self) -> bool:
        """Whether outputs are the logarithm of the expected value."""
        return self.loss in LOG_LINKS

    def fitted(self, values: np.ndarray) -> Objective:
        """For these values (N,) of the training rows. Raises DataError where they cannot be learnt so."""
        if self.loss == "focal":  # of classes
            return self
        self.refuse_unfit(values)
        if self.has_log_link:
            mean = float(np.mean(values))
            if mean <= 0:
                raise DataError(f"{self.loss} needs a target with values above 0, but every training row has 0")
            return replace(self, center=float(np.log(mean)), spread=1.0)
        values = self.on_scale(values)
        return replace(self, center=float(np.mean(values)), spread=float(np.std(values)) or 1.0)

    def refuse_unfit(self, values: np.ndarray) -> None:
        """Raise DataError where some values (N,) are ones that the loss or the scale cannot have."""
        for name, what in ((self.loss, self.loss), (self.scale, f"train.target_scale {self.scale}")):
            if name not in LEAST:
                continue
            least, itself = LEAST[name]
            count = int((values < least).sum() if itself else (values <= least).sum())
            if count:
                fact = "negative" if itself else f"at most {least:g}"
                bound = "of at least" if itself else "above"
                rows = "1 row is" if count == 1 else f"{count:,} rows are"
                fix = f"; {WITH_ZEROS[name]} takes 0" if name in WITH_ZEROS and values.min() == 0 else ""
                raise DataError(f"{what} needs a target {bound} {least:g}, but {rows} {fact}{fix}")

    def on_scale(self, values: np.ndarray) -> np.ndarray:
        """Values as a model learns them, before they are standardised."""
        values = np.asarray(values, np.float64)
        return {"linear": lambda x: x, "log": np.log, "log1p": np.log1p}[self.scale](values)

    def off_scale(self, values: np.ndarray) -> np.ndarray:
        """Back in the target's own unit."""
        return {"linear": lambda x: x, "log": np.exp, "log1p": np.expm1}[self.scale](values)

    def before_link(self, values: np.ndarray) -> np.ndarray:
        """Predictions in the target's own unit on the scale of a model's outputs."""
        return np.log(np.asarray(values, np.float64)) if self.has_log_link else self.on_scale(values)

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """(N,) float32: the target as a network's loss takes it; with a log link, in units of its mean."""
        if self.has_log_link:
            return (np.asarray(values) / np.exp(self.center)).astype(np.float32)
        return ((self.on_scale(values) - self.center) / self.spread).astype(np.float32)

    def restored(self, decoded: np.ndarray) -> np.ndarray:
        """(N,) float64: decoded predictions in the target's own unit."""
        decoded = np.asarray(decoded, np.float64)
        if self.has_log_link:
            return decoded * np.exp(self.center)
        return self.off_scale(decoded * self.spread + self.center)


PLAIN = Objective()
"""What a task minimises where nothing is stated."""


def weighted_mean(losses: Tensor, weight: Tensor | None) -> Tensor:
    """Of rows' losses (N,); without weights, each counts the same."""
    return losses.mean() if weight is None else (losses * weight).sum() / weight.sum()
