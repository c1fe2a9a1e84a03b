"""Text as one 0/1 column for each of the words that separate the classes most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.base import Encoding, Fitter, Prepared
from headway.columns.config import PrepareConfig

KEPT_WORDS = 200_000
"""Counts of more different words are not kept for a later fit."""


SPACELESS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Letters of scripts that have no spaces between words. Each counts as a word, so that pairs of words are runs of two letters."""


@dataclass(frozen=True)
class Words(Encoding):
    """A text column: one 0/1 column for each of ``words``. ``apart``: whether letters of scripts without spaces are words."""

    words: tuple[str, ...]
    apart: bool = False

    group: ClassVar[str] = "texts"

    def kind_name(self) -> str:
        return "text"

    def outputs(self) -> Sequence[Prepared]:
        return [Prepared(f"{self.column}: {word}") for word in self.words]

    def apply(self, column: pa.Array, missing: tuple[str, ...] = (), strict: bool = False) -> Sequence[np.ndarray]:
        rows, tokens = tokens_of(without(column, missing), self.apart)
        hits = pc.index_in(tokens, value_set=pa.array(self.words, pa.string()))
        is_present = pc.is_valid(hits).to_numpy(zero_copy_only=False)
        present = np.zeros((len(self.words), len(column)), np.bool_)
        present[hits.drop_null().to_numpy(zero_copy_only=False), rows[is_present]] = True
        return list(present)


def without(column: pa.Array, missing: tuple[str, ...]) -> pa.Array:
    """Null for a text that is only a word for null, as in a CSV, which has no null of its own."""
    words = pc.is_in(column, value_set=pa.array(missing, pa.string()))
    return pc.if_else(words, pa.scalar(None, pa.string()), column) if pc.any(words).as_py() else column


def is_spaceless(column: pa.Array) -> bool:
    """Whether a text has letters of a script without spaces."""
    return bool(pc.any(pc.match_substring_regex(column, SPACELESS)).as_py())


def plain_words(column: pa.Array, apart: bool) -> pa.Array:
    """Lower-case letters and digits with one space between words; empty for null."""
    letters = pc.utf8_lower(pc.fill_null(column, ""))
    if apart:
        letters = pc.replace_substring_regex(letters, f"({SPACELESS})", r" \1 ")
    words = pc.replace_substring_regex(letters, r"[^\pL\pN]+", " ")
    return pc.utf8_trim_whitespace(words)


def tokens_of(column: pa.Array, apart: bool) -> tuple[np.ndarray, pa.Array]:
    """Lower-case words of each row: row numbers (T,) and the words (T,)."""
    lists = pc.split_pattern(plain_words(column, apart), " ")
    return pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists)


@dataclass(frozen=True)
class _WordsOfBlock:
    """``pairs``: how many rows of each class hold each word; ``classes``: how many rows each class has."""

    pairs: pa.Table
    classes: pa.Array
    apart: bool


class WordsFitter(Fitter):
    """Counts the rows of each class in which each word occurs."""

    def __init__(self, name: str, config: PrepareConfig) -> None:
        self._name, self._config = name, config
        self._rows: Counter[str] = Counter()
        self._by_word: dict[str, Counter[str]] = {}
        self._apart = False

    def block(self, column: pa.Array, labels: pa.Array) -> _WordsOfBlock | None:
        """None where no words are asked for."""
        if not self._config.words:
            return None
        apart = is_spaceless(column)
        rows, tokens = tokens_of(column, apart)
        pairs = pa.table({"row": rows, "word": tokens, "label": labels.take(pa.array(rows))})
        pairs = (
            pairs.group_by(["row", "word", "label"], use_threads=False)
            .aggregate([])
            .group_by(["word", "label"], use_threads=False)
            .aggregate([([], "count_all")])
        )
        return _WordsOfBlock(pairs, pc.value_counts(labels), apart)

    def add(self, partial: _WordsOfBlock | None) -> None:
        if partial is None:
            return
        pairs, classes = partial.pairs, partial.classes
        self._apart |= partial.apart
        for word, label, n in zip(*(pairs.column(c).to_pylist() for c in ("word", "label", "count_all")), strict=True):
            if word:
                self._by_word.setdefault(word, Counter())[str(label)] += n
        for label, n in zip(*(classes.field(i).to_pylist() for i in (0, 1)), strict=True):
            self._rows[str(label)] += n

    def to_json(self) -> dict[str, object] | None:
        if len(self._by_word) > KEPT_WORDS:
            return None
        words = {word: dict(counts) for word, counts in self._by_word.items()}
        return {"rows": dict(self._rows), "words": words, "apart": self._apart}

    def take(self, values: Mapping[str, Any]) -> None:
        self._rows = Counter(values["rows"])
        self._by_word = {word: Counter(counts) for word, counts in values["words"].items()}
        self._apart = values["apart"]

    def finish(self) -> Words | None:
        """None where the project's setting is 0 words."""
        return Words(self._name, self._best(), self._apart) if self._config.words else None

    def _best(self) -> tuple[str, ...]:
        """The words that separate the classes most, by Pearson's chi-squared; with one class, the most frequent."""
        words = [w for w, counts in self._by_word.items() if counts.total() >= self._config.min_count]
        if not words:
            return ()
        labels = list(self._rows)
        total = np.array([self._rows[label] for label in labels], float)
        occurrences = np.array([[self._by_word[w][label] for label in labels] for w in words], float)
        expectation = occurrences.sum(1, keepdims=True) * (total / total.sum())
        absent = total - occurrences
        expected_unseen = total - expectation
        score = ((occurrences - expectation) ** 2 / expectation).sum(1)
        score += ((absent - expected_unseen) ** 2 / np.maximum(expected_unseen, 1e-12)).sum(1)
        if len(labels) == 1:
            score = occurrences.sum(1)
        order = sorted(range(len(words)), key=lambda i: (-score[i], words[i]))[: self._config.words]
        return tuple(words[i] for i in order)
