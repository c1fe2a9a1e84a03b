"""Dates against features made by hand: `make bench NAME=dates`. About two minutes.

Rentals of bicycles by the hour (bike_sharing, one column of moments, weather, holiday), and a made-up hourly load whose wave is a day long.
Ours is `headway init` and `headway run`; stated are the model, and that no row is given its past, for the anchors are not given it. The
newest fifth of the rows is the test. The anchor is LightGBM as it comes, with early stopping on the same validation rows, on hour,
weekday and month made by hand; and a second one with the year, too.

What is kept: R² and RMSE of each on the test rows, and the ratio of ours to the anchor's RMSE with its 95 % interval over days.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.samples import machine
from bench.side_by_side import RESULTS, Ratio
from headway.data.datasets import locate
from headway.data.split import TEST, TRAIN, VALIDATION, Division
from headway.files.atomic import write_json
from headway.pipeline.runs import table_of
from headway.project import load_project
from headway.run.directory import RunDirectory

MODELS = ("ensemble", "mlp")
ANCHORS = {
    "hour, weekday, month": ("hour", "day_of_week", "month"),
    "hour, weekday, month, year": ("hour", "day_of_week", "month", "year"),
}
WEATHER = ["holiday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed"]
RESAMPLES = 2000
LEAST_R2 = 0.95


@dataclass(frozen=True)
class Error:
    """On the test rows; ``ratios``: RMSE over that of each anchor, with the interval."""

    rmse: float
    r2: float
    ratios: dict[str, tuple[float, float, float]]


def main() -> None:
    """Measure both tables, print and keep the results."""
    results = {name: measure(name, table, target) for name, (table, target) in tables().items()}
    for name, errors in results.items():
        print(name)
        for model, error in errors.items():
            ratios = "; ".join(f"{of} {r:.3f} [{low:.3f}, {high:.3f}]" for of, (r, low, high) in error.ratios.items())
            print(f"  {model:32} RMSE {error.rmse:8.2f}  R² {error.r2:.3f}  {ratios}")
    write_json(RESULTS / "dates.json", {"name": "dates", "machine": machine(), "ratios": ratios_of(results)})


def ratios_of(results: Mapping[str, Mapping[str, Error]]) -> dict[str, dict[str, object]]:
    """What is kept. Goals: the default model is no worse than hour, weekday and month by hand on rentals, and explains .95 of the load."""
    ratios = {
        f"{name}: RMSE, {model} : LightGBM on {of} by hand": Ratio(*ratio, 1.0 if _is_goal(name, model, of) else None)
        for name, errors in results.items()
        for model, error in errors.items()
        for of, ratio in error.ratios.items()
    }
    unexplained = (1 - results["load"][MODELS[0]].r2) / (1 - LEAST_R2)
    ratios[f"load: what {MODELS[0]} leaves unexplained : {1 - LEAST_R2:.2f}"] = Ratio(
        unexplained, unexplained, unexplained, 1.0
    )
    return {label: {**asdict(ratio), "met": ratio.met, "void": False} for label, ratio in ratios.items()}


def _is_goal(name: str, model: str, of: str) -> bool:
    return (name, model, of) == ("rentals", MODELS[0], next(iter(ANCHORS)))


def tables() -> dict[str, tuple[pd.DataFrame, str]]:
    """Each table with its target."""
    return {"rentals": (rentals(), "cnt"), "load": (load(), "load")}


def rentals() -> pd.DataFrame:
    """bike_sharing with a column of moments instead of the parts that it comes with; its days follow each other without a gap."""
    (file,) = locate("bike-sharing", {}, Path.cwd()).files
    table = pd.read_csv(file)
    days = (table.weekday.diff().fillna(0) != 0).cumsum()
    moments = pd.Timestamp("2011-01-01") + pd.to_timedelta(days, unit="D") + pd.to_timedelta(table.hr, unit="h")
    assert moments.max() == pd.Timestamp("2012-12-31 23:00")
    return table[[*WEATHER, "cnt"]].assign(when=moments)


def load() -> pd.DataFrame:
    """A daily wave, lower at weekends, with noise, and a temperature that says nothing."""
    chance = np.random.default_rng(0)
    moments = pd.Series(pd.date_range("2024-01-01", periods=8000, freq="h"))
    wave = 1500 + 800 * np.sin(2 * np.pi * moments.dt.hour / 24) - 150 * (moments.dt.day_of_week >= 5)
    temp = chance.normal(15, 8, len(moments)).round(1)
    return pd.DataFrame({"when": moments, "temp": temp, "load": wave + chance.normal(0, 60, len(moments))})


def measure(name: str, table: pd.DataFrame, target: str) -> dict[str, Error]:
    """The error of each model of ours, and of each anchor."""
    with tempfile.TemporaryDirectory(prefix="headway-dates-") as place:
        root = Path(place)
        (root / "conf").mkdir()
        table.to_csv(root / f"{name}.csv", index=False)
        _headway(root, "init", "--data", f"{name}.csv", "--target", target)
        project = load_project(name, root)
        parts = Division(table_of(project, root), project.split).parts
        ours = {model: _predictions(root, name, model, project.data.late) for model in MODELS}
    anchors = {of: _anchor(table, target, parts, columns) for of, columns in ANCHORS.items()}
    rows = table[parts == TEST]
    days, truth = rows.when.dt.floor("D").to_numpy(), rows[target].to_numpy(float)
    return {
        **{model: _error(truth, prediction, anchors, days) for model, prediction in ours.items()},
        **{f"LightGBM, {of}": _error(truth, prediction, {}, days) for of, prediction in anchors.items()},
    }


def _headway(root: Path, *words: str) -> None:
    outcome = subprocess.run([sys.executable, "-m", "headway.cli", *words], cwd=root, capture_output=True, text=True)
    if outcome.returncode != 0:
        raise SystemExit(outcome.stdout + outcome.stderr)


def _predictions(root: Path, name: str, model: str, measured: Sequence[str]) -> np.ndarray:
    """Of the test rows, without their past, which the anchors are not given; the gate must not care which model comes second."""
    before = set((root / "data" / "runs").glob(f"{name}-*"))
    values = ["lags=[]", "windows=[]", f"known=[{', '.join(measured)}]"]
    settings = [f"model={model}", "gate.first=beat_trivial", *(f"data.series.{value}" for value in values)]
    _headway(root, "run", name, "--force", *(word for setting in settings for word in ("--set", setting)))
    (folder,) = set((root / "data" / "runs").glob(f"{name}-*")) - before
    return np.load(RunDirectory(folder).predictions("test"))


def _anchor(table: pd.DataFrame, target: str, parts: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """What LightGBM predicts for the test rows from the other columns and features made by hand."""
    import lightgbm
    import torch  # noqa: F401 - brings libgomp

    x = table.drop(columns=["when", target]).assign(**{part: getattr(table.when.dt, part) for part in columns})
    train, validation = (
        lightgbm.Dataset(x[parts == part], table[target][parts == part]) for part in (TRAIN, VALIDATION)
    )
    stop = lightgbm.early_stopping(50, verbose=False)
    quiet = {"verbosity": -1, "seed": 0}
    return np.asarray(lightgbm.train(quiet, train, 2000, [validation], callbacks=[stop]).predict(x[parts == TEST]))


def _error(truth: np.ndarray, prediction: np.ndarray, anchors: dict[str, np.ndarray], days: np.ndarray) -> Error:
    squared = (truth - prediction) ** 2
    ratios = {of: _ratio(squared, (truth - anchor) ** 2, days) for of, anchor in anchors.items()}
    return Error(float(np.sqrt(squared.mean())), float(1 - squared.mean() / truth.var()), ratios)


def _ratio(ours: np.ndarray, anchors: np.ndarray, days: np.ndarray) -> tuple[float, float, float]:
    """Of the root mean squares, days resampled."""
    _, codes = np.unique(days, return_inverse=True)
    sums = np.stack([np.bincount(codes, squared) for squared in (ours, anchors)])
    draws = np.random.default_rng(0).integers(0, sums.shape[1], (RESAMPLES, sums.shape[1]))
    of_each = np.sqrt(np.divide(*sums[:, draws].sum(2)))
    low, high = np.quantile(of_each, [0.025, 0.975])
    return float(np.sqrt(ours.sum() / anchors.sum())), float(low), float(high)


if __name__ == "__main__":
    main()
