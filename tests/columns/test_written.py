"""Values read by `data.written`, beside the dates that the standard library reads."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from headway.columns import column_type
from headway.columns.values import BadValues, Place
from headway.columns.written import Written, read_dates, read_written

PLACE = Place("day", "new.csv")

COLUMNS = [
    pa.array([202403, None, 199912]),
    pa.array([202403, 199912], pa.int32()),
    pa.array([202403.0, None, 199912.0]),
    pa.array([Decimal("202403.00"), Decimal("199912")]),
    pa.array(["202403", "202403.0", " 199912 ", None]),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: str(column.type))
def test_whole_numbers_are_read_like_their_texts_where_dates_are_digits_alone(column: pa.Array) -> None:
    days = column_type("date").canonical(read_written(column, Written(dates=("%Y%m",)), PLACE), PLACE, None, True)
    texts = [None if v is None else str(v).strip().split(".")[0] for v in column.to_pylist()]
    assert days.to_pylist() == [None if text is None else datetime.strptime(text, "%Y%m") for text in texts]


@pytest.mark.parametrize("value", [202403.5, 20240.0, -202403.0, 202413.0, float("inf")])
def test_other_numbers_are_bad_values_in_one_line(value: float) -> None:
    with pytest.raises(
        BadValues, match=r"^new.csv: column day must be a date like %Y%m, but 1 value is not \(row 2: "
    ) as e:
        read_written(pa.array([202403.0, value]), Written(dates=("%Y%m",)), PLACE)
    assert e.value.bad.tolist() == [False, True]
    assert "\n" not in str(e.value)


def test_numbers_stay_where_dates_have_marks_between_their_digits() -> None:
    column = pa.array([20240301, 20240302])
    assert read_written(column, Written(dates=("%d.%m.%Y",)), PLACE).equals(column)


@pytest.mark.parametrize(
    ("form", "day", "others"),
    [
        ("%Y%m%d", "20240101", ["2024011", "202401", "20241", "2024-01-01", "202401011", "2024 101"]),
        ("%Y%m", "202401", ["20241", "2024", "2024011", "20240101", "2024-1", "2024 1"]),
        ("%Y%m%d%H%M", "202401010930", ["20240101930", "20240101"]),
    ],
)
def test_dates_of_digits_alone_have_all_of_their_digits(form: str, day: str, others: list[str]) -> None:
    moments = read_dates(pa.array([day, *others, None]), (form,)).to_pylist()
    assert moments == [datetime.strptime(day, form), *[None] * len(others), None]


def test_a_setting_of_a_later_version_leaves_earlier_digests_as_they_were() -> None:
    """Runs would not be up to date, and stores would be made again, although nothing changed."""
    assert "clock" not in Written(thousands=",").how
    assert Written(clock=True).how["clock"] is True


@pytest.mark.parametrize("written", [Written(clock=True), Written(dates=("%d.%m.%Y",))])
def test_blank_cells_of_times_and_dates_are_missing(written: Written) -> None:
    text = "7:30" if written.clock else "31.12.2024"
    values = read_written(pa.array([text, "  ", "", None]), written, Place("c", "t.csv"))
    assert values.is_null().to_pylist() == [False, True, True, True]
