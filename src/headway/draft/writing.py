"""The likely form of a column's values, by the column alone: the settings `data.written` of `init`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns import Kind, column_type, column_types
from headway.columns.clock import seconds_of
from headway.columns.epochs import EPOCHS, unit_of
from headway.columns.recognition import FEW, Specimen, arrow_texts, has_codes, is_number, numbers
from headway.columns.values import Place
from headway.columns.written import FALSE, TRUE, Written, read_dates, read_written
from headway.config import suggest
from headway.data.series import UNITS
from headway.draft.dating import MONTHS, count_anew_each_year, dating_of, fill_their_span
from headway.draft.numerals import MISSING, numbers_of
from headway.draft.series import REGULAR
from headway.errors import ConfigError


@dataclass(frozen=True)
class Writing:
    """The form of a column, with an example for the user; ``comma``: whether it certainly has decimal commas.

    ``doubt``: the question to the user where day and month are ambiguous; then the column is not read.
    """

    written: Written
    example: str
    comma: bool = False
    doubt: str = ""

    @property
    def is_dated(self) -> bool:
        """Whether the values are dates by their form."""
        return bool(self.written.dates or self.doubt)


def as_written(
    frame: pd.DataFrame,
    stated: Mapping[str, Written] = MappingProxyType({}),
    date_format: str | None = None,
    kinds: Mapping[str, Kind] = MappingProxyType({}),
) -> tuple[pd.DataFrame, dict[str, Writing]]:
    """A table read by the likely forms of its columns, and the forms that are not plain.

    ``stated``: the forms that the user has set; ``date_format``: the format of ambiguous dates; ``kinds``: the types of columns that the
    user has set: one that is to be no date is not read as one.

    Blanks among numbers are missing. The value of 1,234 depends on whether another column has decimal commas.
    """
    columns = {str(name): _without_blanks(frame[name]) for name in frame.columns}
    specimens = {name: Specimen(name, column, column.dropna()) for name, column in columns.items()}
    texts = {name: one for name, one in specimens.items() if len(one.present) and _has_texts(one.present)}
    writings = {name: writing for name, one in texts.items() if (writing := writing_of(one))}
    if any(writing.comma for writing in writings.values()):
        writings |= {name: writing for name, one in texts.items() if (writing := writing_of(one, comma=True))}
    for name, one in texts.items():
        if date_format and (name not in writings or writings[name].doubt) and _fits(one, date_format):
            writings[name] = Writing(Written(dates=(date_format,)), f"dates as {date_format}")
    for name, kind in kinds.items():
        if name in writings and not column_type(kind).is_time and writings[name].is_dated:
            del writings[name]
    for name, written in stated.items():
        if name not in specimens:
            raise ConfigError(f"--set data.written.{name} must name a column{suggest(name, list(specimens))}")
        writings[name] = Writing(written, "written as set with --set")
    columns |= {n: _as_read(columns[n], writing.written) for n, writing in writings.items() if not writing.doubt}
    return pd.DataFrame(columns, index=frame.index, copy=False), writings


def _is_text(values: pd.Series) -> bool:
    return all(isinstance(value, str) for value in values.head(1000))


def _has_texts(values: pd.Series) -> bool:
    """Whether they are texts, or numbers that may be dates: whole ones as digits alone, or counts of time."""
    if not _is_number_type(values):
        return _is_text(values)
    return bool((values % 1 == 0).all()) or unit_of(values.to_numpy()) is not None


def _is_number_type(values: pd.Series) -> bool:
    return isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf"


def _without_blanks(column: pd.Series) -> pd.Series:
    """Blank texts among numbers or dates are missing."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    if (texts := arrow_texts(column)) is not None and not pc.any(pc.equal(pc.utf8_trim_whitespace(texts), "")).as_py():
        return column
    present = column.dropna()
    if not len(present) or not _is_text(present):
        return column
    blank = present.astype(str).str.strip() == ""
    rest = present[~blank]
    if not blank.any() or not len(rest) or not is_number(rest):
        return column
    return column.where(~column.index.isin(present.index[blank]), None)


