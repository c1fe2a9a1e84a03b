"""Profile, split and prepare 1M, 10M and 100M rows: `make bench NAME=scale`. An hour on two cores, and 11 GB of disk.

The time for each row, by the clock and of CPU, and the peak of memory must stay within 15 % of those of a tenth of the rows. A file
has a million rows of seven columns, each with content of its own; each size is read and written by a process of its own.
`python -m bench.scale 10000000` takes no more rows than that; `--minutes 3` goes on another time.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.many_rows import GROUP, TARGET, rows_of_group
from bench.samples import FOLDER, ROOT, Samples, options
from bench.side_by_side import Ratio, summarise, tell

SIZES = (1_000_000, 10_000_000, 100_000_000)
NUMBERS, CATEGORIES = ("x0", "x1", "x5", "x6"), ("c1", "c3", "c4")
REPEATS, LIMIT = 2, 1.15
MEASURES = {"seconds": ("seconds a row", 1), "cpu": ("CPU seconds a row", 1), "peak": ("memory", 0)}
"""What is compared between two sizes, and the power of the rows that it should grow with."""
ALONE = "alone"


def main(words: list[str]) -> None:
    """Each size in turns, the small ones first; then the ratios of neighbours."""
    if words[:1] == [ALONE]:
        _work(int(words[1]))
        return
    most = int(words.pop(0)) if words and words[0].isdigit() else SIZES[-1]
    settings, sizes = options(words), [size for size in SIZES if size <= most]
    samples, deadline = Samples("scale", fresh=settings.fresh), settings.deadline()
    for repeat in range(REPEATS):
        for size in sizes:
            if len(samples.of(f"{size}: seconds")) <= repeat and time.monotonic() < deadline:
                _files(size)
                _measure(size, samples)
    _judge(samples, sizes)


def _judge(samples: Samples, sizes: list[int]) -> None:
    ratios: dict[str, Ratio] = {}
    for small, large in pairwise(sizes):
        for what, (label, share) in MEASURES.items():
            pairs = zip(samples.of(f"{large}: {what}"), samples.of(f"{small}: {what}"), strict=False)
            if logs := [np.log(a / b / (large / small) ** share) for a, b in pairs]:
                ratios[f"{label}, {large:,} rows by {small:,}"] = summarise(logs, LIMIT)
    for size in sizes:
        print(f"{size:,} rows: {samples.of(f'{size}: seconds')} s, {samples.of(f'{size}: peak')} bytes")
    tell("scale", ratios)


def _files(rows: int) -> list[Path]:
    """The files of so many rows, written where they are missing."""
    folder = FOLDER / "scale"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"rows-{number:03}.parquet" for number in range(rows // GROUP)]
    for number, file in enumerate(files):
        if not file.exists():
            batch = rows_of_group(number, GROUP).select([*NUMBERS, *CATEGORIES, TARGET])
            partial = file.with_suffix(".partial")
            with pq.ParquetWriter(partial, batch.schema) as writer:
                writer.write_batch(batch)
            partial.rename(file)
    return files


def _measure(rows: int, samples: Samples) -> None:
    words = [sys.executable, "-m", "bench.scale", ALONE, str(rows)]
    outcome = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise SystemExit(outcome.stderr)
    for name, value in json.loads(outcome.stdout).items():
        samples.add(f"{rows}: {name}", value)


def _work(rows: int) -> None:
    """In a process of its own: nothing of an earlier run is used, and nothing is left."""
    from headway.columns.config import PrepareConfig
    from headway.data.config import DataConfig, SplitConfig
    from headway.data.file_profiles import profile_by_file
    from headway.data.opening import open_table
    from headway.data.split import Division
    from headway.data.storing import make_store

    kinds = {**dict.fromkeys(NUMBERS, "numeric"), **dict.fromkeys(CATEGORIES, "categorical")}
    source = str(FOLDER / "scale" / "*.parquet")
    data = DataConfig.parse({"source": source, "target": TARGET, "features": kinds}, "data")
    files, root = {str(file) for file in _files(rows)}, FOLDER / "scale-store"
    shutil.rmtree(root, ignore_errors=True)
    used, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    table = open_table(data, "classification", root, only=files)
    profile = profile_by_file(table, root, root / "profiles")
    store, _ = make_store(root / "prepared", Division(table, SplitConfig()), data, PrepareConfig(bins=0))
    seconds = time.perf_counter() - start
    if not profile.rows == sum(store.rows.values()) == rows:
        raise SystemExit(f"all {rows:,} rows must be prepared, but they are {sum(store.rows.values()):,}")
    shutil.rmtree(root)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": after.ru_maxrss * 1024}))


if __name__ == "__main__":
    main(sys.argv[1:])
