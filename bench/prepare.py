"""Preparing 10,000,000 rows x 15 beside pandas and polars: `make bench NAME=prepare`. Some minutes on two cores.

Each side fits on the training rows and writes the arrays of each part, in a process of its own, so that its memory can be told; imports
are outside the clock. The anchors are given the parts; ours is given the rows' hashes, which `bench.validate` counts, and divides by
them. Ours also keeps what tells the rows apart and the test rows as they came, and syncs and checksums all that it writes. The bins of
piecewise-linear encodings are left out. The arrays must be equal, but for what replaces a null: our median comes from a sketch, within
.2 % of the rows.
`python -m bench.prepare 1000000` takes fewer rows; `--minutes 3` goes on another time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bench.apart import apart, compare, of_so_many_rows
from bench.many_rows import NUMBERS, many_rows
from bench.prepare_sides import PARTS
from bench.samples import FOLDER
from bench.side_by_side import Comparison, against_itself

PAIRS, MEMORY_BYTES = 2, 1e9
CHUNK = 1 << 20


def main(words: list[str]) -> None:
    """Take turns, compare the arrays, and judge."""
    rows, settings, samples = of_so_many_rows("prepare", words)
    table, folder = many_rows(rows), FOLDER / samples.path.stem
    sides = {
        side: apart("bench.prepare_sides", side, [table, folder / side, folder / "parts.npy"], samples, {})
        for side in ("ours", "pandas", "polars")
    }
    sides["ours"]()  # which leaves the parts for the others
    comparisons = [
        Comparison("time of pandas", sides["ours"], sides["pandas"], PAIRS, 1 / 3),
        Comparison("time of polars, streaming", sides["ours"], sides["polars"], PAIRS, 1 / 1.5),
        against_itself(sides["polars"], PAIRS),
    ]
    compare(samples, comparisons, settings, lambda: _must_be_equal(folder), sides, MEMORY_BYTES)


def _must_be_equal(folder: Path) -> None:
    """Compare the arrays of all sides, some rows at a time. A filled null may differ by what a median's rank error makes."""
    for part in PARTS:
        for name in ("numeric", "categorical", "target"):
            own = np.load(folder / "ours" / "store" / part / f"{name}.npy", mmap_mode="r")
            for side in ("pandas", "polars"):
                path = folder / side / part / f"{name}.npy"
                if path.exists():
                    _compare(own, np.load(path, mmap_mode="r"), f"{side}, {part}, {name}", name == "numeric")


def _compare(own: np.ndarray, theirs: np.ndarray, where: str, numbers: bool) -> None:
    if own.shape != theirs.shape or own.dtype != theirs.dtype:
        raise SystemExit(f"{where}: shapes and types must be equal, but are {own.shape} and {theirs.shape}")
    for at in range(0, len(own), CHUNK):
        a, b = own[at : at + CHUNK], theirs[at : at + CHUNK]
        apart = np.abs(a.astype(np.float64) - b)
        if numbers:
            values, nulls = apart[:, 0::2], a[:, 1::2] == 1
            apart[:, 0::2] = np.where(nulls, np.maximum(0, values - 0.01), values)
        if apart.max(initial=0) > 1e-4:
            raise SystemExit(
                f"{where}: values must be equal, but are {apart.max():g} apart in the {len(NUMBERS)} numbers"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
