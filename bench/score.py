"""Batch scoring of 10,000,000 loans by a TabM, killed twice on the way: `make bench NAME=score`. Some twenty minutes on two cores.

The output must be complete and exact: every key once and in order, predictions the predictor's own on a sample of every file. The sum
of all processes' resident memory must stay under 1.5 GB. Beside it, on the same file and in turns, pyfunc's predict of the same bundle
between pandas' read_parquet and to_parquet, with a thread for each core where ours has a process of one thread for each core; both in
fp32. `python -m bench.score 500000` takes fewer rows, `--minutes 3` a part of the way: the next run goes on where it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq

from bench.samples import FOLDER, ROOT, Samples, options
from bench.side_by_side import Ratio, block, summarise, tell
from headway import tracking
from headway.data.arriving import Input
from headway.data.config import CsvOptions
from headway.data.datasets import locate
from headway.pipeline.scoring import model_of
from headway.run.report import Silent
from headway.serve.bundle import Predictor
from headway.serve.parts import Output
from headway.serve.stream import Job, Scoring
from headway.serve.workers import Workers

ROWS, FILES, SAMPLE = 10_000_000, 4, 4096
MEMORY_BYTES, SECONDS = 1.5e9, 900
PAIRS = 6
EVENT = "probability_yes"
HEADWAY = [sys.executable, "-m", "headway.cli"]


def main(words: list[str]) -> None:
    """Train, score with two kills, look at every row, compare; each part that is there already is left out."""
    rows = int(words.pop(0)) if words and words[0].isdigit() else ROWS
    settings = options(words)
    name = "score" if rows == ROWS else f"score-{rows}"
    samples, root, deadline = Samples(name, fresh=settings.fresh), FOLDER / name, settings.deadline()
    if len(samples.of("begun")) != len(
        samples.of("seconds")
    ):  # stopped on the way: rows on disk whose seconds are lost
        samples = Samples(name, fresh=True)
    if not samples.of("begun"):
        _train(root, rows)
    files = _files(root, rows)
    if not _score_with_kills(root, files, samples, deadline):
        print("the rest is still to be scored; run it again to go on")
        return
    if len(samples.of("A/A")) < PAIRS:
        _against_pyfunc(root, samples, deadline)
    _judge(name, rows, samples)


def _judge(name: str, rows: int, samples: Samples) -> None:
    seconds, peak = sum(samples.of("seconds")), max(samples.of("peak"))
    print(f"{rows:,} rows in {seconds:.0f} s, {rows / seconds:,.0f} rows/s, at most {peak / 1e9:.2f} GB")
    ratios = {
        "memory of all processes within 1.5 GB": _once(peak / MEMORY_BYTES),
        f"{ROWS:,} rows at this speed within 15 minutes": _once(seconds / (SECONDS * rows / ROWS)),
    }
    itself: dict[str, Ratio] = {}
    if len(samples.of("A/A")) > 1:
        ratios["pandas and pyfunc"] = summarise(samples.of("pyfunc"), 1.0)
        itself["pandas"] = ratios["pandas and pyfunc: A/A"] = summarise(samples.of("A/A"))
    tell(name, ratios, itself)


def _train(root: Path, rows: int) -> None:
    """A champion in a new folder, and the rows to score."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ROOT / "conf", root / "conf")
    settings = [word for s in ("model=tabm", "train.epochs=2") for word in ("--set", s)]
    subprocess.run([*HEADWAY, "run", "loans", "--force", *settings], cwd=root, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(_files(root, rows)[0].parent / "broken")


def _files(root: Path, rows: int) -> tuple[Path, ...]:
    return locate("loans", {"rows_per_month": rows // FILES, "months": FILES, "seed": 1}, root).files


def _score_with_kills(root: Path, files: tuple[Path, ...], samples: Samples, deadline: float) -> bool:
    """To a third, to two thirds and to the end. Returns whether all of it is done, and exact."""
    rows, out = sum(pq.read_metadata(file).num_rows for file in files), root / "out"
    ends = [int(rows / 3), int(2 * rows / 3), None]
    for until in ends[len(samples.of("seconds")) :]:
        if time.monotonic() >= deadline:
            return False
        samples.add("begun", 1.0)
        seconds, peak = _score(root, files[0].parent, out, until)
        samples.add("peak", peak)
        samples.add("seconds", seconds)
    _must_be_exact(root, files, out)
    return True


def _once(share: float) -> Ratio:
    return summarise(np.log([share]), 1.0)


def _score(root: Path, data: Path, out: Path, until: int | None) -> tuple[float, int]:
    """Score until it ends, or until so many rows are on disk: then it is killed. Seconds, and the most memory of all processes."""
    start, peak = time.perf_counter(), 0
    command = [*HEADWAY, "score", "loans", "--data", str(data), "--out", str(out), "--json"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        while child.poll() is None:
            peak = max(peak, _memory(child.pid))
            if until is not None and _on_disk(out) >= until:
                os.kill(child.pid, signal.SIGKILL)
                child.wait()
                print(f"killed at {_on_disk(out):,} rows")
                return time.perf_counter() - start, peak
            time.sleep(0.2)
        assert child.stdout is not None
        report: dict[str, Any] = json.loads(child.stdout.read().splitlines()[-1])
    if until is not None or report["refused"]:
        raise SystemExit(f"it must be killed at {until} and refuse nothing, but ended with {report['scored']:,} rows")
    return time.perf_counter() - start, peak


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
            ids = source.read(columns=["loan_id"]).column(0).combine_chunks()
            scored_ids = scored.read(columns=["loan_id"]).column(0).combine_chunks()
            if not scored_ids.equals(ids) or len(scored_ids.unique()) != len(scored_ids):
                raise SystemExit(f"{file.name}: every key must be there once and in order, but they differ")
            sample = next(source.iter_batches(SAMPLE))
            values = next(scored.iter_batches(SAMPLE, columns=[EVENT])).column(0).to_numpy()
        apart = np.abs(predictor.predict(sample)[:, 1] - values).max()
        if apart > 1e-5:
            raise SystemExit(f"{file.name}: predictions must be the predictor's own, but are {apart:g} apart")


def _against_pyfunc(root: Path, samples: Samples, deadline: float) -> None:
    """The whole way from Parquet to Parquet, with everything loaded before; and the anchor against itself."""
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

        ours(), anchor()
        while len(samples.of("A/A")) < PAIRS and time.monotonic() < deadline:
            samples.add("pyfunc", block(ours, anchor, len(samples.of("pyfunc"))))
            samples.add("A/A", block(anchor, anchor, len(samples.of("A/A"))))
    same = np.abs(pd.read_parquet(root / "ours.parquet")[EVENT] - pd.read_parquet(root / "theirs.parquet")[EVENT])
    if same.max() > 1e-5:
        raise SystemExit(f"both must predict the same, but are {same.max():g} apart")


if __name__ == "__main__":
    main(sys.argv[1:])
