"""Batch scoring of 10,000,000 loans by a TabM, killed twice on the way: `make bench NAME=score`. Some twenty minutes on two cores.

The output must be complete and exact: every key once and in order, predictions the predictor's own on a sample of every file. The sum
of all processes' resident memory must stay under 1.5 GB. Beside it, on the same file and in turns, pyfunc's predict of the same bundle
between pandas' read_parquet and to_parquet. `python -m bench.score 500000` takes fewer rows.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq

from bench.side_by_side import Ratio, compare, summarise, write
from headway import tracking
from headway.data.arriving import Input
from headway.data.config import CsvOptions
from headway.data.datasets import locate
from headway.report import Silent
from headway.serve.bundle import Predictor
from headway.serve.parts import Output
from headway.serve.score import model_of
from headway.serve.stream import Job, Scoring
from headway.serve.workers import Workers

ROWS, FILES, SAMPLE = 10_000_000, 4, 4096
MEMORY_BYTES, SECONDS = 1.5e9, 900
PAIRS = 3
EVENT = "probability_yes"
ROOT = Path(__file__).parents[1]
HEADWAY = [sys.executable, "-m", "headway.cli"]


def main(rows: int) -> None:
    """Train, score with two kills, look at every row, compare."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(ROOT / "conf", root / "conf")
        settings = [word for s in ("model=tabm", "train.epochs=2") for word in ("--set", s)]
        subprocess.run(
            [*HEADWAY, "run", "loans", "--force", *settings], cwd=root, check=True, stdout=subprocess.DEVNULL
        )
        options = {"rows_per_month": rows // FILES, "months": FILES, "seed": 1}
        files = locate("loans", options, root).files
        data, out = files[0].parent, root / "out"
        shutil.rmtree(data / "broken")
        seconds, peak = 0.0, 0
        for share in (1 / 3, 2 / 3, None):
            took, most = _score(root, data, out, None if share is None else int(share * rows))
            seconds, peak = seconds + took, max(peak, most)
        _must_be_exact(root, files, out)
        print(f"{rows:,} rows in {seconds:.0f} s, {rows / seconds:,.0f} rows/s, at most {peak / 1e9:.2f} GB")
        allowed = SECONDS * rows / ROWS
        ratios = {
            "memory of all processes within 1.5 GB": _once(peak / MEMORY_BYTES),
            f"{ROWS:,} rows at this speed within 15 minutes": _once(seconds / allowed),
            "against pandas and pyfunc": _against_pyfunc(root),
        }
    for label, ratio in ratios.items():
        print(f"{label}: {ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
    print(write("score", ratios))


def _once(share: float) -> Ratio:
    return summarise(np.log([share]), 1.0)


def _score(root: Path, data: Path, out: Path, until: int | None) -> tuple[float, int]:
    """Score until it ends, or until so many rows are on disk: then it is killed. Seconds, and the most memory of all processes."""
    begun, peak = time.perf_counter(), 0
    command = [*HEADWAY, "score", "loans", "--data", str(data), "--out", str(out), "--json"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        while child.poll() is None:
            peak = max(peak, _memory(child.pid))
            if until is not None and _on_disk(out) >= until:
                os.kill(child.pid, signal.SIGKILL)
                child.wait()
                print(f"killed at {_on_disk(out):,} rows")
                return time.perf_counter() - begun, peak
            time.sleep(0.2)
        assert child.stdout is not None
        told: dict[str, Any] = json.loads(child.stdout.read().splitlines()[-1])
    if until is not None or told["refused"]:
        raise SystemExit(
            f"it must be killed at {until} and refuse nothing, however it ended with {told['scored']:,} rows"
        )
    return time.perf_counter() - begun, peak


def _memory(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total


def _on_disk(out: Path) -> int:
    """Rows in parts and in files that are whole."""
    parts = [path.stem.split("-") for path in out.glob(".parts/*/*.parquet")]
    return sum(int(end) - int(start) for start, end in parts) + sum(
        pq.read_metadata(path).num_rows for path in out.glob("*.parquet")
    )


def _must_be_exact(root: Path, files: tuple[Path, ...], out: Path) -> None:
    predictor = Predictor.load(tracking.version_of(root, "loans").bundle)
    for file in files:
        with pq.ParquetFile(file) as source, pq.ParquetFile(out / file.name) as scored:
            wanted = source.read(columns=["loan_id"]).column(0).combine_chunks()
            found = scored.read(columns=["loan_id"]).column(0).combine_chunks()
            if not found.equals(wanted) or len(found.unique()) != len(found):
                raise SystemExit(f"{file.name}: every key must be there once and in order, however they differ")
            sample = next(source.iter_batches(SAMPLE))
            written = next(scored.iter_batches(SAMPLE, columns=[EVENT])).column(0).to_numpy()
        apart = np.abs(predictor.predict(sample)[:, 1] - written).max()
        if apart > 1e-5:
            raise SystemExit(f"{file.name}: predictions must be the predictor's own, however they are {apart:g} apart")


def _against_pyfunc(root: Path) -> Ratio:
    """The whole way from Parquet to Parquet, with everything loaded before."""
    file = locate("loans", {"rows_per_month": 40_000, "months": 1, "seed": 2}, root).files[0]
    mlflow.set_tracking_uri(tracking.tracking_uri(root))
    theirs = mlflow.pyfunc.load_model("models:/loans@champion")
    model = model_of(root, "loans", "champion", ("loan_id",))
    one = Input(str(file), file.name, "parquet", CsvOptions())

    def anchor() -> None:
        frame = pd.read_parquet(file)
        predicted = theirs.predict(frame[list(model.preparation.kinds)])
        predicted.insert(0, "loan_id", frame["loan_id"])
        predicted.to_parquet(root / "theirs.parquet")

    with Workers(model.bundle) as workers:

        def ours() -> None:
            job = Job(one, Output(root / "ours.parquet", "0" * 16))
            Scoring(job, model, workers, Silent(), 0, 1).run()

        found = compare(ours, anchor, PAIRS, 1.0)
    same = np.abs(pd.read_parquet(root / "ours.parquet")[EVENT] - pd.read_parquet(root / "theirs.parquet")[EVENT])
    if same.max() > 1e-5:
        raise SystemExit(f"both must predict the same, however they are {same.max():g} apart")
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
