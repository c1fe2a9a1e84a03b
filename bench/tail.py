"""One new month behind 100: `make bench NAME=tail`. Half an hour on two cores, and 12 GB of disk.

A month is a file of 100,000 rows x 16. Validating and preparing 101 files where 100 were validated and prepared before is compared with
doing so from nothing, once with a preparation that is fitted to all files, once with one that is fitted to the first 100
(prepare.fitted_on). All files of the stores must be equal, byte for byte. Imports are outside the clock, that of Great Expectations too.
`python -m bench.tail 10000` takes files of fewer rows; `--minutes 3` goes on another time.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from bench.apart import apart, compare, measured
from bench.many_rows import CATEGORIES, NUMBERS, TARGET, rows_of_group
from bench.samples import FOLDER, Samples, options
from bench.side_by_side import Comparison, against_itself
from bench.validate_sides import EXPECTATIONS

MONTHS, ROWS, PAIRS, GOAL = 100, 100_000, 2, 0.03
MEMORY_BYTES = 1e9
WAYS = {"all": None, "stated": "month-0*"}
"""What the preparation is fitted to."""


def main(words: list[str]) -> None:
    """Take turns, compare the stores, and judge."""
    rows, words = (int(words[0]), words[1:]) if words and words[0].isdigit() else (ROWS, words)
    settings, name = options(words), "tail" if rows == ROWS else f"tail-{rows}"
    samples, folder = Samples(name, fresh=settings.fresh), FOLDER / name
    _files(folder, rows)
    sums: dict[str, str] = {}
    sides = {f"{side} {way}": _side(side, way, folder, samples, sums) for way in WAYS for side in ("ours", "nothing")}
    comparisons = [
        Comparison(
            "fitted to all files: of the time from nothing", sides["ours all"], sides["nothing all"], PAIRS, GOAL
        ),
        Comparison(
            "fitted to the first 100: of the time from nothing",
            sides["ours stated"],
            sides["nothing stated"],
            PAIRS,
            GOAL,
        ),
        against_itself(sides["ours stated"], PAIRS),
    ]
    compare(samples, comparisons, settings, lambda: _must_be_equal(sums), sides, MEMORY_BYTES)


def _files(folder: Path, rows: int) -> None:
    """The months, written where they are missing."""
    (folder / "months").mkdir(parents=True, exist_ok=True)
    for number in range(MONTHS + 1):
        path = folder / "months" / f"month-{number:03}.parquet"
        if not path.exists():
            batch, partial = rows_of_group(number, rows), path.with_suffix(".partial")
            with pq.ParquetWriter(partial, batch.schema) as writer:
                writer.write_batch(batch)
            partial.rename(path)


def _side(side: str, way: str, folder: Path, samples: Samples, sums: dict[str, str]) -> Callable[[], float]:
    """The work of one side: of ours, in a copy of a folder in which the first 100 months were prepared."""
    own = folder / f"{side}-{way}"
    work = apart("bench.tail", f"{side} {way}", [own, folder / "months", str(MONTHS + 1)], samples, sums)

    def ours() -> float:
        before = folder / f"before-{way}"
        if not (before / "done").exists():
            shutil.rmtree(before, ignore_errors=True)
            command = [
                sys.executable,
                "-m",
                "bench.tail",
                f"nothing {way}",
                str(before),
                str(folder / "months"),
                str(MONTHS),
            ]
            subprocess.run(command, check=True, capture_output=True)
            (before / "done").touch()
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(before, own)
        return work()

    def nothing() -> float:
        shutil.rmtree(own, ignore_errors=True)
        return work()

    return ours if side == "ours" else nothing


def _must_be_equal(sums: dict[str, str]) -> None:
    """The checksums of the two stores of each way."""
    for way in WAYS:
        stores = {sums[side] for side in (f"ours {way}", f"nothing {way}") if side in sums}
        if len(stores) > 1:
            raise SystemExit(f"fitted to {way} files: the stores must be equal, but are not")


def alone(side: str, root: Path, months: Path, count: int) -> None:
    """Validate and prepare the first months, in a process of its own. Answers the store's checksums."""
    from headway.data.opening import open_table
    from headway.files.atomic import digest, read_json
    from headway.pipeline.runs import store_of
    from headway.pipeline.validation import examine
    from headway.project import Project
    from headway.quality.ruling import engine
    from headway.run.report import Silent

    kinds = {**dict.fromkeys(NUMBERS, "numeric"), **dict.fromkeys(CATEGORIES, "categorical")}
    values = {
        "name": "months",
        "task": "classification",
        "data": {"source": str(months), "target": TARGET, "features": kinds},
        "validation": {"expectations": [{**one, "severity": "warn"} for one in EXPECTATIONS]},
        "prepare": {"bins": 0, "fitted_on": WAYS[side.split()[1]]},
    }
    project = Project.parse(values, "months.yaml")
    files = {str(file) for file in sorted(months.glob("*.parquet"))[:count]}
    root.mkdir(parents=True, exist_ok=True)
    engine()

    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def work() -> str:
        start = seconds()
        table = open_table(project.data, project.task, root, only=files)
        examine(project, table, Silent(), root)
        examined = seconds()
        store, _ = store_of(table, project, root, ())
        print(
            f"CPU seconds: validation {examined - start:.1f}, preparation {seconds() - examined:.1f}", file=sys.stderr
        )
        sums = read_json(store.path / "checksums.json")["files"]
        return digest({name: one for name, one in sums.items() if name != "progress.json"})

    measured(work)


if __name__ == "__main__":
    if len(sys.argv) == 5:
        alone(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(sys.argv[1:])
