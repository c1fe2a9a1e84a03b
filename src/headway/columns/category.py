"""Categories: text, each value in its one spelling; prepared as codes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.base import ColumnType, Encoding, Fitter, Prepared, Suggestion
from headway.columns.codes import is_coded
from headway.columns.config import PrepareConfig
from headway.columns.counts import Counts, counts_of
from headway.columns.discrete import Discrete
from headway.columns.recognition import Guess, Specimen
from headway.columns.spelling import number_of, spelled, texts_of
from headway.columns.summary import Summary
from headway.columns.values import Place, not_single

UNKNOWN, MISSING, FIRST_CODE = 0, 1, 2
"""Codes of a category never (or too rarely) seen in training, of a null, and of the first known value."""

MOST_VALUES = 30
"""With more different values, `init` writes no expectation on them."""


KEPT_VALUES = 1_000_000
"""Counts of more different values are not kept for a later fit."""


@dataclass(frozen=True)
class Category(Encoding):
    """A categorical column: ``values`` have codes from 2 on, in order."""

    values: tuple[str, ...]
    numbers: bool = False
    """Whether they come from a column of numbers, rather than from texts, of which 1.1 and 1.10 may be two."""

    group: ClassVar[str] = "categories"
    array: ClassVar[Literal["numeric", "categorical"]] = "categorical"
    takes_codes: ClassVar[bool] = True
    lenient: ClassVar[bool] = True

    def kind_name(self) -> str:
        return CategoricalColumn.name

    def outputs(self) -> Sequence[Prepared]:
        return (Prepared(self.column, codes=len(self.values) + FIRST_CODE),)

    def apply(self, column: pa.Array, missing: tuple[str, ...] = (), strict: bool = False) -> Sequence[np.ndarray]:
        """(B,) int32 codes of texts in any spelling.

        The values are in their one spelling, so that only what is none of them has to be respelled.
        """
        if is_coded(column):
            (each,) = self.apply(column.dictionary, missing)
            places = pc.fill_null(column.indices, len(each)).to_numpy(zero_copy_only=False)
            return [np.append(each, np.int32(MISSING))[places]]
        positions = pc.index_in(column, value_set=self._coded)
        if not positions.null_count:
            return [np.frombuffer(positions.buffers()[1], np.int32, len(positions), 4 * positions.offset)]
        codes = np.array(positions.fill_null(-1))
        rows = np.flatnonzero(codes < 0)
        again = pc.index_in(spelled(column.take(pa.array(rows))), value_set=self._respelled(missing))
        present = np.array(again.fill_null(UNKNOWN))
        codes[rows] = np.where(present < FIRST_CODE + len(self.values), present, MISSING)
        return [codes]

    def respelled(self, column: pa.Array, holds_numbers: Callable[[], bool]) -> pa.Array:
        return self.by_number(column) if self.numbers or holds_numbers() else column

    def by_number(self, column: pa.Array) -> pa.Array:
        """A column of texts; a text that is no value is replaced by the value that is the same number, where there is exactly one."""
        values = pa.array(self.values, pa.string())
        others = pc.and_(pc.invert(pc.is_in(column, value_set=values)), pc.is_valid(column))
        if not pc.any(others).as_py():
            return column
        coded = column.dictionary_encode()
        present = set(self.values)
        texts = [
            text if text in present else self._by_number.get(number_of(text), text)
            for text in coded.dictionary.to_pylist()
        ]
        return pa.array(texts, pa.string()).take(coded.indices)

    @cached_property
    def _by_number(self) -> dict[Decimal | None, str]:
        """The values that are numbers, by their number, where only one value is this number."""
        numbers = {value: number_of(value) for value in self.values}
        counts = Counter(numbers.values())
        return {number: value for value, number in numbers.items() if number is not None and counts[number] == 1}

    @cached_property
    def _coded(self) -> pa.Array:
        """The text of each code, in order: a word that is no value, null, the values."""
        none_of_them = "\0"
        while none_of_them in self.values:
            none_of_them += "\0"
        return pa.array([none_of_them, None, *self.values], pa.string())

    def _respelled(self, missing: tuple[str, ...]) -> pa.Array:
        """The values in one spelling, because early versions hold 4.0 for 4; then the words for null."""
        if missing not in self._by_missing:
            values = spelled(self._coded).to_pylist()
            words = [word for word in spelled(pa.array(missing, pa.string())).to_pylist() if word not in values]
            self._by_missing[missing] = pa.array([*values, *dict.fromkeys(words)], pa.string())
        return self._by_missing[missing]

    @cached_property
    def _by_missing(self) -> dict[tuple[str, ...], pa.Array]:
        return {}


class CategoryFitter(Fitter):
    """Counts the values of the training rows."""

    takes_codes = True

    def __init__(self, name: str, config: PrepareConfig, numbers: bool) -> None:
        self._name, self._config, self._numbers = name, config, numbers
        self._counts = Counts()

    def block(self, column: pa.Array, labels: pa.Array) -> pa.Table:
        return counts_of(column)

    def add(self, partial: pa.Table) -> None:
        self._counts.add(partial)

    def to_json(self) -> dict[str, object] | None:
        counts = self._counts.whole()
        return counts.to_pydict() if counts.num_rows <= KEPT_VALUES else None

    def take(self, values: Mapping[str, Any]) -> None:
        self._counts.add(pa.table(dict(values), counts_of(pa.array([], pa.string())).schema))

    def finish(self) -> Category:
        """Most frequent first, ties by name, so that codes do not depend on the order of rows."""
        values = self._counts.most_common(self._config.min_count, self._config.max_categories)
        return Category(self._name, tuple(values), self._numbers)


class CategoricalColumn(ColumnType):
    """Values of any type as text, each in its one spelling."""

    name = "categorical"
    rank = 1
    encoding = Category
    summary_class = Discrete
    any_text = True
    recurs = True
    turn = 4

    def canonical(self, column: pa.Array, place: Place, date_format: str | None, look: bool) -> pa.Array:
        return canonical_text(column, place, look)

    def recognise(self, specimen: Specimen) -> Guess:
        """The last type that is tried: an id or a category."""
        texts, distinct = specimen.texts, specimen.distinct
        share = distinct / len(texts)
        mentions = share > 0.95 and specimen.is_called_an_id
        if len(texts) > 20 and (share == 1 or (distinct > 1000 and share > 0.5) or mentions):
            return Guess("key", None, f"{distinct:,} different texts in {len(texts):,} rows")
        what = f"{distinct:,} different values" if distinct > 1 else f"{texts.iloc[0]}, or missing"
        what = "true or false" if set(texts.str.lower()) == {"true", "false"} else what
        return Guess("feature", self.name, what)

    def expectations(self, summary: Summary) -> list[Suggestion]:
        counts = summary.counts
        if not counts or len(counts) > MOST_VALUES:
            return []
        arguments = {"value_set": ordered(counts), "mostly": 0.99}
        return [Suggestion("column_values_to_be_in_set", summary.name, arguments)]

    def fitter(self, name: str, config: PrepareConfig, numbers: bool) -> Fitter:
        return CategoryFitter(name, config, numbers)


def ordered(values: Iterable[str]) -> list[str]:
    """Numbers by size, then texts."""
    return sorted(values, key=lambda v: (0, float(v), v) if re.fullmatch(r"-?\d+", v) else (1, 0.0, v))


def canonical_text(column: pa.Array, place: Place, look: bool) -> pa.Array:
    """Strings, each in its one spelling; unchanged where ``look`` is false."""
    if not look and pa.types.is_string(column.type):
        return column
    texts = texts_of(column)
    if texts is None:
        raise not_single(column.type, place)
    return texts
