"""How the values of a column seem to be written, told from the column alone: what `init` writes under `data.written`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyarrow as pa

from headway.columns import column_types
from headway.columns.recognition import Specimen, has_codes, is_number
from headway.columns.values import Place
from headway.columns.written import FALSE, TRUE, Written, read_dates, read_written
from headway.config import suggest
from headway.draft.dating import dating_of
from headway.draft.numerals import MISSING, numbers_of
from headway.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Writing:
    """How a column is written, with an example for people; ``comma``: whether it has decimal commas for certain.

    ``doubt``: the question to people where its dates may be two days each; then it is not read.
    """

    written: Written
    example: str
    comma: bool = False
    doubt: str = ""


def as_written(
    frame: pd.DataFrame, stated: Mapping[str, Written] = MappingProxyType({}), date_format: str | None = None
) -> tuple[pd.DataFrame, dict[str, Writing]]:
    """A table as its columns seem to be written, and how those are that are not written plainly.

    ``stated``: columns of which people say it; ``date_format``: how dates are written that may be written in two ways.

    Blanks among numbers are missing. What is 1,234 in one column depends on whether another one has decimal commas.
    """
    frame = frame.copy(deep=False)
    for name in frame.columns:
        frame[name] = _without_blanks(frame[name])
    specimens = {str(name): Specimen(str(name), frame[name], frame[name].dropna()) for name in frame.columns}
    texts = {name: one for name, one in specimens.items() if len(one.present) and _is_text(one.present)}
    writings = {name: writing for name, one in texts.items() if (writing := writing_of(one))}
    if any(writing.comma for writing in writings.values()):
        writings |= {name: writing for name, one in texts.items() if (writing := writing_of(one, comma=True))}
    for name, one in texts.items():
        if date_format and (name not in writings or writings[name].doubt) and _fits(one, date_format):
            writings[name] = Writing(Written(dates=(date_format,)), f"dates as {date_format}")
    for name, written in stated.items():
        if name not in specimens:
            raise ConfigError(f"--set data.written.{name} must name a column{suggest(name, list(specimens))}")
        writings[name] = Writing(written, "written as --set says")
    for name, writing in writings.items():
        if not writing.doubt:
            frame[name] = _as_read(frame[name], writing.written)
    return frame, writings


def _is_text(values: pd.Series) -> bool:
    return all(isinstance(value, str) for value in values.head(1000))


def _without_blanks(column: pd.Series) -> pd.Series:
    """Blank texts among numbers or dates are missing."""
    present = column.dropna()
    if not len(present) or not _is_text(present):
        return column
    blank = present.astype(str).str.strip() == ""
    rest = present[~blank]
    if not blank.any() or not len(rest) or not is_number(rest):
        return column
    return column.where(~column.index.isin(present.index[blank]), None)


def writing_of(specimen: Specimen, comma: bool = False) -> Writing | None:
    """How the texts of a column are written, where that is not plainly. ``comma``: whether other columns have decimal commas."""
    present = specimen.present
    if is_plain(present, comma):
        return None
    counts = present.astype(str).str.strip().value_counts()
    texts = {str(text): int(count) for text, count in counts.items() if text != ""}
    if not texts:
        return None
    written, certain = numbers_of(texts, comma)
    if written is None and (dated := _dated(specimen, texts)) is not None:
        return dated
    written = written or _truth(texts) or _folded(present)
    return None if written is None else Writing(written, _example(written, texts), certain)


def _fits(specimen: Specimen, date_format: str) -> bool:
    """Whether every text is a date of this format."""
    texts = pa.array(specimen.texts.str.strip().drop_duplicates().tolist(), pa.string())
    return not read_dates(texts, (date_format,)).null_count


def _dated(specimen: Specimen, texts: Mapping[str, int]) -> Writing | None:
    """How dates are written that are not in one form which tells itself."""
    if sum(any(c.isdigit() for c in text) for text in list(texts)[:50]) < 25 <= len(texts):
        return None
    if any(one.is_time and one.recognise(specimen) is not None for one in column_types().values()):
        return None
    dating = dating_of(texts, MISSING)
    if dating is None:
        return None
    if dating.doubt:
        which = " or ".join(dating.doubt)
        column = specimen.name
        return Writing(
            Written(), "", doubt=f"dates that may be {which}; --set data.written.{column}.dates=[...] says which"
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
    """The values that a column's texts stand for."""
    array = pa.array(column.astype(object).where(column.notna(), None).tolist(), pa.string())
    values = read_written(array, written, Place(str(column.name), "the data"))
    return values.to_pandas().set_axis(column.index)


def _truth(texts: Mapping[str, int]) -> Written | None:
    """Whether these are true and false in more than one word for each."""
    words = {text.lower() for text in texts}
    true, false = words & set(TRUE), words & set(FALSE)
    return Written(truth=True) if words == true | false and true and false and len(words) > 2 else None


def _folded(values: pd.Series) -> Written | None:
    """Whether texts differ only by capitals and by spaces around them."""
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
    """What people see: the oddest of the usual texts, and what it is read as."""
    if written.truth:
        return "yes, y, t, on and 1 are read as true, in capitals or not"
    if written.fold:
        return "capitals and spaces around a text make no difference"
    parts = []
    usual = [text for text in list(texts)[:200] if text not in written.missing]
    if written.is_number and usual:
        odd = max(usual, key=lambda text: (len(set(re.sub(r"\d", "", text))), len(text)))
        value = read_written(pa.array([odd]), written, Place("", ""))[0].as_py()
        parts.append(f"{odd} is read as {value:.12g}")
    if written.missing:
        some = ", ".join(written.missing[:3])
        parts.append(f"{some} {'is' if len(written.missing) == 1 else 'are'} read as missing")
    return "; ".join(parts)
