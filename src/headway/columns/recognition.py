"""A column of unknown type as `init` examines it, and a type's guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pandas as pd

FEW = 12
"""Whole numbers with at most so many different values count as codes, and so few texts as categories."""

MINUS = "\u2212"
"""The minus that word processors and some countries' statistics write."""

_ID = re.compile(r"(^|[_\W])(id|uuid|guid|key|instant|index|rowid|nr|no)$|^unnamed", re.IGNORECASE)

_WORDS = (
    r"code|type|kind|class|categor\w*|cat|zip|zipcode|plz|postcode|group|segment|region|district|status|state|flag|label|sex"
    r"|gender|marital\w*|race|ethnicity|colou?r|cluster|brand|department|dept|sector|branch|store|shop|channel|method|mode|occupation"
    r"|job|season|weather\w*|species|breed|party|religion|country|city"
)
_CODE = re.compile(rf"(^|[_\W])({_WORDS})([_\W\d]|$)", re.IGNORECASE)
"""Names of columns whose numbers stand for something else."""

_THING = re.compile(rf"(^|[_\W])(id|uuid|guid|key|{_WORDS})$", re.IGNORECASE)
"""Names of columns whose numbers do so, even where they are many: store_id is a code, store_size is none."""

_TIME = re.compile(
    r"(^|[_\W])(time\w*|ts|date\w*|dt|epoch|unix\w*|when|at|utc|moment|day|created|updated|modified|zeit\w*|datum)([_\W\d]|$)",
    re.IGNORECASE,
)
"""Names of columns of moments."""

HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Guess:
    """A column's role, the name of its type where it is a feature, and the reason. ``textual``: dates that are written as text.

    ``zone``: the time zone of moments, where the file has it and it is not UTC.
    """

    role: Literal["feature", "key", "ignore"]
    kind: str | None
    why: str
    date_format: str | None = None
    textual: bool = False
    zone: str | None = None


@dataclass(frozen=True)
class Specimen:
    """A column's name, its values as the file's format gives them, and those that are not missing, of which there is one."""

    name: str
    values: pd.Series
    present: pd.Series

    @cached_property
    def distinct(self) -> int:
        """Number of different values."""
        return int(self.present.nunique())

    @cached_property
    def texts(self) -> pd.Series:
        """The text of each value."""
        return self.present.astype(str)

    @property
    def is_called_an_id(self) -> bool:
        """Whether the name is that of an id."""
        return _ID.search(HUMPS.sub("_", self.name)) is not None

    @property
    def is_called_a_thing(self) -> bool:
        """Whether the name is that of numbers that stand for things, as many as there are."""
        return _THING.search(HUMPS.sub("_", self.name)) is not None

    @property
    def is_called_a_code(self) -> bool:
        """Whether the name is that of codes without an order."""
        return _CODE.search(HUMPS.sub("_", self.name)) is not None

    @property
    def is_called_a_time(self) -> bool:
        """Whether the name is that of moments."""
        return _TIME.search(HUMPS.sub("_", self.name)) is not None

    @cached_property
    def has_codes(self) -> bool:
        """Whether texts begin with a zero, unlike numbers: 01001 is a code, and not 1001."""
        return has_codes(self.present)


def has_codes(values: pd.Series) -> bool:
    """As Specimen.has_codes."""
    texts = arrow_texts(values)
    if texts is not None:
        return bool(pc.any(pc.match_substring_regex(texts, r"^\s*0[0-9]+$")).as_py())
    return bool(values.astype(str).str.fullmatch(r"\s*0\d+").any())


def is_number(values: pd.Series) -> bool:
    """Whether every value is a number or the text of one. ``values`` has no missing ones; true and false are none."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return False
    if pd.api.types.is_numeric_dtype(values.dtype):
        return True
    if (texts := arrow_texts(values)) is not None and (plain := _plain_numbers(texts)) is not None:
        return not has_codes(values) and not np.isnan(plain).any()
    if (
        texts is not None or pd.api.types.infer_dtype(values) == "string"
    ):  # of true and 1, which are equal, one would be lost
        values = values.drop_duplicates()
    elif any(isinstance(value, bool) for value in values):
        return False
    return not has_codes(values) and bool(numbers(values).notna().all())


def numbers(column: pd.Series) -> pd.Series:
    """As float64; what is no number is NaN."""
    import pandas as pd

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        return column.astype(np.float64)
    if (texts := arrow_texts(column)) is not None and (plain := _plain_numbers(texts)) is not None:
        return pd.Series(plain, column.index)
    present = column.astype(object).where(column.notna(), None)
    values = pd.to_numeric(present, errors="coerce").astype(np.float64)
    others = values.isna() & present.notna()
    if others.any():
        texts = present[others].astype(str).str.replace(MINUS, "-", regex=False)
        values[others] = pd.to_numeric(texts, errors="coerce").astype(np.float64)
    return values


def arrow_texts(values: pd.Series) -> pa.Array | None:
    """The texts of a column as pandas has them of a CSV; None for a column of other values."""
    import pandas as pd

    if not isinstance(values.dtype, pd.StringDtype):
        return None
    texts = pa.array(values)
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _plain_numbers(texts: pa.Array) -> np.ndarray | None:
    """(N,) float64, NaN for missing ones; None where a text is no number to Arrow, which takes a twentieth of pandas' time for few rows."""
    try:
        return np.asarray(pc.cast(pc.utf8_trim_whitespace(texts), pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return None
