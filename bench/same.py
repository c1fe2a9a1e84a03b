"""Whether a rebuilding changed what is learnt: `python -m bench.same --keep` before, `python -m bench.same` after. About five minutes.

Six short retrainings with one thread: the digests of their weights and predictions, their metrics, and the names that MLflow has of them.
`--keep` writes bench/same.json, without it the differences are printed; the bits hold for one kind of processor and one torch.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.samples import ROOT, machine
from headway import tracking
from headway.files.atomic import read_json, write_json
from headway.run.directory import RunDirectory

KEPT = ROOT / "bench" / "same.json"
WRITTEN = (".json", ".npy", ".parquet", ".yaml")
"""Parts of a bundle that tell of the time and the place; the rest is what was learnt."""


@dataclass(frozen=True)
class Case:
    """One short retraining of a project in conf/."""

    name: str
    project: str
    settings: tuple[str, ...]


CASES = (
    Case("adult, mlp", "adult", ("model=mlp", "train.epochs=2")),
    Case("adult, tabm", "adult", ("train.epochs=1",)),
    Case("adult, boosting", "adult", ("model=boosting",)),
    # By quantiles, its own scale, the same rows are prepared a little differently each time: the sketch of many rows throws dice.
    Case("california-housing, tabm", "california-housing", ("train.epochs=3", "prepare.scale=standard")),
    # By medians, which stand in for missing numbers, they are too.
    Case(
        "loans, two months",
        "loans",
        ("data.options.months=2", "split.by=random", "train.epochs=3", "prepare.impute=mean"),
    ),
    Case("shakespeare, small", "shakespeare", ("train.epochs=1", "model.layers=1", "model.width=32", "model.heads=2")),
)
SHORT = ("train.threads=1", "evaluate.resamples=200", "gate.first=beat_trivial")


def main() -> None:
    """Keep what is, or tell what differs from what was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="write what is into bench/same.json")
    keep = parser.parse_args().keep
    results = {"machine": machine(), **{case.name: _result(case) for case in CASES}}
    if keep:
        write_json(KEPT, results)
        return
    different = list(_differences(read_json(KEPT), results))
    print("\n".join(different) or f"{len(CASES)} retrainings are the same")
    sys.exit(bool(different))


def _result(case: Case) -> dict[str, Any]:
    """Run one case in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="headway-same-") as place:
        root = Path(place)
        shutil.copytree(ROOT / "conf", root / "conf")
        words = [word for setting in (*SHORT, *case.settings) for word in ("--set", setting)]
        command = [sys.executable, "-m", "headway.cli", "run", case.project, "--force", *words]
        outcome = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if outcome.returncode != 0:
            raise SystemExit(f"{case.name}: {outcome.stdout}{outcome.stderr}")
        print(f"{case.name}: done", flush=True)
        (folder,) = (root / "data" / "runs").glob(f"{case.project}-*")
        return _told(RunDirectory(folder), root)


def _told(run: RunDirectory, root: Path) -> dict[str, Any]:
    """What is compared of a run."""
    learnt = sorted(path for path in run.bundle.iterdir() if path.suffix not in WRITTEN)
    with _own_store():
        entry = tracking.open_store(root).get_run(read_json(run.path / "tracking.json")["run_id"])
    metrics = {k: v for k, v in entry.data.metrics.items() if k.startswith(("test/", "versus/", "validation/"))}
    return {
        "weights": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in learnt},
        "predictions": {
            path.stem: hashlib.sha256(np.ascontiguousarray(np.load(path)).tobytes()).hexdigest()
            for path in sorted((run.path / "predictions").glob("*.npy"))
        },
        "metrics": metrics,
        "names": {
            "metrics": sorted(entry.data.metrics),
            "params": sorted(entry.data.params),
            "tags": sorted(entry.data.tags),
        },
    }


@contextlib.contextmanager
def _own_store() -> Iterator[None]:
    """With the project's own store, whichever the environment names."""
    store = os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        yield
    finally:
        if store is not None:
            os.environ["MLFLOW_TRACKING_URI"] = store


def _differences(before: Any, now: Any, place: str = "") -> Iterator[str]:
    """One line for each value that is not what it was."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{place} · {key}" if place else key)
    elif isinstance(before, list) and isinstance(now, list):
        yield from (f"{place}: {name} is gone" for name in sorted(set(before) - set(now)))
        yield from (f"{place}: {name} is new" for name in sorted(set(now) - set(before)))
    elif before != now:
        yield f"{place}: {now}, before {before}"


if __name__ == "__main__":
    main()
