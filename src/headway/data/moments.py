"""When each row happened, as numbers that can be ordered: from dates, numbers, or texts that are either.

A CSV file holds texts, and texts sort wrongly: "10" comes before "9", "01.12.2023" before "02.01.2023". A text is read in every format
that fits all rows. Where these formats order the rows differently, the project must state which one is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.epochs import moments_of, unit_of
from headway.columns.values import family, plain
from headway.data.date_formats import COMPACT, ISO, NUMBER, TEXT, WITH_ZONE, dates_in, formats_of, misfits, values_in
from headway.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headway.data.chunks import Chunk
    from headway.data.config import SplitConfig


class Dated(Protocol):
    """Rows of which one column can be read alone, as those of source.Table."""

    @property
    def date_format(self) -> str | None:
        """How the project says that its dates are written."""
        ...

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """The rows in order."""
        ...


@dataclass(frozen=True)
class Moments:
    """When each row happened, by the column ``name``: later is larger, the same moment the same value.

    ``values`` (N,) datetime64[us] of dates, otherwise int64 or float64. ``note`` says what a reader must know.
    """

    name: str
    values: np.ndarray
    note: str = ""

    def take(self, rows: np.ndarray) -> Moments:
        """Those of some rows: (N,) bool."""
        return Moments(self.name, self.values[rows], self.note)


def moments(table: Dated, split: SplitConfig) -> Moments:
    """Each row's moment. Numbers that count the time since 1970 are read as dates, unless split.format says that they are numbers.

    Raises DataError where a row has no moment or one that cannot be read, ConfigError where the format must be stated.
    """
    name = str(split.column)
    values = _values(table, split, name)
    if values.dtype.kind == "M" or split.format in (NUMBER, TEXT):
        return Moments(name, values)
    return _since_1970(values, name)


def _since_1970(values: np.ndarray, name: str) -> Moments:
    """As dates where all are plausible as a count of time since 1970, otherwise as they are."""
    unit = unit_of(values)
    if unit is None:
        return Moments(name, values)
    note = f"{name} is read as {unit} since 1970 (otherwise state split.format: number)"
    return Moments(name, moments_of(values, unit), note)


def _values(table: Dated, split: SplitConfig, name: str) -> np.ndarray:
    """(N,) datetime64[us], int64 or float64."""
    chunks = [plain(chunk.batch.column(name)) for chunk in table.chunks(columns=[name])]
    absent = sum(_missing(chunk) for chunk in chunks)
    if absent:
        raise DataError(f"{name} must be given in every row to split by time, but {absent:,} rows lack it")
    kinds = {family(chunk.type) for chunk in chunks}
    if kinds == {"a date"}:
        if split.format is not None:
            raise ConfigError(f"split.format is for texts and numbers, but {name} holds dates; remove it")
        return _from_dates(chunks, name)
    if kinds == {"a number"}:
        return _from_numbers(chunks, name, split.format)
    if kinds == {"text"}:
        codes, texts = pd.factorize(pa.chunked_array(chunks).to_pandas().str.strip())
        return _from_texts(pd.Series(texts, dtype=object), codes, name, split.format or _usual(table, texts))[codes]
    raise DataError(f"{name} must hold numbers or dates to split by time, but it holds {', '.join(sorted(kinds))}")


def _missing(column: pa.Array) -> int:
    if pa.types.is_floating(column.type):
        return pc.sum(pc.is_null(column, nan_is_null=True)).as_py() or 0
    blank = 0
    if pa.types.is_string(column.type):
        blank = pc.sum(pc.equal(pc.utf8_trim_whitespace(column), "")).as_py() or 0
    return column.null_count + blank


def _usual(table: Dated, texts: Sequence[str]) -> str | None:
    """The project's own date format where every value is written in it."""
    usual = table.date_format
    return usual if usual and dates_in(pd.Series(texts, dtype=object), usual) is not None else None