def writing_of(specimen: Specimen, comma: bool = False) -> Writing | None:
    """The form of a column's texts; None where it is plain. ``comma``: whether other columns have decimal commas."""
    present = specimen.present
    if is_plain(present, comma):
        return _counted(specimen) or _compact(specimen)
    counts = present.astype(str).str.strip().value_counts()
    texts = {str(text): int(count) for text, count in counts.items() if text != ""}
    if not texts:
        return None
    written, certain = numbers_of(texts, comma)
    if written is None and (dated := _dated(specimen, texts)) is not None:
        return dated
    written = written or _clock(specimen, texts) or _truth(texts) or _folded(present)
    return None if written is None else Writing(written, _example(written, texts), certain)


def _counted(specimen: Specimen) -> Writing | None:
    """The form of moments that count the time since 1970: by the name, or by steps of the same length, of a minute at least, as those of
    an id are not. None for other numbers.
    """
    if specimen.distinct <= FEW or specimen.is_called_a_code or _is_key(specimen):
        return None
    values = numbers(specimen.present).to_numpy()
    unit = unit_of(values)
    if unit is None or not (specimen.is_called_a_time or _in_steps(np.unique(values) / EPOCHS[unit])):
        return None
    return Writing(Written(dates=(unit,)), f"{unit} since 1970")


def _in_steps(seconds: np.ndarray) -> bool:
    """Whether most of the steps between moments, (N,) in order, are of one length."""
    steps, counts = np.unique(np.diff(seconds), return_counts=True)
    usual = steps[counts.argmax()]
    is_of_time = UNITS["minute"] <= usual <= 366 * UNITS["day"] and usual % UNITS["minute"] == 0
    return bool(is_of_time and counts.max() >= REGULAR * counts.sum())


def _compact(specimen: Specimen) -> Writing | None:
    """The form of dates as digits alone, 20241231 or 202412; None for other numbers, of which so many are not all days by chance.

    Numbers of months have no gaps: 200101 may be a price, and so may 190101 beside it.
    """
    if specimen.distinct <= FEW or specimen.is_called_a_code or _is_key(specimen):
        return None
    texts = specimen.present.astype("int64").astype(str) if _is_number_type(specimen.present) else specimen.texts
    texts = texts.drop_duplicates().str.strip()
    form = {8: "%Y%m%d", 6: "%Y%m"}.get(len(texts.iloc[0]))
    if form is None or not texts.str.fullmatch(rf"(19|20)\d{{{len(texts.iloc[0]) - 2}}}").all():
        return None
    moments = read_dates(pa.array(texts.tolist(), pa.string()), (form,))
    if moments.null_count or (form == "%Y%m" and not _are_months(moments.to_pandas())):
        return None
    return Writing(Written(dates=(form,)), f"dates as {form}")


def _are_months(moments: pd.Series) -> bool:
    return fill_their_span(moments) and not count_anew_each_year(moments)


def _is_key(specimen: Specimen) -> bool:
    """Whether the name is an id's and every row has a value of its own."""
    return specimen.is_called_an_id and specimen.distinct == len(specimen.values)


def _fits(specimen: Specimen, date_format: str) -> bool:
    """Whether every text is a date of this format."""
    texts = pa.array(specimen.texts.str.strip().drop_duplicates().tolist(), pa.string())
    return date_format not in EPOCHS and not read_dates(texts, (date_format,)).null_count


