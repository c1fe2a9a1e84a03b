"""What a column of unknown meaning most likely is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from headway.columns import Kind
from headway.columns.date import UNAMBIGUOUS

FEW = 12
"""Whole numbers with at most so many different values are taken for codes."""

AMBIGUOUS = ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")
_ID = re.compile(r"(^|[_\W])(id|uuid|guid|key|instant|index|rowid|nr|no)$|^unnamed", re.IGNORECASE)
_SEPARATED = r"\s*[-+]?(\d{1,3}([.,' ]\d{3})+([.,]\d+)?|\d+,\d+|\d+)\s*"
_DATE = re.compile(r"^\s*\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3})[-/. ]\d{1,4}")


@dataclass(frozen=True)
class Guess:
    """A column's role, its kind where it is a feature, and the reason. ``textual``: dates that are written as text."""

    role: Literal["feature", "key", "ignore"]
    kind: Kind | None
    why: str
    date_format: str | None = None
    textual: bool = False


def is_number(known: pd.Series) -> bool:
    """Whether every value is a number or the text of one. ``known`` has no missing values; true and false are none."""
    if pd.api.types.is_bool_dtype(known.dtype) or pd.api.types.is_datetime64_any_dtype(known.dtype):
        return False
    if pd.api.types.is_numeric_dtype(known.dtype):
        return True
    if any(isinstance(value, bool) for value in known) or _codes(known):
        return False
    return bool(numbers(known).notna().all())


def _codes(known: pd.Series) -> bool:
    """Whether texts begin with a zero as no number does: 01001 is a code, and not 1001."""
    return bool(known.astype(str).str.fullmatch(r"\s*0\d+").any())


def numbers(column: pd.Series) -> pd.Series:
    """As float64; what is no number is NaN."""
    plain = column.astype(object).where(column.notna(), None)
    return pd.to_numeric(plain, errors="coerce").astype(np.float64)


def guess(name: str, column: pd.Series) -> Guess:
    """Judge by the values, and for ids by the name too."""
    known = column.dropna()
    if not len(known):
        return Guess("ignore", None, "missing in every row")
    if any(isinstance(value, (list, dict, np.ndarray)) for value in known.head(100)):
        return Guess("ignore", None, "holds lists or mappings, not single values")
    distinct = int(known.nunique())
    if distinct == 1 and len(known) == len(column):
        return Guess("ignore", None, f"always {known.iloc[0]}")
    if pd.api.types.is_datetime64_any_dtype(known.dtype):
        return Guess("feature", "date", "it holds dates")
    if is_number(known):
        return _number(name, column, known, distinct)
    texts = known.astype(str)
    if not _codes(known) and texts.str.fullmatch(_SEPARATED).mean() > 0.9:
        return Guess("ignore", None, f"numbers with separators, such as {texts.iloc[0]}; write them plainly to use it")
    if _DATE.match(texts.iloc[0]) is not None:
        found = _date(texts)
        if found is not None:
            return found
    return _texts(name, texts, distinct)


def _number(name: str, column: pd.Series, known: pd.Series, distinct: int) -> Guess:
    values = numbers(known).to_numpy()
    finite = values[np.isfinite(values)]
    if len(finite) < len(values):
        return Guess("ignore", None, f"{len(values) - len(finite):,} values are infinite; mend them to use it")
    whole = len(finite) == len(values) and bool((values == np.floor(values)).all())
    unique = len(column) > 20 and distinct == len(column)
    if whole and unique and (_ID.search(name) or bool((np.diff(values) == 1).all())):
        return Guess("key", None, "a different whole number in every row")
    if whole and distinct <= FEW and len(known) > 4 * distinct:
        return Guess("feature", "categorical", f"whole numbers with {distinct} different values, so likely codes")
    return Guess(
        "feature", "numeric", f"numbers from {finite.min():g} to {finite.max():g}" if len(finite) else "numbers"
    )


def _date(texts: pd.Series) -> Guess | None:
    some = texts.drop_duplicates()
    for form in UNAMBIGUOUS:
        if pd.to_datetime(some, format=form, errors="coerce", utc=True).notna().all():
            return Guess("feature", "date", "texts that are dates", textual=True)
    fits = [f for f in AMBIGUOUS if pd.to_datetime(some, format=f, errors="coerce").notna().all()]
    if len(fits) == 1:
        return Guess("feature", "date", f"texts that are dates only as {fits[0]}", fits[0], textual=True)
    if fits:
        return Guess("ignore", None, f"dates that may be {' or '.join(fits)}; state data.date_format to use it")
    return None


def _texts(name: str, texts: pd.Series, distinct: int) -> Guess:
    share = distinct / len(texts)
    words = texts.str.count(r"\S+").mean()
    if distinct > FEW and share > 0.5 and words >= 3:
        return Guess("feature", "text", f"free text of {words:.0f} words on average")
    if len(texts) > 20 and (share == 1 or (distinct > 1000 and share > 0.5) or (share > 0.95 and _ID.search(name))):
        return Guess("key", None, f"{distinct:,} different texts in {len(texts):,} rows")
    what = "true or false" if set(texts.str.lower()) <= {"true", "false"} else f"{distinct:,} different values"
    return Guess("feature", "categorical", what)
