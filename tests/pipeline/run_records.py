"""Run folders as retrainings leave them, without a training: predictions are drawn, and everything measured on them is real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headway.evaluate.config import GateConfig
from headway.evaluate.decision import Decision
from headway.evaluate.evaluation import beside, evaluate
from headway.evaluate.plots import draw
from headway.evaluate.resample import Units
from headway.evaluate.result import ChampionResult, ColumnImportance, Evaluation, Importance
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from headway.run.result import Result
from tests.tracking.tracked import PLAN, PROJECT

ROWS = 600
STAGES = {"validate": 2.5, "prepare": 1.25, "train": 67.0, "evaluate": 9.5, "register": 0.75}


def drawn_evaluation(kind: str, folder: Path | None = None, champion: bool = False) -> Evaluation:
    """Of two classes, of four, or of numbers; with pictures where a ``folder`` is given, beside a champion where one is wanted."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=ROWS)
    if kind == "regression":
        classes: tuple[str, ...] = ()
        target, names = 100 * truth, ("trivial", "linear", "boosting")
        noise = {"model": 30.0, "linear": 50.0, "boosting": 40.0, "champion": 31.0}
        predictions = {name: target + rng.normal(0, size, ROWS) for name, size in noise.items()}
        predictions["trivial"] = np.zeros(ROWS)
    else:
        classes = ("no", "yes") if kind == "two classes" else ("north", "east", "south", "west")
        names = ("trivial", "linear", "boosting")
        target = np.digitize(truth, np.quantile(truth, np.arange(1, len(classes)) / len(classes)))
        strengths = {"model": 1.6, "linear": 1.2, "boosting": 1.5, "champion": 1.5}
        predictions = {name: _probabilities(rng, target, len(classes), size) for name, size in strengths.items()}
        predictions["trivial"] = np.full((ROWS, len(classes)), 1 / len(classes))
    others = predictions.pop("champion")
    compared = {name: predictions[name] for name in ("model", *names)}
    rooms = np.array(["kitchen", "bath", "hall"])[rng.integers(0, 3, ROWS)]
    units = Units("row", ROWS)
    task = "regression" if kind == "regression" else "classification"
    evaluation = evaluate(
        task,
        GateConfig(),
        classes,
        target,
        compared,
        units=units,
        seconds=dict.fromkeys(names, 1.5),
        slice_values={"room": rooms},
        reference=None,
        model_name="mlp",
        resamples=60,
    )
    if champion:
        usable = np.ones(ROWS, bool)
        evaluation = replace(evaluation, in_charge="3")
        evaluation = beside(
            evaluation, ChampionResult("3", rows=ROWS), target, others, units=units, rows=usable, resamples=60
        )
    columns = tuple(ColumnImportance(f"column {n}", 0.1 / (n + 1), 0.05 / (n + 1), 0.2 / (n + 1)) for n in range(25))
    evaluation = replace(
        evaluation, importance=Importance(evaluation.primary, ROWS, 3, columns, "what drives it: column 0")
    )
    if folder is not None:
        curve = [(step, {"train/loss": 1 / (step + 1), "validation/loss": 1.1 / (step + 1)}) for step in range(40)]
        draw(folder, classes, target, compared, evaluation, curve)
    return evaluation


def _probabilities(rng: np.random.Generator, target: np.ndarray, classes: int, strength: float) -> np.ndarray:
    """(N, K): noise, and ``strength`` for the true class."""
    scores = rng.normal(size=(len(target), classes)) + strength * np.eye(classes)[target]
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


def write_run(
    root: Path,
    evaluation: Evaluation | None = None,
    decision: Decision | None = None,
    *,
    stages: Mapping[str, float] | None = None,
    project: Mapping[str, Any] | None = None,
    expectations: int = 2,
) -> RunDirectory:
    """A folder with the records of the stages so far; one of all stages unless ``stages`` says which."""
    stages = STAGES if stages is None else stages
    run = RunDirectory.create(root, "loans", {**PLAN, "project": {**PROJECT, **(project or {})}})
    write_json(run.path / "stages.json", dict(stages))
    if "validate" in stages:
        write_validation(run, expectations)
    if "prepare" in stages:
        rows = {"train": 4800, "validation": 600, "test": 600}
        write_json(run.path / "store.json", {"path": "data/prepared/x", "digest": "x", "reused": False, "rows": rows})
    if "train" in stages:
        how = Result(precision="bf16", device="cpu", epochs=8, best_epoch=5, batch_size=256, parameters=12_345)
        run.finish(replace(how, rows_per_second=81234.5, peak_memory_bytes=400_000_000))
    if evaluation is not None:
        evaluation.write(run.path / "evaluation.json")
    if decision is not None:
        decision.write(run.path / "decision.json")
    return run


def write_validation(run: RunDirectory, expectations: int = 2, failure: str = "") -> None:
    """data.json and validation.json; the last expectation warns, and with a ``failure`` the first stops the run."""
    results = [
        {
            "name": "column_values_to_not_be_null",
            "column": "age",
            "passed": number < expectations - 1 and not (failure and number == 0),
            "severity": "stop" if number < expectations - 1 else "warn",
            "observed": 0,
            "unexpected_count": 0,
            "unexpected_percent": 0.0,
            "examples": [],
            "sentence": failure if failure and number == 0 else f"loans: column {number} must be given",
        }
        for number in range(expectations)
    ]
    verdict = {"passed": not failure, "results": results} if results else []
    files = ["2024-01.parquet", "2024-02.parquet"]
    source = {"digest": "0123456789abcdef", "rows": 6000, "files": files}
    write_json(run.path / "data.json", {**source, "contents": {}})
    failures, warnings = [failure] if failure else [], ["age has 3 outliers"]
    summary = f"6,000 rows, 2 features, {expectations} expectations"
    write_json(
        run.path / "validation.json",
        {
            "passed": not failure,
            "summary": summary,
            "failures": failures,
            "warnings": warnings,
            "expectations": verdict,
            **source,
        },
    )
