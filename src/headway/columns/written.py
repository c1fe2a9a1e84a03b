"""The form of one column's values, where it is not plain: they are read the same way in training, scoring and watching.

$4,210.18    {thousands: ",", units: {$: 1}}     4210.18
1.234,5 kg   {decimal: ",", thousands: ".", units: {kg: 1}}     1234.5
19M, 201k    {units: {M: 1000000, k: 1000}}      19000000, 201000
(12)         {negative: (12)}                    -12
?            {missing: ["?"]}                    null
" YES"       {fold: true}                        yes
Y, 1, true   {truth: true}                       true
11/23/2024   {dates: ["%m/%d/%Y", ISO8601]}      2024-11-23
1732320000   {dates: [seconds]}               2024-11-23
1:23:45      {clock: true}                    5025
2010, 3, 1   {columns: [year, month, day], dates: ["%Y %m %d"]}
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from headway.columns.clock import read_clock
from headway.columns.epochs import EPOCHS, moments_of
from headway.columns.months import in_english
from headway.columns.values import Place, family, plain, refusal
from headway.config import Config

if TYPE_CHECKING:
    import pandas as pd

TRUE = ("true", "yes", "y", "t", "on", "1")
FALSE = ("false", "no", "n", "f", "off", "0")

_TYPED = {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "\u2013": "-", "\u2019": "'"}
"""Characters that word processors write for a space, a minus and an apostrophe."""


class Written(Config):
    """The form of a column's values. It is for text; values that a file holds as numbers, dates or truth values stay.

    Numbers are read like their texts where dates are digits alone, as %Y%m, or a count since 1970, as seconds; and numbers among
    ``missing`` are missing.
    """

    decimal: Literal[".", ","] = Field(".", description="The character before a number's decimals.")
    thousands: Literal["", ",", ".", " ", "'"] = Field("", description="The character between groups of three digits.")
    units: dict[str, float] = Field(
        {},
        description="Units beside a number, each with the factor that the number is multiplied by: {$: 1}, {k: 1000}.",
    )
    negative: Literal["-12", "(12)", "12-"] = Field(
        "-12", description="A further form of negative numbers, besides -12."
    )
    missing: tuple[str, ...] = Field((), description="Texts that mean a missing value in this column.")
    fold: bool = Field(False, description="Whether capitals and spaces around a text make no difference.")
    truth: bool = Field(
        False, description="Whether yes, y, t, on and 1 are true, and no, n, f, off and 0 false, in capitals or not."
    )
    clock: bool = Field(
        False,
        description="Whether its values are times of day or durations, such as 7:30, 1:23:45, 7:30 pm or 2 days 03:00:00; they become "
        "seconds.",
    )
    dates: tuple[str, ...] = Field(
        (),
        description="The formats of its dates, tried in this order: %d/%m/%Y; %G-W%V is a week, %Y-Q%q a quarter, ISO8601 is 2024-12-31; "
        "seconds, milliseconds, microseconds or nanoseconds since 1970.",
    )

    columns: tuple[str, ...] = Field(
        (),
        description="For a column that the files do not have: those whose texts, with a space between them, make its text, such as "
        "[year, month, day, hour].",
    )

    @field_validator("missing", "dates", "columns", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        values = value if isinstance(value, (list, tuple)) else (value,)
        return tuple(str(one) if isinstance(one, (int, float)) else one for one in values)

    @property
    def is_number(self) -> bool:
        """Whether texts of numbers are written otherwise than plainly."""
        return bool(self.decimal != "." or self.thousands or self.units or self.negative != "-12")

    @model_validator(mode="after")
    def _consistent(self) -> Written:
        if len(self.columns) == 1:
            raise ValueError(
                f"columns must be at least two, but is {self.columns[0]} alone; leave it out, and use that column"
            )
        if self.decimal == self.thousands:
            raise ValueError(f"thousands must differ from decimal, but both are {self.decimal!r}")
        kinds = {
            "numbers": self.is_number,
            "times": self.clock,
            "dates": bool(self.dates),
            "texts": self.fold or self.truth,
        }
        if sum(kinds.values()) > 1:
            raise ValueError(
                f"a column is of one kind, but its settings are for {' and '.join(k for k, v in kinds.items() if v)}"
            )
        return self

    @property
    def how(self) -> dict[str, Any]:
        """The settings that decide the values, as versions before this one wrote them where they had all of them."""
        later = {"clock", "columns"}
        return self.model_dump(exclude={name for name in later if not getattr(self, name)})


def read_written(column: pa.Array, written: Written, place: Place) -> pa.Array:
    """A column with its texts read as values; other values stay, but numbers that may be dates: 202403 is "202403".

    Raises BadValues for texts of another form.
    """
    column = plain(column)
    form = family(column.type)
    if written.truth and form in ("true or false", "a number"):
        column = pc.cast(column, pa.string()) if form == "true or false" else _texts(column)
        form = "text"
    if form == "a number" and any(one in EPOCHS or _digits(one) for one in written.dates):
        column, form = _texts(column), "text"
    if form == "a number" and written.missing:
        return _without(column, written.missing)
    if form != "text":
        return column
    coded = pc.utf8_trim_whitespace(column).dictionary_encode()
    texts = coded.dictionary
    if written.dates or written.clock:
        texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    if written.missing:
        lowered = pa.array([word.lower() for word in written.missing], pa.string())
        missing = pc.or_(
            pc.is_in(pc.utf8_lower(texts), value_set=lowered), pc.is_in(_texts(texts), value_set=_texts(lowered))
        )
        texts = pc.if_else(missing, pa.scalar(None, pa.string()), texts)
    if not (written.is_number or written.clock or written.dates or written.fold or written.truth):
        return column if not texts.null_count else pc.if_else(texts.is_null().take(coded.indices), None, column)
    values, rule = _read(texts, written)
    is_wrong = pc.and_(values.is_null(), texts.is_valid()) if rule else None
    if is_wrong is not None and pc.any(is_wrong).as_py():
        bad = is_wrong.take(coded.indices).fill_null(False).to_numpy(zero_copy_only=False)
        raise refusal(column, bad, place, rule)
    return values.take(coded.indices)


def _without(column: pa.Array, words: tuple[str, ...]) -> pa.Array:
    """Numbers, null where they are one of the words."""
    missing = pc.is_in(_texts(column), value_set=_texts(pa.array(words, pa.string())))
    return pc.if_else(missing, pa.scalar(None, column.type), column)


def _read(texts: pa.Array, written: Written) -> tuple[pa.Array, str]:
    """The value of each different text, null where it has none, and the rule that such a text breaks."""
    if written.dates:
        forms = (f"{form} since 1970" if form in EPOCHS else form for form in written.dates)
        return read_dates(texts, written.dates), f"a date like {' or '.join(forms)}"
    if written.clock:
        return read_clock(texts), "a time such as 7:30 or 1:23:45"
    if written.is_number:
        return read_numbers(texts, written), "numeric, in the form of data.written"
    folded = pc.utf8_lower(texts)
    if written.truth:
        for word, spellings in (("true", TRUE), ("false", FALSE)):
            folded = pc.if_else(pc.is_in(folded, value_set=pa.array(spellings)), word, folded)
    return pc.if_else(pc.equal(folded, ""), pa.scalar(None, pa.string()), folded), ""


def _texts(column: pa.Array) -> pa.Array:
    from headway.columns.spelling import texts_of

    texts = texts_of(column)
    assert texts is not None, "numbers have texts"
    return texts


def read_numbers(texts: pa.Array, written: Written) -> pa.Array:
    """The number of each text, float64; null where it is no number, NaN where it means a missing one."""
    from headway.columns.number import plain_number

    for variant, usual in _TYPED.items():
        texts = pc.replace_substring(texts, variant, usual)
    parts = pc.extract_regex(texts, _pattern(written))
    part = {field.name: pc.struct_field(parts, field.name) for field in parts.type}
    body = pc.replace_substring(part["body"], written.thousands, "") if written.thousands else part["body"]
    numbers = pc.cast(pc.replace_substring(body, ",", ".") if written.decimal == "," else body, pa.float64())
    factors = pa.array(list(written.units.values()), pa.float64())
    for side in ("before", "after"):
        place = pc.index_in(part[side], value_set=pa.array(list(written.units), pa.string()))
        if written.units:
            numbers = pc.multiply(numbers, pc.fill_null(factors.take(place), 1.0))
    minus = pc.not_equal(part["open"], "")
    for mark, sign in (("inner", "("), ("sign", "-"), ("second", "-"), ("last", "-")):
        minus = pc.or_(minus, pc.equal(part[mark], sign))
    numbers = pc.if_else(minus, pc.negate(numbers), numbers)
    others = np.flatnonzero(pc.and_(numbers.is_null(), texts.is_valid()).to_numpy(zero_copy_only=False))
    if not len(others):
        return numbers
    values = numbers.to_pylist()
    for i in others.tolist():
        values[i] = plain_number(texts[i].as_py().lower())
    return pa.array(values, pa.float64())


def _pattern(written: Written) -> str:
    """The pattern of a number: sign, units, digits."""
    units = "".join(f"{re.escape(unit)}|" for unit in sorted(written.units, key=len, reverse=True))
    opening, closing = (r"\(?", r"\)?") if written.negative == "(12)" else ("", "")
    last = "-?" if written.negative == "12-" else ""
    return (
        rf"^(?P<open>{opening})\s*(?P<sign>[-+]?)\s*(?P<before>{units})\s*(?P<inner>{opening})(?P<second>[-+]?)\s*"
        rf"(?P<body>{digits(written.decimal, written.thousands)})\s*(?P<after>{units})\s*{closing}(?P<last>{last})$"
    )


def digits(decimal: str, thousands: str) -> str:
    """The pattern of a number's digits. Groups have three; with commas, as in India, all but the last may have two."""
    groups = ""
    if thousands:
        between = re.escape(thousands)
        inner = r"\d{2,3}" if thousands == "," else r"\d{3}"
        groups = rf"[1-9]\d{{0,2}}(?:{between}{inner})*{between}\d{{3}}|"
    point = re.escape(decimal)
    return rf"(?:(?:{groups}\d+)(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?"


