"""Random columns of every Arrow type that Parquet keeps, and what each value is to a column's kind: slowly, by Python's own values."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.columns.spelling import spell_value

Pool = tuple[pa.DataType, Sequence[Any]]

TEXTS = ("", " ", "a", "b", "aa", "é", "日本", "x y", "1", "1.5", "007")
FLOATS = (-0.0, 0.0, 1.5, -7.25, 0.1, math.nan)
CENTS = tuple(map(Decimal, ("1.5", "-0.1250", "0", "1e20", "3.0000", "0.1")))
TIMES = (dt.time(1, 2, 3), dt.time(0), dt.time(23, 59, 59))
MOMENTS = (
    dt.datetime(2024, 1, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_000),
    dt.datetime(2024, 2, 29, 12),
    dt.datetime(1900, 1, 1),
    dt.datetime(2262, 1, 1),
)
DAYS = tuple(moment.date() for moment in MOMENTS)


def _whole(name: str) -> Pool:
    ends = np.iinfo(name)
    large = [2**53 - 1, 2**53, 2**53 + 1] if ends.max > 2**53 else []
    larger = [2**63, 2**63 + 1] if ends.max > 2**63 else []
    return getattr(pa, name)(), (int(ends.min), int(ends.max), 0, 1, 2, 5, *large, *larger)


def _moments(unit: str, zone: str | None) -> Pool:
    values = [one.replace(microsecond=0) if unit == "s" else one for one in MOMENTS]
    return pa.timestamp(unit, zone), values if zone is None else [one.replace(tzinfo=dt.UTC) for one in values]


TYPES: dict[str, Pool] = {
    "bool": (pa.bool_(), (True, False)),
    **{f"{sign}int{bits}": _whole(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "half": (pa.float16(), list(np.array([*FLOATS, 65504], np.float16))),
    "float": (pa.float32(), list(np.array([*FLOATS, 3e38], np.float32))),
    "double": (pa.float64(), (*FLOATS, 1e200, -1e200, 1e-300, 2.0**53, 4.0)),
    "double with infinities": (pa.float64(), (math.inf, -math.inf, -1.0, 2.0, math.nan)),
    "decimal128": (pa.decimal128(38, 4), CENTS),
    "decimal256": (pa.decimal256(70, 4), (*CENTS, Decimal("1e40"))),
    "string": (pa.string(), TEXTS),
    "large_string": (pa.large_string(), TEXTS),
    "string_view": (pa.string_view(), TEXTS),
    "string of numbers": (pa.string(), ("1", "1.5", " -2 ", "1e200", "+4", "nan")),
    "string of dates": (pa.string(), ("2024-01-31", "1969-12-31 23:59:59", "2024-02-29")),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    "date32": (pa.date32(), DAYS),
    "date64": (pa.date64(), DAYS),
    **{
        f"timestamp {unit} {zone}": _moments(unit, zone)
        for unit, zones in {
            "s": [None, "Europe/Berlin"],
            "ms": [None],
            "us": [None, "UTC"],
            "ns": [None, "Europe/Berlin"],
        }.items()
        for zone in zones
    },
    "time32": (pa.time32("ms"), TIMES),
    "time64": (pa.time64("us"), (*TIMES, dt.time(4, 5, 6, 789))),
    "null": (pa.null(), (None,)),
}
UNREAD: dict[str, Pool] = {
    "duration": (pa.duration("us"), (dt.timedelta(1), dt.timedelta(seconds=5))),
    "binary": (pa.binary(), (b"a", b"\xff")),
    "fixed binary": (pa.binary(2), (b"ab", b"\xff\0")),
    "list": (pa.list_(pa.int64()), ([1], [1, 2], [])),
    "struct": (pa.struct({"a": pa.int64()}), ({"a": 1}, {"a": 2})),
    "map": (pa.map_(pa.string(), pa.int64()), ([("a", 1)], [("b", 2)])),
}
"""What no kind of column reads."""


def kinds_of(kind: pa.DataType, name: str) -> list[str]:
    """The kinds that read every value of the pool; own: carried along as it is."""
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return ["date", "categorical", "own"]
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    ):
        return ["numeric", "categorical", "own"]
    others = {"string of numbers": ["numeric"], "string of dates": ["date"], "null": ["numeric", "date", "text"]}
    return [*others.get(name, ["text", "own"]), "categorical"]


def drawn(pool: Sequence[Any], rows: int, rng: np.random.Generator) -> list[Any]:
    """Values of up to five from the pool, so that they repeat; a share of them is null, and always one value is not."""
    some = rng.permutation(len(pool))[: rng.integers(1, 6)]
    nulls = rng.choice([0.0, 0.1, 0.4])
    values = [None if rng.random() < nulls else pool[place] for place in rng.choice(some, rows)]
    return [pool[some[0]], *values[1:]]


def array_of(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    """As the file has them; each file has a dictionary of its own."""
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    return pa.array(values, kind)


def family(kind: pa.DataType, read_as: str) -> str:
    """What its values are to an expectation: a number, text or a date."""
    if read_as != "own":
        return {"numeric": "a number", "date": "a date"}.get(read_as, "text")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "a date"
    return "a number" if kinds_of(kind, "")[0] == "numeric" and not pa.types.is_boolean(kind) else "text"


def value_of(value: Any, kind: pa.DataType, read_as: str) -> Any:
    """A value of the file as the kind has it; whole numbers that are carried along stay whole."""
    what = family(kind, read_as)
    if value is None or value != value or (what == "a number" and value == "nan"):
        return None
    if what == "text":
        return spell_value(np.float32(value) if pa.types.is_float16(kind) else value)
    if what == "a date":
        moment = pd.Timestamp(value)
        return (moment if moment.tzinfo is None else moment.tz_convert("UTC").tz_localize(None)).to_pydatetime()
    return int(value) if read_as == "own" and pa.types.is_integer(kind) else float(value)


def series_of(values: Sequence[Any], kind: pa.DataType, read_as: str) -> pd.Series:
    """The values of `value_of` as pandas has them."""
    what = family(kind, read_as)
    if what == "a number" and read_as == "own" and pa.types.is_integer(kind):
        return pd.Series(values, dtype="UInt64" if pa.types.is_unsigned_integer(kind) else "Int64")
    return pd.Series(values, dtype={"a number": "float64", "a date": "datetime64[us]"}.get(what, "object"))
