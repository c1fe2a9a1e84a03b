"""A language model on the untouched test text, by documents, or by blocks of neighbouring bytes of one long text.

Tokens of different tokenizers are not comparable, bytes are: the metric that decides is bits a byte, and every model's nats are summed
over the same blocks of the same text. Neighbouring tokens are not independent. Documents are; of one long text, blocks of some
hundred bytes nearly are. They are what is resampled. Shapes: N tokens, K blocks, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headway.data.learnt import ENOUGH, Learnt
from headway.data.shingles import shingles
from headway.evaluate.resample import Units, draw_weights, interval
from headway.evaluate.standing import Standing
from headway.evaluate.studentised import widened

BLOCK_BYTES = 512

METRICS = ("bits_per_byte", "loss", "perplexity")


@dataclass(frozen=True)
class Blocks:
    """(K,) sums over the blocks of a text: nats, tokens and bytes."""

    nats: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray

    @classmethod
    def of(cls, losses: np.ndarray, lengths: np.ndarray, documents: Sequence[int] = ()) -> Blocks:
        """From the nats of each token but the first (N - 1,), and the bytes of all (N,).

        ``documents``: how many tokens each has, where they are the blocks (see `by_document`).
        """
        if len(documents):
            block, blocks = np.repeat(np.arange(len(documents)), documents)[1:], len(documents)
        else:
            block = (np.cumsum(lengths)[:-1] // BLOCK_BYTES).astype(np.int64)
            blocks = int(block[-1]) + 1
        return cls(
            np.bincount(block, losses, blocks),
            np.bincount(block, minlength=blocks).astype(float),
            np.bincount(block, lengths[1:], blocks),
        )

    def take(self, rows: np.ndarray) -> Blocks:
        """Some of the blocks: (K,) bool."""
        return Blocks(self.nats[rows], self.tokens[rows], self.bytes[rows])

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric (R,) under weights (R, K)."""
        nats, tokens, size = (weights @ x for x in (self.nats, self.tokens, self.bytes))
        return {"bits_per_byte": nats / size / math.log(2), "loss": nats / tokens, "perplexity": np.exp(nats / tokens)}


def by_document(documents: int) -> bool:
    """Whether documents are the blocks of a test: wherever there are several, however few. One text is cut into blocks of bytes."""
    return documents > 1


def units_of(blocks: Blocks, documents: int, whole: bool) -> Units:
    """What is resampled of a test of so many documents. ``whole``: whether it is whole ones, not a piece of one long text."""
    if by_document(documents):
        return Units("document", len(blocks.nats))
    if whole:
        return Units("document", documents)
    note = f"the test is one text, so its blocks of {BLOCK_BYTES} bytes are resampled as if independent"
    return Units("block", len(blocks.nats), None, note)


def weights_of(blocks: int, resamples: int, seed: int = 0) -> np.ndarray:
    """(R, K): how often each block is drawn."""
    return np.concatenate(list(draw_weights(Units("block", blocks), resamples, seed)))


def _drawn(blocks: Blocks, resamples: int) -> dict[str, np.ndarray]:
    """(R,) draws of each metric."""
    chunks = [blocks.metrics(w) for w in draw_weights(Units("block", len(blocks.nats)), resamples, 0)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in METRICS}


def measure(blocks: Blocks, resamples: int) -> dict[str, dict[str, float | None]]:
    """Value, low and high of each metric; the bootstrap's 95 % interval."""
    values = blocks.metrics(np.ones((1, len(blocks.nats))))
    drawn = _drawn(blocks, resamples)
    measured: dict[str, dict[str, float | None]] = {}
    for name in METRICS:
        low, high = interval(drawn[name], len(blocks.nats))
        measured[name] = {"value": float(values[name][0]), "low": low, "high": high}
    return measured


def difference(a: Blocks, b: Blocks, resamples: int, metric: str = "bits_per_byte") -> tuple[float, float, float]:
    """How much better ``a`` is than ``b``, low and high of its paired interval; positive is better. NaN without blocks."""
    count = min(len(a.nats), len(b.nats))
    if not count:
        return (math.nan,) * 3
    a, b = a.take(np.arange(count)), b.take(np.arange(count))

    def apart(weights: np.ndarray) -> np.ndarray:
        return b.metrics(weights)[metric] - a.metrics(weights)[metric]

    value = float(apart(np.ones((1, count)))[0])
    low, high = interval(_drawn(b, resamples)[metric] - _drawn(a, resamples)[metric], count)
    low, high = widened(low, high, value, apart, np.arange(count), b.bytes, resamples, 0)
    return value, math.nan if low is None else low, math.nan if high is None else high


def unlearnt(documents: Sequence[str], blocks: int, learnt: Learnt) -> np.ndarray:
    """(K,) bool: the blocks of which a version has learnt at most half of the sampled passages.

    ``documents`` are those of the test, one after the other, cut into blocks as `Blocks.of` does. A block without a sampled passage
    is not used, unless many passages are sampled and none of them was learnt.
    """
    count, known = np.zeros(blocks), np.zeros(blocks)
    contents = [text.encode() for text in documents]
    whole = by_document(len(contents))
    start = 0
    for number, content in enumerate(contents):
        starts, hashes = shingles(content)
        at = np.full(len(starts), number) if whole else (start + starts) // BLOCK_BYTES
        at, seen = at.clip(max=blocks - 1), learnt.sampled(hashes)
        np.add.at(count, at[seen], 1)
        np.add.at(known, at[seen & learnt.contains(hashes)], 1)
        start += len(content)
    if not known.any() and (learnt.whole or count.sum() >= ENOUGH):
        return np.ones(blocks, bool)
    return (known <= count / 2) & (count > 0)


def evaluate(
    model: Blocks,
    baselines: Mapping[str, Blocks],
    units: Units,
    seconds: Mapping[str, float],
    resamples: int,
) -> dict[str, Any]:
    """Everything that is measured but the champion, as one JSON value in the shape of a table's evaluation."""
    measured = {name: measure(blocks, resamples) for name, blocks in baselines.items()}
    return {
        "task": "language",
        "primary": "bits_per_byte",
        "rows": int(model.tokens.sum()),
        "units": {"name": units.name, "count": units.count, "note": units.note},
        "metrics": measure(model, resamples),
        "baselines": {name: {"metrics": m, "seconds": seconds.get(name)} for name, m in measured.items()},
        "champion": None,
        "slices": {},
        "calibration": [],
        "reference": None,
        "earns_its_keep": _standing(model, baselines, resamples).to_json(),
    }


def _standing(model: Blocks, baselines: Mapping[str, Blocks], resamples: int) -> Standing:
    """The model beside the best of the counting baselines."""
    values = {name: float(b.metrics(np.ones((1, len(b.nats))))["bits_per_byte"][0]) for name, b in baselines.items()}
    best = min(values, key=lambda name: values[name])
    value, low, high = difference(model, baselines[best], resamples)
    numbers = f"bits a byte {values[best] - value:.4f} against {values[best]:.4f}, difference {value:+.4f} [{low:+.4f}, {high:+.4f}]"
    return Standing.of("gpt", best, numbers, value, low, high)
