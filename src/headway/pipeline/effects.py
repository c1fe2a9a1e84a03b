"""The effect study of a project, from its data to MLflow: the gain of each efficiency technique, at equal quality."""

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
from headway.effect.words import VERDICTS, difference, faster, further, machine, ratio, target_counts
from headway.errors import ConfigError
from headway.files.atomic import digest, read_or_empty, write_atomically
from headway.machine.clock import moment
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import Event, RunDirectory
from headway.run.report import Reporter
from headway.train.recommended import recipe_path

BUDGET_SECONDS = 1800.0
SEEDS = 5


def seconds_of(text: str) -> float:
    """A budget such as 90s, 30m or 1.5h. Raises ConfigError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if match is None or float(match[1]) == 0:
        raise ConfigError(f"--budget must be a time such as 90s, 30m or 2h, but is {text!r}")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


@dataclass(frozen=True)
class StudyOptions:
    """The options of a study: techniques (empty: all), seconds of measuring, trainings for a quality.

    ``target``: a quality in the metric's own unit; ``new``: start a new study although one like it was interrupted.
    """

    techniques: tuple[str, ...] = ()
    budget: float = BUDGET_SECONDS
    seeds: int = SEEDS
    target: float | None = None
    new: bool = False


def open_study(name: str, root: Path, settings: Sequence[str], options: StudyOptions) -> tuple[RunDirectory, bool]:
    """The run directory of the study, and whether it is resumed: the newest unfinished one with the same options, or a new one.

    Raises ConfigError before anything is written.
    """
    if not 2 <= options.seeds <= 100:
        raise ConfigError(f"--seeds must be 2 to 100, but is {options.seeds}")
    project = load_project(name, root, settings)
    if not project.model.is_network:
        fix = "--set model=tabm or model=mlp"
        raise ConfigError(f"an effect study needs a network, but the model is {project.model.name}; {fix}")
    plan = {
        "techniques": [technique.name for technique in select(options.techniques)],
        "budget": options.budget,
        "seeds": options.seeds,
        "target": options.target,
    }
    key = digest({"project": project.model_dump(mode="json"), **plan})
    if not options.new:
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
    """Validate and prepare if necessary, study, and write the report and the recommended recipe. Returns effect.json."""
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
        result = StudyResult.read(run.path / "effect.json")
        result = replace(result, summary=summary(result))
        result.write(run.path / "effect.json")
        if busy := machine(result.contention).strip():
            report.warn(busy)
        keep_recipe(run, root, result)
        write_report(run.path / "effect.html", run.plan["project"]["name"], result, run.plan["environment"])
    except BaseException as error:
        problem = error
        raise
    finally:
        runs.conclude(run, root, problem)
    return result


def _show(events: Sequence[Event], report: Reporter) -> None:
    for event in events:
        if event.kind == "progress":
            report.progress(event.step / event.fields["steps"], event.fields["text"])
        elif event.kind == "warning":
            report.warn(event.fields["text"])


def keep_recipe(run: RunDirectory, root: Path, result: StudyResult) -> Path:
    """Write the recommended recipe: as the project's, or, where the present one comes from a fuller study, beside the report."""
    name = run.plan["project"]["name"]
    own = load_project(name, root).model_dump(mode="json") == run.plan["project"]
    path = recipe_path(root, name)
    if not own or (path.exists() and not _is_full(run, result)):
        path = run.path / "recipe.yaml"
    write_recipe(path, name, result)
    return path


def _is_full(run: RunDirectory, result: StudyResult) -> bool:
    """Whether a study may replace an earlier one's recipe: it had all techniques, settled at least one of them, ran on a machine that
    was not too busy, and had the time for its confirmation."""
    whole = set(run.plan["effect"]["techniques"]) == {technique.name for technique in select(())}
    has_verdict = any(row.pairs and row.verdict != "not settled" for row in result.techniques)
    usable = result.contention is None or result.contention.state != "unusable"
    return whole and has_verdict and usable and all(one.outcome != "open" for one in result.recommended.confirmations)


def write_recipe(path: Path, name: str, result: StudyResult) -> None:
    """The fields that were confirmed together, and their gain on fresh samples."""
    recommended = result.recommended
    names = ", ".join(recommended.names) or "nothing: no combination of techniques was confirmed to help"
    lines = [
        f"# The recommended recipe of {name}, from the effect study of {moment()}.",
        f"# {names}. Used by: headway run {name} --recipe",
    ]
    values: dict[str, object] = {"train": dict(recommended.fields)}
    if recommended.to_target is not None and recommended.sessions is not None:
        gain = f"{faster(recommended.to_target)} as plain PyTorch to the same quality"
        lines.append(f"# {gain}, on samples that were not used to choose it.")
        values["confirmed"] = {"sessions": recommended.sessions, "seeds": recommended.seeds}
    write_atomically(path, "\n".join(lines) + "\n" + yaml.safe_dump(values, sort_keys=False))


def table(result: StudyResult) -> list[dict[str, str]]:
    """The verdicts for people."""
    rows = []
    for row in sorted(
        result.techniques, key=lambda row: (VERDICTS.index(row.verdict), 1 if row.time is None else row.time.value)
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


def lines(result: StudyResult, run: RunDirectory, root: Path) -> list[str]:
    """The result of a study in sentences, and its files."""
    parts = result.breakdown
    total = sum(parts.values()) or 1.0
    shares = ", ".join(f"{name} {value / total:.0%}" for name, value in parts.items())
    texts = [result.summary, f"a step of the baseline: {1000 * total:.2f} ms ({shares})"]
    texts += [
        f"the stack {how} {row.name}: {ratio(row.time)} of its step time, {row.verdict}"
        for how, beside in (("without", result.without), ("with", result.with_))
        for row in beside
    ]
    texts += [f"not settled: {row.name}: {row.why}{further(row.seconds)}" for row in result.open]
    name = run.plan["project"]["name"]
    texts.append(f"report: {run.path / 'effect.html'}")
    beside = run.path / "recipe.yaml"
    if beside.exists():
        recipe = recipe_path(root, name)
        why = (
            f"kept {recipe}, which comes from a fuller study"
            if recipe.exists()
            else "its settings are not the project's"
        )
        texts.append(f"recipe: {beside}; {why}")
    else:
        texts.append(f"recipe: {recipe_path(root, name)}, used by: headway run {name} --recipe")
    return texts
