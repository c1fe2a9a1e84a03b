"""Numbers: float64 from any spelling; filled, limited and scaled."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.base import ColumnType, Encoding, Fitter, Prepared, Suggestion
from headway.columns.config import PrepareConfig
from headway.columns.continuous import Continuous
from headway.columns.guessed_numbers import guess_of_numbers
from headway.columns.recognition import MINUS, Guess, Specimen, numbers
from headway.columns.spread import Spread
from headway.columns.summary import Summary
from headway.columns.values import Place, family, infinite, refusal, unfit

if TYPE_CHECKING:
    import pandas as pd

FIRST_YEAR, LAST_YEAR, YEARS = 1900, 2100, 10
"""Numbers between these two may be years, of which later data has new ones."""

RANKS = 1000
"""Points of the quantile scale, as many as scikit-learn's QuantileTransformer takes."""


@dataclass(frozen=True)
class Number(Encoding):
    """A column on a line: fill a null, limit, scale; ``missing`` adds a 0/1 column for nulls.

    Either (x - mean) / std, or, where ``quantiles`` is not empty, the normal score of x's rank among them.
    """

    kind: str
    fill: float
    mean: float
    std: float
    quantiles: tuple[float, ...] = ()
    missing: bool = False
    limits: tuple[float, float] | None = None

    group: ClassVar[str] = "numbers"
    lenient: ClassVar[bool] = True
    unit: ClassVar[float] = 1.0
    """The encoding's unit in the summary's unit."""
    limited: ClassVar[bool] = False
    """Whether values are limited to the training range."""

    def kind_name(self) -> str:
        return self.kind

    def outputs(self) -> Sequence[Prepared]:
        plain = Prepared(self.column, bins=True)
        return (plain, Prepared(f"{self.column} missing")) if self.missing else (plain,)

    def values(self, column: pa.Array) -> np.ndarray:
        """(B,) float64, the caller's own, with NaN for null."""
        return np.asarray(column.to_numpy(zero_copy_only=False, writable=True))

    def apply(self, column: pa.Array, missing: tuple[str, ...] = (), strict: bool = False) -> Sequence[np.ndarray]:
        values = self.values(column)
        present = np.isfinite(values)
        if not present.all():
            if strict and len(values) - np.count_nonzero(present) > column.null_count:
                problem = infinite(values, self.column, "rows to predict")
                if problem is not None:
                    raise problem
            np.copyto(values, self.fill, where=~present)
        if self.limits is not None:
            values = np.clip(values, *self.limits)
        if self.quantiles:
            values = self._rank(values)
        else:
            values -= self.mean
            values /= self.std
        return [values, (~present).astype(np.float64)] if self.missing else [values]

    def _rank(self, values: np.ndarray) -> np.ndarray:
        """Normal score of the rank, averaged over ties from both sides, as scikit-learn's QuantileTransformer does."""
        present = np.asarray(self.quantiles)
        values = self.near(values, present)
        shares = np.linspace(0, 1, len(present))
        rank = 0.5 * (np.interp(values, present, shares) - np.interp(-values, -present[::-1], -shares[::-1]))
        return np.interp(rank, _SHARES, _SCORES)

    def near(self, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """(B,) ``values``; those within half a 32-bit step of one of the ``levels`` (Q,), in order, are it.

        0.1 is 0.10000000149 where it comes from a narrow column, and beside a tie its rank would be another.
        """
        after = np.searchsorted(levels, values).clip(1, len(levels) - 1)
        before = levels[after - 1]
        nearest = np.where(values - before < levels[after] - values, before, levels[after])
        return np.where(np.abs(values - nearest) <= 2.0**-24 * np.abs(nearest), nearest, values)


_SHARES = np.concatenate([[0.0], np.linspace(1e-7, 1 - 1e-7, 20_001), [1.0]])
_SCORES = np.array([NormalDist().inv_cdf(min(max(p, 1e-7), 1 - 1e-7)) for p in _SHARES])


class NumberFitter(Fitter):
    """Fits a Number, or a class like it, from the spread of the training rows."""

    def __init__(self, name: str, kind: str, config: PrepareConfig, encoding: type[Number] = Number) -> None:
        self._name, self._kind, self._config, self._encoding = name, kind, config, encoding
        self._spread = Spread()

    def block(self, column: pa.Array, labels: pa.Array) -> Spread:
        return Spread.of(column)

    def add(self, partial: Spread) -> None:
        self._spread.merge(partial)

    def to_json(self) -> dict[str, object]:
        return self._spread.to_json()

    def take(self, values: Mapping[str, Any]) -> None:
        self._spread = Spread.from_json(values)

    def finish(self) -> Number | None:
        """None for a column without two values; where missing ones are marked, one value and missing ones are two."""
        spread, unit = self._spread, self._encoding.unit
        if not spread.count:
            return None
        varies = spread.low != spread.high
        if not varies and (not spread.nulls or self._encoding.limited):
            return None
        median = float(spread.quantiles([0.5])[0])
        quantiles: tuple[float, ...] = ()
        mean, std = spread.mean / unit, spread.std / unit
        if self._config.scale == "quantile" and varies:
            shares = np.linspace(0, 1, min(RANKS, spread.rows - spread.nulls))
            quantiles = tuple(float(q) / unit for q in spread.quantiles(list(shares)))
        elif self._config.scale == "none":
            mean, std = 0.0, 1.0
        return self._encoding(
            column=self._name,
            kind=self._kind,
            fill=(median if self._config.impute == "median" else spread.mean) / unit,
            mean=mean,
            std=std or 1.0,
            quantiles=quantiles,
            missing=spread.nulls > 0,
            limits=(spread.low / unit, spread.high / unit) if self._encoding.limited else None,
        )


class NumericColumn(ColumnType):
    """Numbers, also as texts, decimals, and true and false."""

    name = "numeric"
    rank = 0
    encoding = Number
    summary_class = Continuous
    adds_up = True
    turn = 2
    mlflow_type = "double"

    def canonical(self, column: pa.Array, place: Place, date_format: str | None, look: bool) -> pa.Array:
        form = family(column.type)
        if form == "text":
            try:
                numbers = pc.cast(pc.utf8_trim_whitespace(column), pa.float64())
            except pa.ArrowInvalid:
                numbers = _parse(column, place)
        elif pa.types.is_decimal(column.type):  # Arrow's own cast misses the nearest double by a digit in one of eight
            numbers = pc.cast(column.cast(pa.string()), pa.float64())
        elif form in ("a number", "true or false", "empty"):
            numbers = pc.cast(column, pa.float64(), safe=False)
        else:
            raise unfit(column.type, place, "numeric")
        if look and pc.any(pc.is_nan(numbers)).as_py():
            numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
        return numbers

    def line(self, values: pd.Series) -> np.ndarray:
        return values.to_numpy(np.float64, na_value=np.nan)

    def recognise(self, specimen: Specimen) -> Guess | None:
        return guess_of_numbers(specimen)

    def drafted(self, values: pd.Series, date_format: str | None) -> pd.Series:
        return numbers(values)

    def expectations(self, summary: Summary) -> list[Suggestion]:
        if summary.min is None or summary.max is None:
            return []
        low, high = widened(summary.min, summary.max)
        if FIRST_YEAR <= summary.min <= summary.max <= LAST_YEAR:
            high = max(high, summary.max + YEARS)
        arguments = {"min_value": low, "max_value": high, "mostly": 0.999}
        return [Suggestion("column_values_to_be_between", summary.name, arguments)]

    def fitter(self, name: str, config: PrepareConfig, numbers: bool) -> Fitter:
        return NumberFitter(name, self.name, config)


def widened(low: float, high: float) -> tuple[float, float]:
    """Bounds a tenth of the range further out, at round numbers; not below 0 where no value is negative."""
    room = 0.1 * (high - low) or max(1.0, 0.1 * abs(high))
    unit = 10.0 ** math.floor(math.log10(room))
    digits = max(0, -math.floor(math.log10(unit)))
    below = round(math.floor((low - room) / unit) * unit, digits)
    above = round(math.ceil((high + room) / unit) * unit, digits)
    return (0.0 if low >= 0 > below else below), above


_NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity)")
_WORDS = {"": math.nan, "nan": math.nan, "true": 1.0, "false": 0.0}


def _parse(column: pa.Array, place: Place) -> pa.Array:
    """Texts that Arrow's cast refuses (`+5`, `1e400`, `inf`, `true`), or values that are no numbers. Each different text is read once"""
    coded = pc.utf8_trim_whitespace(column).dictionary_encode()
    numbers = [plain_number(text.lower()) for text in coded.dictionary.to_pylist()]
    misfits = pa.array([number is None for number in numbers], pa.bool_()).take(coded.indices).fill_null(False)
    if pc.any(misfits).as_py():
        raise refusal(column, misfits.to_numpy(zero_copy_only=False), place, "numeric")
    return pa.array(numbers, pa.float64()).take(coded.indices)


def plain_number(text: str) -> float | None:
    """The number that a text in small letters is without any setting, NaN for a missing one; None for another text."""
    if text in _WORDS:
        return _WORDS[text]
    text = text.replace(MINUS, "-")
    return float(text) if _NUMBER.fullmatch(text) else None
