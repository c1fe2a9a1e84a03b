"""The effect study of a project, from its data to MLflow: what each efficiency technique gains, at equal quality."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from headway.effect.contention import Contention, cores, load
from headway.effect.report import summary, write_report
from headway.effect.results import StudyResult
from headway.effect.techniques import select
from headway.effect.words import difference, faster, further, machine, ratio, target_counts
from headway.errors import ConfigError
from headway.files.atomic import digest, read_or_empty, write_atomically
from headway.machine.clock import moment
from headway.pipeline import runs, stages
from headway.project import load_project, recipe_path
from headway.run.directory import Event, RunDirectory
from headway.run.report import Reporter

BUDGET_SECONDS = 1800.0
SEEDS = 5


def seconds_of(text: str) -> float:
    """A budget such as 90s, 30m or 1.5h. Raises ConfigError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if found is None or float(found[1]) == 0:
        raise ConfigError(f"--budget must be a time such as 90s, 30m or 2h, but is {text!r}")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


@dataclass(frozen=True)
class Asked:
    """What a study is asked: which techniques (none: all), the seconds it may measure, trainings behind a quality.

    ``target``: a quality in the metric's own unit; ``new``: begin anew although a study of the same was interrupted.
    """

    techniques: tuple[str, ...] = ()
    budget: float = BUDGET_SECONDS
    seeds: int = SEEDS
    target: float | None = None
    new: bool = False


def open_study(name: str, root: Path, settings: Sequence[str], asked: Asked) -> tuple[RunDirectory, bool]:
    """The run directory of the study, and whether it goes on: the newest of the same questions that was not ended, or a new one.

    Raises ConfigError before anything is written.
    """
    if not 2 <= asked.seeds <= 100:
        raise ConfigError(f"--seeds must be 2 to 100, but is {asked.seeds}")
    project = load_project(name, root, settings)
    if not project.model.is_network:
        fix = "--set model=tabm or model=mlp"
        raise ConfigError(f"an effect study needs a network, but the model is {project.model.name}; {fix}")
    plan = {
        "techniques": [technique.name for technique in select(asked.techniques)],
        "budget": asked.budget,
        "seeds": asked.seeds,
        "target": asked.target,
    }
    key = digest({"project": project.model_dump(mode="json"), **plan})
    if not asked.new:
        folders = (root / "data" / "runs").glob(f"{project.name}-*")
        for path in sorted(folders, key=lambda path: (RunDirectory(path).number, path.name), reverse=True):
            run = RunDirectory(path)
            unended = (path / "run.json").exists() and not (path / "effect.html").exists()  # which is written last
            if (
                unended
                and read_or_empty(path / "run.json").get("effect", {}).get("key") == key
                and (path / "effect.jsonl").exists()
            ):
                return run, True
    return runs.start(project, root, {"effect": {**plan, "key": key}}), False


def measure(run: RunDirectory, root: Path, report: Reporter) -> StudyResult:
    """Validate and prepare where that is not done, study, and leave the report and the recommended recipe. Returns effect.json."""
    from headway.train.launch import launch

    problem: BaseException | None = None
    try:
        warning = runs.track(run, root, "effect")
        if warning:
            report.warn(warning)
        if not (run.path / "store.json").exists():
            stages.validate(run, root, report)
            stages.prepare(run, root, report)
        now = Contention(len(cores()), load(), machine=os.cpu_count())
        if now.state == "unusable":
            report.warn(f"{now}: figures measured now cannot be used; start the study while nothing else runs")
        with runs.timed(run, "effect"):
            launch(run, lambda events: _show(events, report), "headway.effect.main")
        found = StudyResult.read(run.path / "effect.json")
        found = replace(found, summary=summary(found))
        found.write(run.path / "effect.json")
        if busy := machine(found.contention).strip():
            report.warn(busy)
        keep_recipe(run, root, found)
        write_report(run.path / "effect.html", run.plan["project"]["name"], found, run.plan["environment"])
    except BaseException as error:
        problem = error
        raise
    finally:
        runs.conclude(run, root, problem)
    return found


