"""A language model that only counts: what a network of any size must beat.

Interpolated with the weights of Witten and Bell 1991 ("The zero-frequency problem"): the more different tokens followed a context, the
more the shorter context counts. Shapes: N tokens, V vocabulary, n the tokens that a prediction looks at, itself included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_TOKENS = 3_000_000
"""Training tokens that are counted: beyond, a network gains and counts hardly do."""


@dataclass(frozen=True)
class Counts:
    """One length of context: how often each context came, how many different tokens followed, and each pair of the two."""

    contexts: np.ndarray
    times: np.ndarray
    followers: np.ndarray
    pairs: np.ndarray
    pair_times: np.ndarray


class NGram:
    """Counts of all lengths up to ``order``."""

    def __init__(self, tokens: np.ndarray, vocabulary: int, order: int) -> None:
        self.vocabulary, self.order = vocabulary, order
        tokens = np.asarray(tokens[:MOST_TOKENS]).astype(np.uint64)
        self._counts = [self._count(tokens, n) for n in range(1, order + 1)]

    def _count(self, tokens: np.ndarray, n: int) -> Counts:
        keys = _keys(tokens, n, self.vocabulary)
        pairs, pair_times = np.unique(keys, return_counts=True)
        before = _keys(tokens[:-1], n - 1, self.vocabulary) if n > 1 else np.zeros(len(tokens), np.uint64)
        first = np.unique(keys, return_index=True)[1]
        contexts, followers = np.unique(before[first], return_counts=True)
        _, times = np.unique(before, return_counts=True)
        return Counts(contexts, times, followers, pairs, pair_times)

    def losses(self, tokens: np.ndarray, order: int | None = None) -> np.ndarray:
        """(N - 1,) nats of each token but the first, from at most ``order - 1`` tokens before it."""
        tokens = np.asarray(tokens).astype(np.uint64)
        chances = np.full(len(tokens), 1.0 / self.vocabulary)
        for n, counts in enumerate(self._counts[: order or self.order], start=1):
            keys = _keys(tokens, n, self.vocabulary)
            before = _keys(tokens[:-1], n - 1, self.vocabulary) if n > 1 else np.zeros(len(tokens), np.uint64)
            pair = _look_up(counts.pairs, counts.pair_times, keys)
            times = _look_up(counts.contexts, counts.times, before)
            followers = _look_up(counts.contexts, counts.followers, before)
            shorter = chances[n - 1 :]
            total = times + followers
            chances[n - 1 :] = np.where(total > 0, (pair + followers * shorter) / np.maximum(total, 1), shorter)
        return -np.log(chances[1:])


def _keys(tokens: np.ndarray, n: int, vocabulary: int) -> np.ndarray:
    """(N - n + 1,) uint64: one number for each n neighbours; beyond 64 bits a hash, whose clashes are rarer than one in a billion."""
    keys = np.zeros(len(tokens) - n + 1, np.uint64)
    exact = vocabulary**n < 2**63
    factor, shift = np.uint64(vocabulary if exact else 0x9E3779B97F4A7C15), np.uint64(0 if exact else 1)
    for i in range(n):
        keys = keys * factor + tokens[i : len(tokens) - n + 1 + i] + shift
        if not exact:
            keys ^= keys >> np.uint64(29)
    return keys


def _look_up(keys: np.ndarray, values: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The values of the wanted keys, 0 for those that are not known."""
    at = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[at] == queries, values[at], 0)


def fit_ngram(
    train: np.ndarray, validation: np.ndarray, vocabulary: int, orders: Sequence[int] = (1, 2, 3, 4, 5, 6)
) -> tuple[NGram, int]:
    """Counts, and the order that predicts the validation best."""
    model = NGram(train, vocabulary, max(orders))
    return model, min(orders, key=lambda order: float(model.losses(validation, order).mean()))
