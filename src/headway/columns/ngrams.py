"""A text as the words, pairs of words and short runs of letters in it, each with a weight: TF-IDF over hashed n-grams.

Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval"; Weinberger et al. 2009, "Feature Hashing for Large Scale
Multitask Learning" (arXiv:0902.2206). A feature is a number that a text's part hashes to, so there is no vocabulary to keep. The hash is
our own, in a few whole-array operations: it does not change with a library, and a million characters cost a tenth of a second.

Shapes: N rows, T characters of all rows, G n-grams of all rows, V features of a column, P pairs of a row and a feature in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.base import Fitter, RaggedEncoding
from headway.columns.config import NgramsConfig, PrepareConfig
from headway.columns.ragged import Ragged
from headway.columns.words import is_spaceless, plain_words, without

WEIGHTED = np.dtype([("feature", "<i4"), ("weight", "<f4")])
"""A feature's number, of which 0 is padding, and its weight in the row."""

RUNS = (3, 4)
"""Characters in a run, with the spaces at a word's ends; 2 and 5 add time, and no accuracy on banking77."""

LENGTH = 4.0
"""The norm of a row's words, and of its runs, by which the default penalty of a linear model suits them. Measured on banking77 and
sms_spam: 2 has a log loss of .454 and .043, 4 of .355 and .030, 8 of .321 and .026, with equal accuracy; larger ones fit noise more."""

CHARACTERS_AT_ONCE = 1 << 20

SPACE = ord(" ")
ODD = 0xD6E8FEB86659FD93
"""The base of the polynomial hash: odd, so that it has an inverse modulo 2^64."""


@dataclass(frozen=True)
class Ngrams(RaggedEncoding):
    """``frequencies`` (V,): of how many of ``rows`` training rows a feature stands in; ``words`` of them are of words, the rest of runs.

    ``most``: characters that count. ``apart``: whether letters of scripts without spaces are words.
    """

    words: int
    most: int
    rows: int
    frequencies: tuple[int, ...]
    apart: bool = False

    group: ClassVar[str] = "ngrams"

    def kind_name(self) -> str:
        return "text"

    @property
    def vocabulary(self) -> int:
        """The features, and the padding."""
        return len(self.frequencies) + 1

    @property
    def token_type(self) -> np.dtype[Any]:
        return WEIGHTED

    @cached_property
    def _rarity(self) -> np.ndarray:
        """(V + 1,): the smooth inverse document frequency of each feature by its number."""
        frequencies = np.array([0, *self.frequencies])
        return np.log((1 + self.rows) / (1 + frequencies)) + 1

    @cached_property
    def _is_known(self) -> np.ndarray:
        """(V + 1,) bool: features that training shows; others would have no learnt weight."""
        return np.array([0, *self.frequencies]) > 0

    def ragged(self, column: pa.Array, missing: tuple[str, ...] = ()) -> Ragged:
        """Of each row the features that it holds, by number. Every row's weights depend on that row alone."""
        runs = len(self.frequencies) - self.words
        counted = features_of(without(column, missing), self.words, runs, self.most, self.apart)
        blocks = [self._weighted(rows, features, counts, n) for rows, features, counts, n in counted]
        values = np.concatenate([np.empty(0, WEIGHTED), *(block.values for block in blocks)])
        lengths = np.concatenate([np.zeros(1, np.int64), *(block.lengths for block in blocks)])
        return Ragged(values, np.cumsum(lengths))

    def _weighted(self, rows: np.ndarray, features: np.ndarray, counts: np.ndarray, n: int) -> Ragged:
        is_frequent = self._is_known[features]
        rows, features, counts = rows[is_frequent], features[is_frequent], counts[is_frequent]
        weights = (1 + np.log(counts)) * self._rarity[features]
        part = 2 * rows + (features > self.words)
        norms = np.sqrt(np.bincount(part, weights**2, minlength=2 * n))
        values = np.empty(len(rows), WEIGHTED)
        values["feature"], values["weight"] = features, LENGTH * weights / norms[part]
        return Ragged(values, np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))]).astype(np.int64))


