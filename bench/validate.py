"""Validating 10,000,000 rows x 16 by 27 expectations beside Great Expectations' pandas engine: `make bench NAME=validate`. Ten minutes.

Ours is all that `headway run` does to validate rows: profile, expectations, leaks, overlap, and the import of Great Expectations; once
more, the expectations alone. Theirs reads the table and judges, without its import. Verdicts and counts must be equal.
`python -m bench.validate 1000000` takes fewer rows; `--minutes 3` goes on another time.
"""

from __future__ import annotations

import sys
from typing import Any

from bench.apart import apart, compare, of_so_many_rows
from bench.many_rows import many_rows
from bench.side_by_side import Comparison, against_itself
from bench.validate_sides import EXPECTATIONS, SIDES

PAIRS, MEMORY_BYTES = 2, 0.8e9


def main(words: list[str]) -> None:
    """Take turns, compare the verdicts, and judge."""
    rows, settings, samples = of_so_many_rows("validate", words)
    table, answers = many_rows(rows), dict[str, Any]()
    sides = {side: apart("bench.validate_sides", side, [table], samples, answers) for side in SIDES}
    comparisons = [
        Comparison("all of validation: a quarter of the time", sides["ours"], sides["theirs"], PAIRS, 1 / 4),
        Comparison("judging alone: a twentieth of the time", sides["judging"], sides["theirs"], PAIRS, 1 / 20),
        against_itself(sides["judging"], PAIRS),
    ]
    compare(samples, comparisons, settings, lambda: _must_be_equal(answers), SIDES, MEMORY_BYTES)


def _must_be_equal(answers: dict[str, Any]) -> None:
    """Stops where a verdict, or a count that both have, differs."""
    for side in SIDES:
        for one, own, other in zip(EXPECTATIONS, answers.get(side, ()), answers.get("theirs", ()), strict=False):
            if own[0] != other[0] or (None not in (own[1], other[1]) and own[1] != other[1]):
                raise SystemExit(f"{one['expect']} of {one['column']}: {side} says {own}, Great Expectations {other}")


if __name__ == "__main__":
    main(sys.argv[1:])