def _digits(form: str) -> int:
    """The number of digits of a date where it has nothing else; 0 for other formats."""
    return len(datetime(2024, 3, 5).strftime(form)) if re.fullmatch(r"(%[YymdjHMS])+", form) else 0


def read_dates(texts: pa.Array, formats: tuple[str, ...]) -> pa.Array:
    """The moment of each text by the first format that fits it, timestamp[us] in UTC without a zone; null where none does.

    Dates as digits alone have all their digits: 2024011 is no day. A number's text may end in .0. Names of months are of several languages.
    """
    import pandas as pd

    values = pd.Series(texts.to_pylist(), dtype="object")
    times = pd.Series(pd.NaT, index=range(len(values)), dtype="datetime64[us, UTC]")
    for form in formats:
        rest, spellings = values.notna() & times.isna(), values
        if not rest.any():
            break
        if form in EPOCHS:
            times[rest] = _counted(values[rest], form)
            continue
        if count := _digits(form):
            spellings = values.where(values.isna(), values.astype(str).str.replace(r"\.0*$", "", regex=True))
            rest &= spellings.astype(str).str.fullmatch(rf"[0-9]{{{count}}}")
        if rest.any():
            times[rest] = _parsed(spellings[rest], form)
        if re.search("%[bB]", form) and (others := values.notna() & times.isna()).any():
            times[others] = _parsed(values[others].map(in_english), form.replace("%B", "%b"))
    return pa.Array.from_pandas(times.dt.tz_localize(None))


def _parsed(texts: pd.Series, form: str) -> pd.Series:
    """The moments of texts in a format; NaT for other texts. A week is its Monday, and a quarter (%q) its first day."""
    import pandas as pd

    if "%V" in form and "%u" not in form:
        texts, form = texts + " 1", f"{form} %u"
    if "%q" in form:
        before, _, after = form.partition("%q")
        texts = texts.where(texts.str.contains(_QUARTER, regex=True))
        texts, form = texts.str.replace(_QUARTER, _first_month, n=1, regex=True), f"{before}%m{after}"
    return pd.to_datetime(texts, format=form, errors="coerce", utc=True).astype("datetime64[us, UTC]")


_QUARTER = re.compile(r"(?<=Q)[1-4](?!\d)")


def _first_month(quarter: re.Match[str]) -> str:
    return str(3 * int(quarter[0]) - 2)


def _counted(texts: pd.Series, unit: str) -> pd.Series:
    """The moments of texts that count the time since 1970; NaT for other texts."""
    import pandas as pd

    numbers = pd.to_numeric(texts, errors="coerce")
    return pd.Series(pd.DatetimeIndex(moments_of(numbers.to_numpy(), unit), tz="UTC"), texts.index)
