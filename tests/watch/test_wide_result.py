"""What a person reads of a comparison of thousands of columns."""

from __future__ import annotations

from headway.watch.judge import Shift
from headway.watch.result import SHOWN, Belonging, WatchResult, left_out, page, table


def compared(columns: int, drifted: int) -> WatchResult:
    """Columns of rising PSI, of which the last ones drifted."""
    shifts = tuple(
        Shift(f"c{number}", number >= columns - drifted, number / columns, 0.01, 0.0, 0.0, 0.0)
        for number in range(columns)
    )
    return WatchResult(
        drifted > 0, "Drift.", "1", ("a.csv",), "newest", 1000, Belonging("row", 1000, 1.0, "1,000 rows"), "d", shifts
    )


def test_a_wide_table_shows_the_largest_drift_and_counts_the_rest() -> None:
    """The drifted columns are first; the others are counted, in the terminal and on the page."""
    result = compared(5000, 130)
    rows = table(result)
    assert [row["column"] for row in rows] == [f"c{number}" for number in range(4999, 4999 - SHOWN, -1)]
    assert left_out(result) == [f"and 4,900 more columns, of which {130 - SHOWN} drifted: watch.json has each"]
    text = page(result)
    assert left_out(result)[0] in text
    assert "c4999" in text
    assert "c4000" not in text


def test_a_narrow_table_shows_each_column() -> None:
    """Nothing is left out, and nothing is said about it."""
    result = compared(SHOWN, 2)
    assert len(table(result)) == SHOWN
    assert left_out(result) == []
