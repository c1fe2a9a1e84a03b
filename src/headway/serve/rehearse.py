"""Predict the test rows from raw, as a fresh process will: `python -m headway.serve.rehearse STORE OUT BUNDLE...`.

For each bundle writes `OUT/<n>.npy`, its predictions, and into `OUT/rehearsal.json`: its size in bytes, the time to
predict 1,000 rows and, where a bundle cannot predict these rows, the reason. A champion is thus judged on the candidate's
test rows by its own preparation. What is known is written after each bundle: one that ends the process does not take with it
what the others showed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from headway.data.store import Store
from headway.errors import DamagedError, HeadwayError, TrainingError
from headway.files.atomic import read_json, write_array, write_json
from headway.files.records import Record, plain
from headway.run.directory import RunDirectory
from headway.serve.bundle import Predictor

LATENCY_ROWS = 1000
LATENCY_REPEATS = 5


def main(store_path: str, out: str, bundles: list[str]) -> int:
    """Rehearse every bundle. A bundle that fails is reported in the JSON, not by the exit code."""
    store, folder = Store(Path(store_path)), Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    for n, bundle in enumerate(bundles):
        try:
            done.append(_rehearse(store, Path(bundle), folder / f"{n}.npy"))
        except HeadwayError as error:
            done.append(Outcome.of_problem(error))
        write_outcomes(folder, done)
    return 0


@dataclass(frozen=True)
class Outcome(Record):
    """How one bundle fared. ``problem``: why it did not predict; ``damaged``: because its files are."""

    size_bytes: int = 0
    latency_ms: float = 0.0
    classes: tuple[str, ...] = ()
    problem: str | None = None
    damaged: bool = False

    @classmethod
    def of_problem(cls, error: Exception) -> Outcome:
        """Of a bundle that did not predict."""
        return cls(problem=str(error), damaged=isinstance(error, DamagedError))


def write_outcomes(folder: Path, done: Sequence[Outcome]) -> None:
    """Write rehearsal.json: how the first bundles fared."""
    write_json(folder / "rehearsal.json", plain(done))


def outcomes(run: RunDirectory, code: int) -> list[Outcome]:
    """What a rehearsal that ended with this exit code told of the candidate and, where there is one, of the champion.

    Raises TrainingError where the candidate did not predict; a champion that did not has a problem.
    """
    folder = run.path / "rehearsal"
    told = _told(folder)
    if code != 0:
        if not told:
            raise TrainingError(f"the bundle must predict in a fresh process, but that failed: {_last_line(folder)}")
        told = told if len(told) > 1 else [told[0], _ended(folder)]
    if told[0].problem is not None:
        raise TrainingError(f"the bundle must predict in a fresh process, but: {told[0].problem}")
    return told


def outcome_of(folder: Path) -> Outcome:
    """What a rehearsal in ``folder`` told of its one bundle."""
    told = _told(folder)
    return told[0] if told else _ended(folder)


def await_end(child: subprocess.Popen[bytes]) -> int:
    """The exit code of a rehearsal; it ends with us where we are interrupted."""
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _told(folder: Path) -> list[Outcome]:
    path = folder / "rehearsal.json"
    return [Outcome.from_json(one, path) for one in read_json(path, list)] if path.exists() else []


def _ended(folder: Path) -> Outcome:
    return Outcome(problem=f"predicting with it ended the process: {_last_line(folder)}")


def _last_line(folder: Path) -> str:
    log = folder.with_name(f"{folder.name}.log")
    return (log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"])[0]


def _rehearse(store: Store, bundle: Path, out: Path) -> Outcome:
    predictor = Predictor.load(bundle)
    write_array(out, np.concatenate([predictor.predict(batch) for batch in store.raw_test_batches()]))
    first = next(store.raw_test_batches(LATENCY_ROWS))
    rows = pa.Table.from_batches([first] * -(-LATENCY_ROWS // first.num_rows)).slice(0, LATENCY_ROWS)
    batch = rows.combine_chunks().to_batches()[0]
    seconds = []
    for _ in range(LATENCY_REPEATS):
        begun = time.perf_counter()
        predictor.predict(batch)
        seconds.append(time.perf_counter() - begun)
    size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
    return Outcome(size, 1000 * float(np.median(seconds)), tuple(predictor.preparation.target.classes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