def _from_dates(chunks: Sequence[pa.Array], name: str) -> np.ndarray:
    zoned = {pa.types.is_timestamp(chunk.type) and chunk.type.tz is not None for chunk in chunks}
    if len(zoned) > 1:
        raise DataError(f"{name} must have a time zone in all files or in none, but has one in some")
    kind = pa.timestamp("us", "UTC" if zoned == {True} else None)
    times = [pc.cast(chunk, kind, safe=False).cast(pa.int64()).to_numpy(zero_copy_only=False) for chunk in chunks]
    return np.concatenate(times).view("datetime64[us]")


def _from_numbers(chunks: Sequence[pa.Array], name: str, form: str | None) -> np.ndarray:
    whole = all(pa.types.is_integer(chunk.type) for chunk in chunks)
    kind = pa.int64() if whole else pa.float64()
    values = np.concatenate([pc.cast(chunk, kind, safe=False).to_numpy(zero_copy_only=False) for chunk in chunks])
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{name} must be finite to split by time, but row {row + 1} is {values[row]}")
    if form == NUMBER:
        return values
    distinct, codes = np.unique(values, return_inverse=True)
    if (distinct == np.floor(distinct)).all() and np.abs(distinct).max() < 2**62:
        texts = pd.Series(distinct.astype(np.int64).astype(str), dtype=object)
    else:
        texts = pd.Series(distinct.astype(str), dtype=object)
    return _from_texts(texts, codes, name, form)[codes]


def _from_texts(texts: pd.Series, codes: np.ndarray, name: str, form_of_project: str | None) -> np.ndarray:
    """The moment of each of the distinct ``texts``; ``codes`` (N,) says which one each row has."""
    if form_of_project is not None:
        moments = values_in(texts, form_of_project)
        if moments is None:
            row, text = _first_misfit(texts, codes, form_of_project)
            raise DataError(f"{name} must be written as {form_of_project} (split.format), but row {row:,} is {text!r}")
        _check_zones(texts, form_of_project, name)
        return moments
    readings = {form: values for form in formats_of(texts) if (values := values_in(texts, form)) is not None}
    if not readings:
        likely = min(formats_of(texts.head(1)), key=lambda form: len(misfits(texts, form)), default=NUMBER)
        row, text = _first_misfit(texts, codes, likely)
        raise DataError(
            f"{name} must hold numbers, or dates in one format, to split by time, but row {row:,} is {text!r}; "
            "state split.format, for example '%d.%m.%Y'"
        )
    orders = {form: np.unique(values, return_inverse=True)[1] for form, values in readings.items()}
    first, *others = orders
    other = next((form for form in others if not np.array_equal(orders[first], orders[form])), None)
    if other is not None:
        raise ConfigError(
            f"split.format must be given where it is ambiguous, but {name} ({texts.iloc[0]!r}, ...) may be written as "
            f"{first} or as {other}, and the newest rows differ"
        )
    form = next((form for form in readings if _is_date_in_digits(texts, form)), first)
    _check_zones(texts, form, name)
    return readings[form]


def _is_date_in_digits(texts: pd.Series, form: str) -> bool:
    """Whether all are dates without punctuation, as 20241231, none of which had to be filled with zeros."""
    width = len(pd.Timestamp(2024, 12, 31).strftime(form))
    return COMPACT.fullmatch(form) is not None and bool((texts.str.len() == width).all())


def _check_zones(texts: pd.Series, form: str, name: str) -> None:
    """Refuse ISO dates without a zone beside dates with one: pandas would read them as UTC."""
    if form != ISO:
        return
    zoned = texts.str.contains(WITH_ZONE)
    if zoned.any() and not zoned.all():
        raise DataError(
            f"{name} must have a time zone in every row or in none, but {texts[zoned].iloc[0]!r} has one and "
            f"{texts[~zoned].iloc[0]!r} has none"
        )


def _first_misfit(texts: pd.Series, codes: np.ndarray, form: str) -> tuple[int, str]:
    """The first row, counted from 1, whose value does not fit, and the value."""
    row = int(np.flatnonzero(np.isin(codes, misfits(texts, form)))[0])
    return row + 1, str(texts.iloc[codes[row]])