def _dated(specimen: Specimen, texts: Mapping[str, int]) -> Writing | None:
    """The form of dates that are written in several formats or in an ambiguous one; None for others."""
    if sum(any(c.isdigit() for c in text) for text in list(texts)[:50]) < 25 <= len(texts):
        return None
    if any(one.is_time and one.recognise(specimen) is not None for one in column_types().values()):
        return None
    dating = dating_of(texts, MISSING)
    if dating is None or (_is_key(specimen) and {*dating.formats} & {*MONTHS}):
        return None
    if dating.doubt:
        which = " or ".join(dating.doubt)
        column = specimen.name
        return Writing(
            Written(), "", doubt=f"dates that may be {which}; --set data.written.{column}.dates=[...] sets the format"
        )
    written = Written(dates=dating.formats, missing=dating.missing)
    return Writing(written, f"dates as {', '.join(dating.formats)}")


def is_plain(values: pd.Series, comma: bool) -> bool:
    """Whether all are numbers by themselves; 1.234 is 1234 where other columns have decimal commas."""
    if not is_number(values):
        return False
    texts = values.astype(str).str.strip()
    return not (
        comma
        and bool(texts.str.fullmatch(r"-?[1-9]\d{0,2}(\.\d{3})+|-?\d{1,3}").all())
        and bool(texts.str.contains(".", regex=False).any())
    )


def _as_read(column: pd.Series, written: Written) -> pd.Series:
    """The column with its texts read as values."""
    if _is_number_type(column):
        array = pa.Array.from_pandas(column)
    else:
        array = pa.array(column.astype(object).where(column.notna(), None).tolist(), pa.string())
    values = read_written(array, written, Place(str(column.name), "the data"))
    return values.to_pandas().set_axis(column.index)


def _clock(specimen: Specimen, texts: Mapping[str, int]) -> Written | None:
    """Times of day and durations, more than a few different ones, but for words for missing ones; None for other texts."""
    words = tuple(sorted(text for text in texts if text.lower() in MISSING))
    times = [text for text in texts if text not in words]
    if specimen.distinct <= FEW or not all(seconds_of(text) is not None for text in times):
        return None
    if len({text.count(":") for text in times}) > 1:
        return None  # 59:30 beside 1:02:15 is minutes; alone it is hours
    return Written(clock=True, missing=words)


def _truth(texts: Mapping[str, int]) -> Written | None:
    """Truth values in more than one pair of words; None for other texts."""
    words = {text.lower() for text in texts}
    true, false = words & set(TRUE), words & set(FALSE)
    return Written(truth=True) if words == true | false and true and false and len(words) > 2 else None


def _folded(values: pd.Series) -> Written | None:
    """Texts of which some differ only by capitals and by spaces around them; None for others."""
    raw = values.astype(str)
    if has_codes(values) or raw.nunique() > 1000:
        return None
    alike = raw.drop_duplicates().groupby(raw.drop_duplicates().str.strip().str.lower()).size()
    again = alike[alike > 1]
    short = {"y", "n", "m", "f", "t"}
    if not len(again) or not all(len(word) > 1 or word in short for word in again.index):
        return None
    return Written(fold=True)


def _example(written: Written, texts: Mapping[str, int]) -> str:
    """An example: the oddest of the usual texts, and the value that it is read as."""
    if written.truth:
        return "yes, y, t, on and 1 are read as true, in capitals or not"
    if written.fold:
        return "capitals and spaces around a text make no difference"
    parts = []
    usual = [text for text in list(texts)[:200] if text not in written.missing]
    if written.clock:
        odd = max(usual, key=len)
        parts.append(f"{odd} is read as {seconds_of(odd):.12g} seconds")
    if written.is_number and usual:
        odd = max(usual, key=lambda text: (len(set(re.sub(r"\d", "", text))), len(text)))
        value = read_written(pa.array([odd]), written, Place("", ""))[0].as_py()
        parts.append(f"{odd} is read as {value:.12g}")
    if written.missing:
        some = ", ".join(written.missing[:3])
        parts.append(f"{some} {'is' if len(written.missing) == 1 else 'are'} read as missing")
    return "; ".join(parts)
