"""Profiling 10,000,000 rows x 16 beside reading, DuckDB and polars: `make bench NAME=profile`. Some minutes on two cores.

Each side is a process of its own, so that its memory can be told; imports are outside the clock. Reading is pyarrow's, by all cores, of all
columns, and throws the rows away. DuckDB's SUMMARIZE and polars' streaming engine count, average, look for extremes, three quantiles and
the number of distinct values; ours adds sums of squares that merge, any quantile, infinities, how often each category occurs, and
the form that is merged with later files. Counts, means and extremes of all sides must agree.
`python -m bench.profile 1000000` takes fewer rows; `--minutes 3` goes on another time.
"""

from __future__ import annotations

import sys

import numpy as np

from bench.apart import apart, compare, of_so_many_rows
from bench.many_rows import NUMBERS, many_rows
from bench.profile_sides import SIDES
from bench.side_by_side import Comparison, against_itself

PAIRS, MEMORY_BYTES = 3, 0.8e9


def main(words: list[str]) -> None:
    """Take turns, compare the answers, and judge."""
    rows, settings, samples = of_so_many_rows("profile", words)
    table = many_rows(rows)
    answers: dict[str, dict[str, list[float]]] = {}
    sides = {side: apart("bench.profile_sides", side, [table], samples, answers) for side in SIDES}
    comparisons = [
        Comparison(
            "reading all columns by all cores: at most twice as long", sides["ours"], sides["reading"], PAIRS, 2.0
        ),
        Comparison("time of DuckDB's SUMMARIZE", sides["ours"], sides["duckdb"], PAIRS, 1.0),
        Comparison("time of polars, streaming", sides["ours"], sides["polars"], PAIRS),
        against_itself(sides["reading"], PAIRS),
    ]
    compare(samples, comparisons, settings, lambda: _must_agree(answers), SIDES, MEMORY_BYTES)


def _must_agree(answers: dict[str, dict[str, list[float]]]) -> None:
    """Mean, smallest, largest and nulls of each number, of all sides that were run."""
    for side in ("duckdb", "polars"):
        for name in NUMBERS if side in answers and "ours" in answers else ():
            own, theirs = answers["ours"][name], answers[side][name]
            if not np.allclose(own[: len(theirs)], theirs, rtol=1e-6, atol=1e-9):
                raise SystemExit(
                    f"{name}: mean, min, max and nulls must be equal, but are {own} and {theirs} of {side}"
                )


if __name__ == "__main__":
    main(sys.argv[1:])
