"""One spelling for each value, whatever type or text it comes as."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headway.columns.category import MISSING, UNKNOWN, Category
from headway.columns.spelling import spell, spell_value, spelled, texts_of
from headway.data.canonical import canonical
from headway.data.config import DataConfig
from headway.data.prepare import Preparation
from headway.tasks import Target

SAME: list[tuple[str, list[Any]]] = [
    ("4", [4, 4.0, "4", "4.0", "+4", "+4.0", Decimal("4"), Decimal("4.00"), np.int8(4), np.float32(4)]),
    ("-4", [-4, -4.0, "-4.0", "-4", Decimal("-4.00")]),
    ("0", [0, 0.0, -0.0, "-0", "0.0", "+0", "-0.0", Decimal("-0.00")]),
    ("1.5", [1.5, "1.5", Decimal("1.50"), np.float32(1.5)]),
    ("0.1", [0.1, "0.1", Decimal("0.100"), np.float32(0.1)]),
    ("100000000000000000", [10**17, 1e17, "1e+17", "100000000000000000.0"]),
    ("-1250000000000000", [-1.25e15, "-1.25e+15", Decimal("-1.25e15")]),
    ("1e-07", [1e-7, "1e-07", "1e-7", Decimal("0.0000001")]),
    ("0.12345678901234567890123", [Decimal("0.123456789012345678901230")]),
    ("true", [True, "True", "TRUE", "true", np.bool_(True)]),
    ("2024-12-31", [date(2024, 12, 31), datetime(2024, 12, 31), "2024-12-31", "2024-12-31T00:00:00.000"]),
    (
        "2024-12-31 22:58:59.5",
        [
            datetime(2024, 12, 31, 22, 58, 59, 500_000),
            datetime(2024, 12, 31, 22, 58, 59, 500_000, UTC),
            "2024-12-31T22:58:59.500Z",
            "2025-01-01 00:58:59.5+02:00",
            "2024-12-31 22:58:59.500000000",
        ],
    ),
    ("22:58:59.5", [time(22, 58, 59, 500_000), "22:58:59.500"]),
]
OWN = [
    "007",
    "01234",
    "",
    ".",
    "e5",
    "1.2.3",
    "1,5",
    "yes",
    "tRUE",
    "1_000",
    "inf",
    "nan",
    "12:30",
    "4 a",
    " 4",
    "4.",
    "4.00",
    ".0",
    "1.10",
    "+1.5",
    "007.0",
    "-01",
    "12e3",
    "0e1",
    "1e5",
    "1e17",
    "1E+17",
    "1.0e+17",
    "1e+09",
    "1e-0",
    "1E-7",
    "1e+400",
    "1.00000000000000001e+17",
    "0.0000001",
    "2024-13",
    "½",
]


@pytest.mark.parametrize(("text", "values"), SAME, ids=[text for text, _ in SAME])
def test_every_way_to_write_a_value_has_one_spelling(text: str, values: list[Any]) -> None:
    for value in values:
        assert spell_value(value) == text, repr(value)
        typed = texts_of(pa.array([value, None]))
        assert typed is not None
        assert typed.to_pylist() == [text, None], repr(value)
    assert spell(text) == text


@pytest.mark.parametrize("text", OWN)
def test_what_no_program_writes_for_a_whole_number_stays_as_it_is(text: str) -> None:
    assert spelled(pa.array([text, "other"])).to_pylist() == [text, "other"]
    assert spell(text) == text


def test_random_numbers_read_back_as_themselves_from_every_text() -> None:
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-30, 30, 500), rng.integers(-9, 9, 50) / 4])
    texts = texts_of(pa.array(numbers)).to_pylist()  # pyrefly: ignore
    assert [float(text) for text in texts] == numbers.tolist()
    for written in (pa.array([repr(number) for number in numbers.tolist()]), pc.cast(pa.array(numbers), pa.string())):
        again = spelled(written).to_pylist()
        whole = [i for i, number in enumerate(numbers.tolist()) if number.is_integer()]
        assert [again[i] for i in whole] == [texts[i] for i in whole]
        assert [float(text) for text in again] == numbers.tolist()
    assert spelled(pa.array([repr(number) for number in numbers.tolist()])).to_pylist() == texts


def test_a_column_of_words_is_not_touched() -> None:
    column = pa.array(["private", None, "state gov"])
    assert spelled(column) is column
    assert spelled(pa.array(["x", "4.0", None, "y"]).slice(1)).to_pylist() == ["4", None, "y"]


def test_the_positive_class_is_spelled_as_the_classes_are() -> None:
    data = {"source": "x.csv", "target": "y", "features": {"a": "numeric"}, "positive": "1.0"}
    assert DataConfig.parse(data, "data").positive == "1"


def test_a_category_finds_a_value_in_any_spelling_and_old_versions_their_own() -> None:
    new, old = Category("c", ("4", "1.5", "true")), Category("c", ("4.0", "1.5", "true"))
    for category in (new, old):
        (codes,) = category.apply(pa.array(["4", "4.0", "1.5", "TRUE", "1.50", None]))
        np.testing.assert_array_equal(codes, [2, 2, 3, 4, UNKNOWN, MISSING])


def test_a_number_finds_the_value_that_is_it_and_where_two_are_neither() -> None:
    prices = Category("c", ("0.100", "4", "007", "9007199254740993.00", "true"))
    description = [
        "0.1",
        "0.1000",
        "0.10000000149011612",
        "4.00",
        "7",
        "9007199254740993",
        "9007199254740992",
        "x",
        None,
    ]
    truth = ["0.100", "0.100", "0.100", "4", "7", "9007199254740993.00", "9007199254740992", "x", None]
    assert prices.by_number(pa.array(description)).to_pylist() == truth
    sections = Category("c", ("1.1", "1.10"))
    assert sections.by_number(pa.array(["1.10", "1.1", "1.100"])).to_pylist() == ["1.10", "1.1", "1.100"]
    assert prices.by_number(pa.array(["9" * 5000, "1e999999999"])).to_pylist() == ["9" * 5000, "1e999999999"]


def test_a_moment_is_cut_to_microseconds_as_its_text_is() -> None:
    nanoseconds = pa.array([-1, -1000, -1001, 1999], pa.timestamp("ns"))
    texts = ["1969-12-31 23:59:59.999999999", "1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999998999"]
    texts.append("1970-01-01 00:00:00.000001999")
    assert texts_of(nanoseconds).to_pylist() == [spell(text) for text in texts]  # pyrefly: ignore
    assert _convert(nanoseconds, "date") == _convert(texts, "date")


def test_a_decimal_is_the_nearest_double_as_its_text_is() -> None:
    for kind in (pa.decimal32(6, 2), pa.decimal64(6, 2), pa.decimal128(6, 2), pa.decimal256(6, 2)):
        cents = pa.array([Decimal(n).scaleb(-2) for n in range(-2000, 2000)], kind)
        assert _convert(cents, "numeric") == [n / 100 for n in range(-2000, 2000)]


def test_a_word_for_null_is_a_category_where_training_knew_it_as_one() -> None:
    target = Target("t", "classification", ("no", "yes"))
    rows = pa.record_batch({"c": ["None", "NA", "", "a", "b", None]})
    for typed, truth in ((True, [3, MISSING, MISSING, 2, UNKNOWN, MISSING]), (False, [3, 0, 0, 2, 0, MISSING])):
        preparation = Preparation((Category("c", ("a", "None")),), target, null_is_value=typed)
        np.testing.assert_array_equal(preparation.apply(rows)["categorical"][:, 0], truth)
    again = Preparation.from_json({**preparation.to_json(), "null_values": ["?"]})
    assert (again.null_is_value, again.null_values) == (False, ("?",))
    description = preparation.to_json()
    del description["typed"]
    assert Preparation.from_json(description).null_is_value is False, "it had words for null, so its files were CSV"


def _convert(values: Any, kind: Any) -> list[Any]:
    batch = pa.RecordBatch.from_arrays([pa.array(values)], names=["x"])
    return canonical(batch, {"x": kind}, "rows").column("x").to_pylist()


def test_a_value_is_read_alike_whatever_stands_beside_it() -> None:
    dates = [
        "2024-12-31",
        "31.12.2024",
        "20241231",
        "20241231.0",
        "31 Dec 2024",
        " 2024-12-31 ",
        "2024-12-31T02:00+02:00",
    ]
    assert set(_convert(dates, "date")) == {datetime(2024, 12, 31)}
    for text in dates:
        assert _convert([text], "date") == [datetime(2024, 12, 31)]
    assert _convert([20241231.0], "date") == [datetime(2024, 12, 31)]
    numbers = ["1.5", "+1.5", " 1.5", "15e-1"]
    assert set(_convert(numbers, "numeric")) == {1.5}
    assert _convert(["true", "FALSE", "", "nan", None], "numeric") == [1.0, 0.0, None, None, None]
    assert _convert(["1" * 5000], "numeric") == [float("inf")]
