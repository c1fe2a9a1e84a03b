"""Error bars: one project trained with many seeds, or one seed with many settings; at once where its networks can be stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headway.errors import ConfigError
from headway.evaluate.metrics import METRICS, value_of
from headway.evaluate.result import Estimate
from headway.evaluate.undefined import reasons
from headway.files.atomic import write_json
from headway.files.records import Record
from headway.pipeline import runs, stages
from headway.pipeline.assessment import exam_of
from headway.pipeline.exam import Exam
from headway.project import Project, load_project
from headway.run.directory import Event, RunDirectory
from headway.run.report import Reporter, number
from headway.run.result import Result

MOST = 256


@dataclass(frozen=True)
class Network(Record):
    """One of the networks: its seed and setting, its best epoch, and each metric on the test rows, None where it is undefined."""

    seed: int
    learning_rate: float
    weight_decay: float
    best_epoch: int
    metrics: Mapping[str, float | None]

    def to_json(self) -> dict[str, object]:
        """With the metrics among the fields."""
        own = super().to_json()
        del own["metrics"]
        return {**own, **self.metrics}


@dataclass(frozen=True)
class Spread(Record):
    """A metric of one setting over its seeds: mean, standard deviation and range; None where it is undefined on the test rows."""

    learning_rate: float
    weight_decay: float
    metric: str
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Seeds(Record):
    """seeds.json. ``rows``: one for each network; ``undefined``: the reasons of undefined metrics."""

    rows: tuple[Network, ...]
    summary: tuple[Spread, ...]
    undefined: Mapping[str, Mapping[str, str]]
    seconds: float


def variants_of(
    project: Project, count: int, rates: Sequence[float], decays: Sequence[float]
) -> list[dict[str, float]]:
    """``count`` seeds from the project's own on; with rates or decays, each pair of them with each seed. Raises ConfigError."""
    pairs = [(r, d) for r in rates or [project.train.learning_rate] for d in decays or [project.train.weight_decay]]
    if not 2 <= count * len(pairs) <= MOST:
        raise ConfigError(f"networks trained at once must be 2 to {MOST}, but they are {count * len(pairs)}")
    if any(r <= 0 for r in rates) or any(d < 0 for d in decays):
        raise ConfigError("learning rates must be above 0 and weight decays at least 0, but one is not")
    if not project.model.has_chance:
        raise ConfigError(
            f"seeds need a model with randomness in its training, but {project.model.name} has one best fit; set another model"
        )
    if not project.model.is_network and (rates or decays):
        raise ConfigError(
            f"--rates and --decays must be for a network, but the model is {project.model.name}; set model.learning_rate with --set"
        )
    first = project.train.seed
    return [{"seed": first + k, "learning_rate": r, "weight_decay": d} for r, d in pairs for k in range(count)]


def train_many(
    name: str,
    root: Path,
    settings: Sequence[str],
    count: int,
    rates: Sequence[float],
    decays: Sequence[float],
    report: Reporter,
) -> tuple[RunDirectory, Seeds]:
    """Validate, prepare, train all, measure each on the test rows; in MLflow one run with a step for each network.

    Returns the run and its result.
    """
    from headway import tracking
    from headway.train.launch import launch

    project = load_project(name, root, settings)
    variants = variants_of(project, count, rates, decays)
    run = runs.start(project, root)
    write_json(run.path / "run.json", {**run.plan, "variants": variants})
    problem: BaseException | None = None
    try:
        warning = runs.track(run, root)
        if warning:
            report.warn(warning)
        stages.validate(run, root, report)
        stages.prepare(run, root, report)
        with runs.timed(run, "train"):
            trained = launch(run, lambda events: _show(events, report))
        if trained.rows_per_second:
            networks = f"{len(variants)} networks in {trained.precision} on {trained.device}"
            report.line(f"{networks}, {stages.rate_of(trained)}")
        result = _measure(exam_of(run, project, root), variants)
        result.write(run.path / "seeds.json")
        journal = run.journal()
        for k, row in enumerate(result.rows):
            journal.write("metric", step=k + 1, values={f"seeds/{n}": row.metrics[n] for n in _metric_names(project)})
        journal.close()
        tracking.Forwarder(run).poll()
    except BaseException as error:
        problem = error
        raise
    finally:
        runs.conclude(run, root, problem)
    return run, result


def _show(events: Sequence[Event], report: Reporter) -> None:
    for event in events:
        if event.kind == "progress":
            report.progress(event.step / event.fields["steps"], event.fields["text"])
        elif event.kind == "warning":
            report.warn(event.fields["text"])


def _metric_names(project: Project) -> list[str]:
    return [metric.name for metric in project.learner.measured]


def _measure(exam: Exam, variants: Sequence[dict[str, float]]) -> Seeds:
    run, project, target, classes = exam.run, exam.project, exam.target, exam.classes
    why: dict[str, str] = {}
    result = run.result or Result()
    rows: list[Network] = []
    for k, variant in enumerate(variants):
        predicted = exam.of_training(np.load(run.predictions(f"test-{k}")))
        values = {name: value_of(METRICS[name], target, predicted) for name in _metric_names(project)}
        why |= reasons(classes, target, predicted, {name: Estimate(v) for name, v in values.items()})
        best = result.networks[k].best_epoch
        rows.append(Network(int(variant["seed"]), variant["learning_rate"], variant["weight_decay"], best, values))
    summary = _summary(rows, _metric_names(project))
    return Seeds(tuple(rows), tuple(summary), {"model": why}, result.seconds or 0.0)


def _summary(rows: Sequence[Network], names: Sequence[str]) -> list[Spread]:
    """By setting: mean, standard deviation and range over the seeds."""
    settings = dict.fromkeys((row.learning_rate, row.weight_decay) for row in rows)
    spreads = []
    for rate, decay in settings:
        for name in names:
            own = [row.metrics[name] for row in rows if (row.learning_rate, row.weight_decay) == (rate, decay)]
            values = np.array([value for value in own if value is not None])
            if len(values) < len(own):  # undefined on the test rows, for whatever seed
                spreads.append(Spread(rate, decay, name))
                continue
            deviation = float(values.std(ddof=1)) if len(values) > 1 else None
            low, high = float(values.min()), float(values.max())
            spreads.append(Spread(rate, decay, name, float(values.mean()), deviation, low, high))
    return spreads


def table(result: Seeds) -> list[dict[str, str]]:
    """The summary for people."""
    several = len({(row.learning_rate, row.weight_decay) for row in result.summary}) > 1
    rows = []
    for row in result.summary:
        setting = {"rate": f"{row.learning_rate:g}", "decay": f"{row.weight_decay:g}"} if several else {}
        spread = "one seed" if row.deviation is None and row.mean is not None else "–"
        spread = spread if row.deviation is None else f"± {row.deviation:.4f}"
        values = {
            "mean": number(row.mean),
            "deviation": spread,
            "lowest": number(row.low),
            "highest": number(row.high),
        }
        rows.append({"metric": row.metric.replace("_", " "), **setting, **values})
    return rows
