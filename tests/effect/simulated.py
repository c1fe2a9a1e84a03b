"""A bench whose truth is known: times are drawn, nothing is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headway.effect.lab import Session
from headway.effect.station import Unsupported
from headway.effect.technique import Setting
from headway.effect.trainers import Job
from headway.train.recipe import Recipe

BASE = Recipe(
    residence="loader",
    optimizer_kernel="plain",
    precision="fp32",
    threads=2,
    keep_memory=False,
    compile="none",
    cuda_graphs=False,
    record=False,
    epochs=8,
    batch_size=64,
)


def setting(**changes: Any) -> Setting:
    """A laptop: two cores, no GPU."""
    recipe = changes.pop("recipe", BASE)
    plain: dict[str, Any] = {
        "model": "mlp",
        "task": "classification",
        "rows": 6400,
        "counts": 6400,
        "device": "cpu",
        "cores": 2,
    }
    return Setting(recipe=recipe, **{**plain, **changes})


@dataclass
class Simulated:
    """``cost``: the seconds of a row by recipe; ``quality``: what a training ends with, and ``half``: epochs to half of it."""

    cost: Callable[[Mapping[str, Any]], float] = lambda recipe: 1e-4
    quality: Callable[[Mapping[str, Any]], float] = lambda recipe: 0.9
    half: Callable[[Mapping[str, Any]], float] = lambda recipe: 1.0
    noise: float = 0.1
    life: float = 0.0
    """How much one process is faster or slower than another of the same program, for all of its life."""
    cannot: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    questions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def _times(self, variant: Mapping[str, Any], count: int) -> np.ndarray:
        """Noise with a heavy tail to both sides, as a machine with neighbours has."""
        drawn = self._rng.standard_t(3, count) * self.noise / math.sqrt(3)
        return self.cost(variant["recipe"]) * (1 + variant.get("slower", 0.0)) * np.exp(drawn)

    def compare(
        self,
        first: Mapping[str, Any],
        second: Mapping[str, Any],
        blocks: int,
        limit: float | None = None,
        swapped: bool = False,
    ) -> Session:
        """As a lab."""
        for name, value in self.cannot.items():
            if second["recipe"].get(name) == value:
                raise Unsupported(f"cannot do {value}")
        self.questions.append("compare")
        times = np.stack([self._times(v, blocks) for v in (first, second, second, first)], 1)
        times *= np.exp(self._rng.normal(0, self.life, 2))[[0, 1, 1, 0]]
        return Session(times, (0.1, 0.1), (100.0, 90.0), None, 0.2 * blocks)

    def compare_all(
        self, first: Mapping[str, Any], seconds: Mapping[str, Mapping[str, Any]], *arguments: Any, **named: Any
    ) -> dict[str, Session | Unsupported]:
        """As a lab; each variant beside a first of its own."""
        answers: dict[str, Session | Unsupported] = {}
        for key, second in seconds.items():
            try:
                answers[key] = self.compare(first, second, *arguments, **named)
            except Unsupported as error:
                answers[key] = error
        return answers

    def train(self, jobs: Iterator[Job]) -> Iterator[tuple[str, dict[str, Any] | Unsupported]]:
        """As a lab, one after the other."""
        for job in jobs:
            try:
                yield job.key, self.ask(job.variant, "train", seed=job.seed, epochs=job.epochs)
            except Unsupported as error:
                yield job.key, error

    def ask(self, variant: Mapping[str, Any], what: str, **values: Any) -> dict[str, Any]:
        """As a lab."""
        self.questions.append(what)
        if what == "breakdown":
            return {"batches": 2e-3, "forward": 2e-3, "backward": 4e-3, "optimizer": 2e-3}
        if what == "steps":
            return {"seconds": 1e-4 * values["count"] * 64, "count": values["count"] * 64}
        if what == "losses":
            return {"losses": [0.6] * values["count"]}
        if what == "quality":
            return {"value": 0.0, "low": -0.0001, "high": 0.0001}
        for name, value in self.cannot.items():
            if variant["recipe"].get(name) == value:
                raise Unsupported(f"cannot do {value}")
        rng = np.random.default_rng(values["seed"])
        best, half = self.quality(variant["recipe"]) + 0.002 * rng.normal(), self.half(variant["recipe"])
        epochs = np.arange(1, values["epochs"] + 1)
        quality = best * (1 - 0.5 ** (epochs / half + 1))
        return {
            "passes": epochs.tolist(),
            "quality": quality.tolist(),
            "loss": (1 - quality).tolist(),
            "seconds": float(values["epochs"]),
            "diverged": False,
        }
