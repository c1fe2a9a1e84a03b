"""How often each text of a column occurs: exactly up to a number of different texts; beyond, for the most frequent, a lower bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from headway.columns import hashes
from headway.columns.siphash import hash_texts

EXACT_VALUES = 100_000
"""Distinct values counted exactly; beyond, the most frequent stay and the number of distinct ones is estimated."""

PENDING = 1 << 16
"""Counts of blocks are added up when there are so many, and more than twice as many as there are values."""


_TEXTS = pa.large_string()
"""Of which more than 2 GB can be put together."""


class Frequencies:
    """Counts of texts, as arrays, so that a block's are added without a Python object for each.

    The counts of blocks wait in ``_parts`` until they are asked for or many: then equal texts are added up, in the order of their first
    rows. ``is_exact``: whether every text is there.
    """

    def __init__(self) -> None:
        self.is_exact = True
        self._hashes = hashes.NO_HASHES
        self._values, self._counts = pa.array([], _TEXTS), np.zeros(0, np.int64)
        self._parts: list[tuple[pa.Array, np.ndarray]] = []
        self._pending = 0

    @classmethod
    def of(cls, values: pa.Array, counts: np.ndarray) -> Frequencies:
        """Of one block: different texts, and how often each occurs."""
        one = cls()
        one._values, one._counts = values.cast(_TEXTS), counts
        return one

    def merge(self, other: Frequencies) -> None:
        """Add the counts of another column's part."""
        if not self.is_exact or not other.is_exact:
            self._add_up()
            mine, theirs = (one._hashes if len(one._hashes) else one._all_hashes() for one in (self, other))
            self._hashes, self.is_exact = hashes.merged(mine, theirs), False
        self._parts += [(other._values, other._counts), *other._parts]
        self._pending += len(other._values) + other._pending
        if self._pending > max(PENDING, 2 * len(self._values)):
            self._add_up()

    def _all_hashes(self) -> np.ndarray:
        self._add_up_parts()
        return hashes.smallest(hash_texts(self._values)) if len(self._values) else hashes.NO_HASHES

    def _add_up(self) -> None:
        """Let no counts wait. Where the texts are too many, only the more frequent half of those that can be counted stays."""
        self._add_up_parts()
        if len(self._values) > EXACT_VALUES:
            if self.is_exact:
                self._hashes, self.is_exact = self._all_hashes(), False
            most = np.sort(np.argsort(-self._counts, kind="stable")[: EXACT_VALUES // 2])
            self._values, self._counts = self._values.take(pa.array(most)), self._counts[most]

    def _add_up_parts(self) -> None:
        if not self._parts:
            return
        parts = [(self._values, self._counts), *self._parts]
        coded = pa.concat_arrays([values for values, _ in parts]).dictionary_encode()
        counts = np.concatenate([counts for _, counts in parts])
        self._counts = np.bincount(coded.indices.to_numpy(), counts, len(coded.dictionary)).astype(np.int64)
        self._values, self._parts, self._pending = coded.dictionary, [], 0

    def counts(self) -> dict[str, int]:
        """How often each text occurs, the most frequent first, ties by name."""
        self._add_up()
        table = pa.table({"value": self._values, "count": self._counts})
        ordered = table.sort_by([("count", "descending"), ("value", "ascending")])
        return dict(zip(ordered["value"].to_pylist(), ordered["count"].to_pylist(), strict=True))

    def most_common(self, most: int) -> list[tuple[str, int]]:
        """The most frequent texts and their counts, ties by name."""
        self._add_up()
        if len(self._counts) > most:
            least = np.partition(self._counts, -most)[-most]
            places = np.flatnonzero(self._counts >= least)
        else:
            places = np.arange(len(self._counts))
        pairs = zip(self._values.take(pa.array(places)).to_pylist(), self._counts[places].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:most]

    @property
    def distinct(self) -> int:
        """The number of different texts; an estimate where they are too many to count."""
        self._add_up()
        return len(self._values) if self.is_exact else hashes.estimate(self._hashes)

    def to_json(self, heavy: int | None) -> dict[str, object]:
        """As plain values. Where not every text is counted, the ``heavy`` most frequent of them; None keeps all that are counted."""
        self._add_up()
        counts = self.counts()
        some = counts if heavy is None else dict(list(counts.items())[:heavy])
        packed = {"hashes": hashes.pack(self._hashes)}
        return {"values": counts, "heavy": {}, **packed} if self.is_exact else {"values": None, "heavy": some, **packed}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Frequencies:
        """What to_json gave."""
        counts = values["heavy"] if values["values"] is None else values["values"]
        one = cls.of(pa.array(list(counts), pa.string()), np.array(list(counts.values()), np.int64))
        one.is_exact, one._hashes = values["values"] is not None, hashes.unpack(values["hashes"])
        return one