def _show(events: Sequence[Event], report: Reporter) -> None:
    for event in events:
        if event.kind == "progress":
            report.progress(event.step / event.fields["steps"], event.fields["text"])
        elif event.kind == "warning":
            report.warn(event.fields["text"])


def keep_recipe(run: RunDirectory, root: Path, found: StudyResult) -> Path:
    """Write the recommended recipe: the project's, or, where this study says less than the one that is there, beside its report."""
    name = run.plan["project"]["name"]
    own = load_project(name, root).model_dump(mode="json") == run.plan["project"]
    path = recipe_path(root, name)
    if not own or (path.exists() and not _is_full(run, found)):
        path = run.path / "recipe.yaml"
    write_recipe(path, name, found)
    return path


def _is_full(run: RunDirectory, found: StudyResult) -> bool:
    """Whether a study may replace an earlier one's recipe: it was of all techniques, settled at least one of them, on a machine that was
    not too busy, and had the time to confirm what it chose."""
    whole = set(run.plan["effect"]["techniques"]) == {technique.name for technique in select(())}
    settled = any(row.pairs and row.verdict != "not settled" for row in found.techniques)
    usable = found.contention is None or found.contention.state != "unusable"
    return whole and settled and usable and all(one.outcome != "open" for one in found.recommended.confirmations)


def write_recipe(path: Path, name: str, found: StudyResult) -> None:
    """The fields that were confirmed together, and what their fresh samples say they gain."""
    told = found.recommended
    names = ", ".join(told.names) or "nothing: no combination of techniques was confirmed to help"
    lines = [
        f"# The recommended recipe of {name}, from the effect study of {moment()}.",
        f"# {names}. Used by: headway run {name} --recipe",
    ]
    values: dict[str, object] = {"train": dict(told.fields)}
    if told.to_target is not None and told.sessions is not None:
        gain = f"{faster(told.to_target)} as plain PyTorch to the same quality"
        lines.append(f"# {gain}, on samples that had no part in choosing it.")
        values["confirmed"] = {"sessions": told.sessions, "seeds": told.seeds}
    write_atomically(path, "\n".join(lines) + "\n" + yaml.safe_dump(values, sort_keys=False))


ORDER = ("helps", "changes quality", "no measurable effect", "hurts", "not settled", "unsupported here")


def table(found: StudyResult) -> list[dict[str, str]]:
    """The verdicts for people."""
    rows = []
    for row in sorted(
        found.techniques, key=lambda row: (ORDER.index(row.verdict), 1 if row.time is None else row.time.value)
    ):
        rows.append(
            {
                "technique": row.name,
                "verdict": row.verdict,
                "step time": ratio(row.time),
                "time to target": ratio(row.to_target) if row.changes == "maths" else "",
                "quality": difference(row.quality),
                "at best": "" if row.bound is None or row.verdict == "unsupported here" else f"{row.bound:.2f}",
                "why": row.reason or target_counts(row.reached),
            }
        )
    return rows


def lines(found: StudyResult, run: RunDirectory, root: Path) -> list[str]:
    """What a study found, in sentences, and where to look."""
    parts = found.breakdown
    total = sum(parts.values()) or 1.0
    shares = ", ".join(f"{name} {value / total:.0%}" for name, value in parts.items())
    shown = [found.summary, f"a step of the baseline: {1000 * total:.2f} ms ({shares})"]
    shown += [
        f"the stack {how} {row.name}: {ratio(row.time)} of its step time, {row.verdict}"
        for how, beside in (("without", found.without), ("with", found.with_))
        for row in beside
    ]
    shown += [f"not settled: {row.name}: {row.why}{further(row.seconds)}" for row in found.open]
    name = run.plan["project"]["name"]
    shown.append(f"report: {run.path / 'effect.html'}")
    beside = run.path / "recipe.yaml"
    if beside.exists():
        kept = recipe_path(root, name)
        why = f"kept {kept}, which comes from a fuller study" if kept.exists() else "its settings are not the project's"
        shown.append(f"recipe: {beside}; {why}")
    else:
        shown.append(f"recipe: {recipe_path(root, name)}, used by: headway run {name} --recipe")
    return shown