class NgramsFitter(Fitter):
    """In how many rows each feature stands."""

    def __init__(self, name: str, config: PrepareConfig) -> None:
        self._name, self._config = name, config.ngrams
        self._frequencies = np.zeros(self._config.words + self._config.characters, np.int64)
        self._rows = 0
        self._apart = False

    def block(self, column: pa.Array, labels: pa.Array) -> tuple[int, np.ndarray, bool]:
        """How many rows there are, (V,) in how many of them each feature stands, and whether some are of a script without spaces."""
        config: NgramsConfig = self._config
        frequencies, apart = np.zeros_like(self._frequencies), is_spaceless(column)
        for _, features, _, _ in features_of(column, config.words, config.characters, config.most, apart):
            frequencies += np.bincount(features, minlength=len(frequencies) + 1)[1:]
        return len(column), frequencies, apart

    def add(self, partial: tuple[int, np.ndarray, bool]) -> None:
        self._rows += partial[0]
        self._frequencies += partial[1]
        self._apart |= partial[2]

    def to_json(self) -> dict[str, object]:
        return {"rows": self._rows, "frequencies": self._frequencies.tolist(), "apart": self._apart}

    def take(self, values: Mapping[str, Any]) -> None:
        self._rows, self._frequencies = values["rows"], np.array(values["frequencies"], np.int64)
        self._apart = values["apart"]

    def finish(self) -> Ngrams | None:
        """None where no row holds a text."""
        if not self._frequencies.any():
            return None
        config = self._config
        return Ngrams(self._name, config.words, config.most, self._rows, tuple(self._frequencies.tolist()), self._apart)


Counted = tuple[np.ndarray, np.ndarray, np.ndarray, int]
"""Rows (P,), features (P,) and counts (P,), by row and feature, of so many rows."""


def features_of(column: pa.Array, words: int, runs: int, most: int, apart: bool) -> Iterator[Counted]:
    """How often each row holds each feature, some rows at a time: 1 to ``words`` for words and pairs of words, then those of runs."""
    texts = pc.binary_join_element_wise(" ", plain_words(pc.utf8_slice_codeunits(column, 0, most), apart), " ", "")
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    blocks = np.cumsum(lengths) // CHARACTERS_AT_ONCE
    starts = [*np.flatnonzero(np.diff(blocks, prepend=-1)).tolist(), len(column)]
    for start, end in pairwise(starts):
        yield _counted(texts.slice(start, end - start), lengths[start:end], words, runs)


def _counted(texts: pa.Array, lengths: np.ndarray, words: int, runs: int) -> Counted:
    """Of texts that begin and end with a space and have one between words."""
    letters_T = np.frombuffer("".join(texts.to_pylist()).encode("utf-32-le"), np.uint32)
    row_T = np.repeat(np.arange(len(texts)), lengths)
    hashes = _Hashes(letters_T)
    space_T = letters_T == SPACE
    parts = []
    if words:
        first, end = np.flatnonzero(space_T[:-1] & ~space_T[1:]) + 1, np.flatnonzero(~space_T[:-1] & space_T[1:]) + 1
        follows = row_T[first[:-1]] == row_T[first[1:]]
        spans = [(first, end), (first[:-1][follows], end[1:][follows])]
        parts += [(row_T[start], 1 + hashes.of(start, stop) % np.uint64(words)) for start, stop in spans]
    for size in RUNS if runs else ():
        start = np.arange(max(0, len(letters_T) - size + 1))
        spaces = np.concatenate([[0], np.cumsum(space_T)])
        start = start[spaces[start + size - 1] == spaces[start + 1]]  # within a word
        parts.append((row_T[start], 1 + np.uint64(words) + hashes.of(start, start + size) % np.uint64(runs)))
    rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in parts)])
    features = np.concatenate([np.empty(0, np.int64), *(features.astype(np.int64) for _, features in parts)])
    width = words + runs + 1
    pairs, counts = np.unique(rows * width + features, return_counts=True)
    return pairs // width, pairs % width, counts, len(texts)


class _Hashes:
    """Hashes of any pieces of a text, from the sums of its letters times powers of a base, modulo 2^64 (Karp and Rabin 1987)."""

    def __init__(self, letters_T: np.ndarray) -> None:
        places = len(letters_T) + 1
        self._back = _powers(pow(ODD, -1, 2**64), places)
        terms = _mixed(letters_T.astype(np.uint64)) * _powers(ODD, places)[:-1]
        self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])

    def of(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(G,) uint64, of the letters from each start to before its end."""
        return _mixed((self._sums[ends] - self._sums[starts]) * self._back[starts])


def _powers(base: int, count: int) -> np.ndarray:
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Every bit depends on all others: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
