"""A language model on the untouched test text, by blocks of neighbouring bytes.

Tokens of different tokenizers are not comparable, bytes are: the metric that decides is bits a byte, and every model's nats are summed
over the same blocks of the same text. Neighbouring tokens are not independent; blocks of some hundred bytes nearly are, so that they are
what is resampled. Shapes: N tokens, K blocks, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headway.evaluate.resample import interval

BLOCK_BYTES = 512
METRICS = ("bits_per_byte", "loss", "perplexity")


@dataclass(frozen=True)
class Blocks:
    """(K,) sums over the blocks of a text: nats, tokens and bytes."""

    nats: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray

    @classmethod
    def of(cls, losses: np.ndarray, lengths: np.ndarray) -> Blocks:
        """From the nats of each token but the first (N - 1,), and the bytes of all (N,)."""
        begins, lengths = np.cumsum(lengths)[:-1], lengths[1:]
        block = (begins // BLOCK_BYTES).astype(np.int64)
        blocks = int(block[-1]) + 1
        return cls(
            np.bincount(block, losses, blocks),
            np.bincount(block, minlength=blocks).astype(float),
            np.bincount(block, lengths, blocks),
        )

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric (R,) under weights (R, K)."""
        nats, tokens, size = (weights @ x for x in (self.nats, self.tokens, self.bytes))
        return {"bits_per_byte": nats / size / math.log(2), "loss": nats / tokens, "perplexity": np.exp(nats / tokens)}


def weights_of(blocks: int, resamples: int, seed: int = 0) -> np.ndarray:
    """(R, K): how often each block is drawn."""
    return np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), resamples).astype(float)


def measure(blocks: Blocks, resamples: int) -> dict[str, dict[str, float | None]]:
    """Value, low and high of each metric; the bootstrap's 95 % interval."""
    values = blocks.metrics(np.ones((1, len(blocks.nats))))
    drawn = blocks.metrics(weights_of(len(blocks.nats), resamples))
    found: dict[str, dict[str, float | None]] = {}
    for name in METRICS:
        low, high = interval(drawn[name])
        found[name] = {"value": float(values[name][0]), "low": low, "high": high}
    return found


def difference(a: Blocks, b: Blocks, resamples: int, metric: str = "bits_per_byte") -> tuple[float, float, float]:
    """How much better ``a`` is than ``b``, low and high of its paired interval; positive is better."""
    count = min(len(a.nats), len(b.nats))
    one, weights = np.ones((1, count)), weights_of(count, resamples)
    a, b = (Blocks(x.nats[:count], x.tokens[:count], x.bytes[:count]) for x in (a, b))
    low, high = interval(b.metrics(weights)[metric] - a.metrics(weights)[metric])
    value = float(b.metrics(one)[metric][0] - a.metrics(one)[metric][0])
    return value, math.nan if low is None else low, math.nan if high is None else high


def evaluate(
    model: Blocks,
    baselines: Mapping[str, Blocks],
    champion: tuple[str, Blocks] | None,
    seconds: Mapping[str, float],
    resamples: int,
) -> dict[str, Any]:
    """Everything that is measured, as one JSON value in the shape of a table's evaluation."""
    measured = {name: measure(blocks, resamples) for name, blocks in baselines.items()}
    return {
        "task": "language",
        "primary": "bits_per_byte",
        "rows": int(model.tokens.sum()),
        "metrics": measure(model, resamples),
        "baselines": {name: {"metrics": m, "seconds": seconds.get(name)} for name, m in measured.items()},
        "champion": None if champion is None else {"version": champion[0], "metrics": measure(champion[1], resamples)},
        "slices": {},
        "calibration": [],
        "reference": None,
        "earns_its_keep": _earns(model, baselines, resamples),
    }


def _earns(model: Blocks, baselines: Mapping[str, Blocks], resamples: int) -> dict[str, Any]:
    one = {name: float(b.metrics(np.ones((1, len(b.nats))))["bits_per_byte"][0]) for name, b in baselines.items()}
    best = min(one, key=lambda name: one[name])
    value, low, high = difference(model, baselines[best], resamples)
    outcome = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
    found = f"bits a byte {one[best] - value:.4f} against {one[best]:.4f}, difference {value:+.4f} [{low:+.4f}, {high:+.4f}]"
    text = {
        "better": f"gpt earns its keep: better than the best baseline, {best} ({found})",
        "worse": f"gpt does not earn its keep: the baseline {best} is better ({found})",
        "not distinguishable": f"gpt does not earn its keep: no better than the baseline {best} ({found})",
    }[outcome]
    verdict = {
        "verdict": outcome == "better",
        "outcome": outcome,
        "baseline": best,
        "difference": value,
        "low": low,
        "high": high,
    }
    return {**verdict, "text": text}
