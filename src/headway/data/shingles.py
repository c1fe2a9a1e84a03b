"""The passages of a text: hashes of runs of bytes, sampled by the bytes themselves, so that a passage is recognised at any place.

A text has no rows: a document may grow, and by position a part may begin anywhere. What a model has learnt from is therefore kept as
shingles (Broder 1997, "On the resemblance and containment of documents"): of all runs of WINDOW bytes, one in ONE_IN, chosen by its hash.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from headway.columns.mixing import spread

WINDOW = 48
"""Bytes of a run: shorter ones are phrases that every text has, longer ones miss passages that were changed a little."""

ONE_IN = 64
BASE = np.uint64(0x100000001B3)
CHUNK = 1 << 20
"""Bytes hashed at once."""


def shingles(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where the sampled runs begin, (M,) int64, and their hashes, (M,) uint64.

    Every text has at least one: a text shorter than a run is one; of a short text without a sampled run, the lowest hash is taken.
    """
    if len(text) <= WINDOW:
        return np.zeros(1, np.int64), _hashes(np.frombuffer(text.ljust(WINDOW, b"\0"), np.uint8))
    content = np.frombuffer(text, np.uint8)
    starts, hashes_of_starts = [], []
    for first in range(0, len(content) - WINDOW + 1, CHUNK):
        hashes = _hashes(content[first : first + CHUNK + WINDOW - 1])
        places = np.flatnonzero(hashes % np.uint64(ONE_IN) == 0)
        if not len(places) and len(content) <= CHUNK:
            places = np.array([hashes.argmin()])
        starts.append(first + places)
        hashes_of_starts.append(hashes[places])
    return np.concatenate(starts), np.concatenate(hashes_of_starts)


def _hashes(content: np.ndarray) -> np.ndarray:
    """(N - WINDOW + 1,) uint64: a polynomial of each run's bytes, modulo 2^64."""
    count = len(content) - WINDOW + 1
    total = np.zeros(count, np.uint64)
    for shift in range(WINDOW):
        total *= BASE
        total += content[shift : shift + count]
    return spread(total)


def all_shingles(texts: Iterable[str]) -> np.ndarray:
    """The hashes of many texts, (M,) uint64."""
    hashes = [shingles(text.encode())[1] for text in texts]
    return np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
