"""What `headway init` proposes for a table, against plain models: `make bench NAME=tables`. About six minutes; `--minutes 2` takes a part.

Seven public tables, each written as CSV and drafted by `headway init`; nothing is edited. The anchors get the same columns of the same
rows: LightGBM as it comes with early stopping on the validation rows; scikit-learn's histogram gradient boosting as it comes, and logistic
or ridge regression on standardised numbers and one-hot categories, both on training and validation rows. Measured on the test rows:

- the error (1 - AUC, or RMSE) over the upper end of the best anchor's 95 % interval, which must be at most 1;
- the error over the best anchor's with its paired 95 % interval, rows resampled;
- seconds of processor over those allowed, twice LightGBM's and 20. One thread each: waiting threads would count as work.

And a table of texts, where `HEADWAY_DATASETS` has it: the 77 intents of banking77 with its official test file, which `init` finds by its
name. The anchor is TF-IDF of words and pairs of words with a logistic regression, C = 10 (1 is worse). Ours must be right in at least .98
of its share of rows, within 30 seconds of processor.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.samples import Samples, options
from bench.side_by_side import Ratio, tell
from headway.columns import column_type
from headway.data.composition import Composition
from headway.data.datasets import locate
from headway.data.formats import read_batches
from headway.data.split import TEST, VALIDATION, Division
from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.pipeline import runs, stages
from headway.project import Project, load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.tasks import target_task

TABLES = {
    "adult": "income",
    "credit-default": "default",
    "german-credit": "risk",
    "california-housing": "median_house_value",
    "bike-sharing": "cnt",
    "beijing-pm25": "pm2.5",
    "breast-cancer": "diagnosis",
}
"""The data sets, and what is predicted of each."""

RESAMPLES = 1000
OVERHEAD = 20.0
"""Seconds allowed beside twice LightGBM's."""

VALUES = ("value", "low", "high")

TEXTS = Path(os.environ.get("HEADWAY_DATASETS", "/nowhere")) / "banking77"
OF_TEXTS = "banking77: .98 of the anchor's accuracy : ours", "banking77: seconds of processor : 30"
"""Of a table of texts."""


@dataclass(frozen=True)
class Rows:
    """A table as the anchors get it: the columns x, categories as such, the encoded target, and each row's part."""

    x: pd.DataFrame
    target: np.ndarray
    parts: np.ndarray
    has_classes: bool


def main() -> None:
    """Measure the tables that are not measured yet, print and keep the ratios."""
    settings = options()
    samples, deadline = Samples("tables", fresh=settings.fresh), settings.deadline()
    for name in TABLES:
        if not samples.of(f"{name}: seconds") and time.monotonic() < deadline:
            _measure(name, samples)
    if TEXTS.exists() and not samples.of(OF_TEXTS[0]) and time.monotonic() < deadline:
        _measure_texts(samples)
    tell("tables", _judged(samples))


def _judged(samples: Samples) -> dict[str, Ratio]:
    """The ratios of the tables that were measured so far."""
    ratios: dict[str, Ratio] = {}
    for name in TABLES:
        if not samples.of(f"{name}: seconds"):
            continue
        best = list(ANCHORS)[int(samples.of(f"{name}: best")[-1])]
        within = samples.of(f"{name}: within")[-1]
        ratios[f"{name}: error : upper end of the best one's interval, {best}"] = Ratio(within, within, within, 1.0)
        value, low, high = (samples.of(f"{name}: {key}")[-1] for key in VALUES)
        ratios[f"{name}: error : {best}'s"] = Ratio(value, low, high)
        seconds = samples.of(f"{name}: seconds")[-1]
        label = f"{name}: seconds of processor : 2 x LightGBM's and {OVERHEAD:.0f}"
        ratios[label] = Ratio(seconds, seconds, seconds, 1.0)
    for label in OF_TEXTS:
        if samples.of(label):
            value = samples.of(label)[-1]
            ratios[label] = Ratio(value, value, value, 1.0)
    return ratios


def _measure_texts(samples: Samples) -> None:
    """Train the proposed model and the anchor on banking77, and keep how they compare."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from headway.data.store import Store

    train, test = (pd.read_csv(TEXTS / f"{part}.csv") for part in ("train", "test"))
    start = time.process_time()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    anchor = make_pipeline(words, LogisticRegression(C=10, max_iter=1000)).fit(train.text, train.category)
    of_anchor = float((anchor.predict(test.text) == test.category).mean())
    print(f"{'banking77':20} {'TF-IDF, logistic':22} right {of_anchor:12.5f}  {time.process_time() - start:6.1f} s")
    with tempfile.TemporaryDirectory(prefix="headway-tables-") as place:
        root = Path(place)
        (root / "conf").mkdir()
        draft(str(TEXTS), "category", "banking77", root)
        run, seconds = _trained(load_project("banking77", root, ["train.threads=1"]), root)
        target = np.asarray(Store(run.store).arrays("test")["target"])
        ours = float((np.load(run.predictions("test")).argmax(1) == target).mean())
    print(f"{'banking77':20} {'ours':22} right {ours:12.5f}  {seconds:6.1f} s")
    for label, value in zip(OF_TEXTS, (0.98 * of_anchor / ours, seconds / 30), strict=True):
        samples.add(label, value)


def _measure(name: str, samples: Samples) -> None:
    """Train the proposed model and the anchors on one table, and keep how they compare."""
    with tempfile.TemporaryDirectory(prefix="headway-tables-") as place:
        root = Path(place)
        (root / "conf").mkdir()
        table = _table(name)
        table.to_csv(root / f"{name}.csv", index=False)
        draft(f"{name}.csv", TABLES[name], name, root, Choices(settings=("data.series=null",)))  # anchors read no past
        project = load_project(name, root, ["train.threads=1"])
        run, seconds = _trained(project, root)
        ours = np.load(run.predictions("test"))
        rows = _rows(project, root, run, table)
    anchors, durations = {}, {}
    for label, anchor in ANCHORS.items():
        start = time.process_time()
        anchors[label] = anchor(rows)
        durations[label] = time.process_time() - start
    errors = _errors(rows, {"ours": ours, **anchors})
    best = min(anchors, key=lambda label: errors[label][0])
    for label, draws in errors.items():
        print(f"{name:20} {label:22} error {draws[0]:12.5f}  {seconds if label == 'ours' else durations[label]:6.1f} s")
    has_errors = errors[best] > 0  # in a few resamples of a small table, the anchor has none
    between = errors["ours"][has_errors] / errors[best][has_errors]
    values = (between[0], *np.quantile(between[1:], [0.025, 0.975]))
    for key, value in zip(VALUES, values, strict=True):
        samples.add(f"{name}: {key}", float(value))
    samples.add(f"{name}: best", list(ANCHORS).index(best))
    samples.add(f"{name}: within", float(errors["ours"][0] / np.quantile(errors[best][1:], 0.975)))
    samples.add(f"{name}: seconds", seconds / (2 * durations["LightGBM"] + OVERHEAD))


def _table(name: str) -> pd.DataFrame:
    """A data set as its files are read, in memory."""
    place = locate(name, {}, Path.cwd())
    batches = [
        batch if place.clean is None else place.clean(batch)
        for file in place.files
        for batch in read_batches(str(file), place.format, place.csv, None, 1 << 20)
    ]
    return pd.concat([batch.to_pandas() for batch in batches], ignore_index=True)


def _trained(project: Project, root: Path) -> tuple[RunDirectory, float]:
    """A run through training, and the seconds of processor that the training process took, from its start to its end."""
    run = runs.start(project, root)
    stages.validate(run, root, Silent())
    stages.prepare(run, root, Silent())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "headway.train.main", str(run.path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return run, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _rows(project: Project, root: Path, run: RunDirectory, table: pd.DataFrame) -> Rows:
    """The rows with a target, parted as ours were."""
    from headway.data.store import Store

    table = table[table[TABLES[project.name]].notna()].reset_index(drop=True)
    parts = Division(runs.table_of(project, root), project.split).parts
    columns = {}
    for name, kind in project.data.features.items():
        for one in Composition.of(project.data.written, ()).sources([name]):
            is_number = column_type(kind).adds_up or one != name  # a part of a moment
            columns[one] = pd.to_numeric(table[one], errors="coerce") if is_number else table[one].astype("category")
    target = np.concatenate([Store(run.store).arrays(split)["target"] for split in ("train", "validation", "test")])
    ordered = np.empty(len(parts), target.dtype)
    ordered[np.argsort(parts, kind="stable")] = target  # a store's parts are each in the table's order
    return Rows(pd.DataFrame(columns), ordered, parts, target_task(project.task).has_classes)


def _lightgbm(rows: Rows) -> np.ndarray:
    import torch  # noqa: F401  # brings libgomp
    from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping

    model: Any = (LGBMClassifier if rows.has_classes else LGBMRegressor)(n_estimators=5000, n_jobs=1, verbosity=-1)
    train, validation = rows.parts < VALIDATION, rows.parts == VALIDATION
    aside = [(rows.x[validation], rows.target[validation])]
    stop = [early_stopping(50, verbose=False)]
    model.fit(rows.x[train], rows.target[train], eval_set=aside, callbacks=stop)
    return _predicted(model, rows)


def _histogram(rows: Rows) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    kind = HistGradientBoostingClassifier if rows.has_classes else HistGradientBoostingRegressor
    learnt = rows.parts < TEST
    with threadpool_limits(1, user_api="openmp"):
        return _predicted(kind(random_state=0).fit(rows.x[learnt], rows.target[learnt]), rows)


def _linear(rows: Rows) -> np.ndarray:
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_exclude="category")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
    )
    learnt = rows.parts < TEST
    model = make_pipeline(columns, LogisticRegression(max_iter=2000) if rows.has_classes else Ridge())
    return _predicted(model.fit(rows.x[learnt], rows.target[learnt]), rows)


ANCHORS: Mapping[str, Callable[[Rows], np.ndarray]] = {
    "LightGBM": _lightgbm,
    "HistGradientBoosting": _histogram,
    "linear": _linear,
}


def _predicted(model: Any, rows: Rows) -> np.ndarray:
    x = rows.x[rows.parts == TEST]
    return np.asarray(model.predict_proba(x) if rows.has_classes else model.predict(x))


def _errors(rows: Rows, predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(1 + RESAMPLES,) of each: the error of the test rows, and those of the same resamples of them."""
    task = target_task("classification" if rows.has_classes else "regression")
    metric = task.metric("auc" if rows.has_classes else "rmse")
    target = rows.target[rows.parts == TEST]
    rng = np.random.default_rng(0)
    weights = np.ones((1 + RESAMPLES, len(target)))
    for draw in weights[1:]:
        draw[:] = np.bincount(rng.integers(0, len(target), len(target)), minlength=len(target))
    values = {label: metric.resampled(target, one, {})(weights) for label, one in predictions.items()}
    return {label: 1 - one if metric.higher_is_better else one for label, one in values.items()}


if __name__ == "__main__":
    main()
