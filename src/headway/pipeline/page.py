"""report.html: all of a run on one page, made from the records in its folder alone, so that it can be made again at any time.

page_records   the records of the folder
page_tables    the tables of the evaluation
page_facts     data, recipe and cost
page.html      the template
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headway.errors import HeadwayError
from headway.evaluate.metrics import number_text, title_of
from headway.evaluate.result import Evaluation
from headway.files.atomic import read_or_empty, write_atomically
from headway.files.pages import Fact, Picture, Table, png_source, render
from headway.machine.clock import duration, moment
from headway.pipeline import runs
from headway.pipeline.page_facts import CostFacts, DataFacts, RecipeFacts, cost_facts, data_facts, recipe_facts
from headway.pipeline.page_records import Checks, Records, records_of
from headway.pipeline.page_tables import class_table, importance_table, interval, metric_table, slice_table
from headway.pipeline.resuming import OTHERS
from headway.quality.page import Entry
from headway.quality.page import table as check_table
from headway.run.directory import RunDirectory
from headway.run.report import number
from headway.tasks import has_target
from headway.tracking.decisions import reason_of

NAME = "report.html"
DRIVERS = "importance"
"""The picture that stands beside the table of columns."""
MOST_CHECKS = 100
MOST_CHARACTERS = 4000
"""Of a language model's samples."""

CAPTIONS = {
    "metrics": "The deciding metric with its 95 % interval, beside the champion and the baselines.",
    "roc": "True against false positives at every threshold. Nearer to the upper left is better.",
    "precision_recall": "Precision against recall at every threshold. Higher is better.",
    "calibration": "How often the event occurred, by its predicted probability. A perfect model lies on the dashed line.",
    "confusion": "Predicted against true classes of the test rows.",
    "residuals": "Predictions against true values, and by how much they differ.",
    "learning_curve": "The loss while training. The marked point is the model that was kept.",
    "importance": "How much worse the deciding metric is when one column is shuffled, with its 95 % interval.",
}
"""By the name of the file, in the order of the page; a task's further pictures follow, captioned by their names."""


@dataclass(frozen=True)
class RunPage:
    """All that the page shows. ``mark``: the outcome's colour; ``remarks``: what to know of the decision.

    ``gaps``: what was not measured; ``missing``: records that are damaged or gone.
    """

    project: str
    description: str
    run: str
    started: str
    outcome: str
    mark: str
    reason: tuple[str, ...]
    tiles: tuple[Fact, ...]
    remarks: tuple[str, ...]
    metrics: Table | None
    gaps: tuple[str, ...]
    pictures: tuple[Picture, ...]
    slices: Table | None
    classes: Table | None
    drivers: Table | None
    drivers_text: str
    drivers_picture: Picture | None
    samples: str
    checks_text: str
    checks: Table | None
    data: DataFacts
    recipe: RecipeFacts
    cost: CostFacts
    links: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def write_page(run: RunDirectory, problem: str = "", status: str = "FAILED") -> Path:
    """Write report.html into the run's folder. ``problem`` and ``status``: of a run that ends without a decision.

    Raises OSError where it cannot be written, DamagedError where run.json is damaged.
    """
    page = page_of(records_of(run, problem, status))
    path = run.path / NAME
    write_atomically(path, render(Path(__file__).with_name("page.html"), page=page))
    return path


def page_warning(run: RunDirectory, problem: str = "", status: str = "FAILED") -> str | None:
    """Write the page of a retraining that ends. Returns a line where that fails: a run is complete without its page."""
    plan = read_or_empty(run.path / "run.json")
    if "project" not in plan or OTHERS.keys() & plan.keys():
        return None
    try:
        write_page(run, problem, status)
    except (HeadwayError, OSError) as error:
        return f"{run.path / NAME} must be writable, but: {error}; headway report makes it later"
    except Exception as error:  # of a damaged record: it must not keep the run open in MLflow
        return f"{run.path / NAME} was not written: {type(error).__name__}: {error}"
    return None


def conclude(run: RunDirectory, root: Path, error: BaseException | None = None) -> str | None:
    """Write the page of a retraining, send everything to MLflow and close the run there. Returns a warning where one of these fails."""
    status, problem = runs.ending_of(error)
    texts = page_warning(run, problem or "", status), runs.conclude(run, root, error)
    return "; ".join(text for text in texts if text) or None


def page_of(records: Records) -> RunPage:
    """The page of a run, finished or not."""
    evaluation = records.evaluation or Evaluation()
    pictures, damage = _pictures(records.run.path / "plots")
    outcome, mark = _outcome(records)
    has_metrics = bool(evaluation.metrics)
    return RunPage(
        project=str(records.project["name"]),
        description=str(records.project.get("description") or ""),
        run=records.run.path.name,
        started=moment(records.started),
        outcome=outcome,
        mark=mark,
        reason=_reason(records),
        tiles=tuple(_tiles(records, evaluation)) if has_metrics else (),
        remarks=_remarks(evaluation),
        metrics=metric_table(evaluation) if has_metrics else None,
        gaps=tuple(evaluation.gaps),
        pictures=tuple(one for one in pictures if one.title != DRIVERS),
        slices=slice_table(evaluation),
        classes=class_table(evaluation),
        drivers=importance_table(evaluation),
        drivers_text=""
        if evaluation.importance is None
        else evaluation.importance.text.removeprefix("what drives it: "),
        drivers_picture=next((one for one in pictures if one.title == DRIVERS), None),
        samples=_samples(records.run),
        checks_text="" if records.checks is None else records.checks.summary,
        checks=None if records.checks is None else check_table(_entries(records.checks), MOST_CHECKS),
        data=data_facts(records),
        recipe=recipe_facts(records),
        cost=cost_facts(records),
        links=tuple(records.links.items()),
        missing=(*records.missing, *damage),
    )


def _outcome(records: Records) -> tuple[str, str]:
    """The decision as a heading, and its colour."""
    decision, evaluation = records.decision, records.evaluation or Evaluation()
    if decision is not None:
        version = f"version {decision.version}" if decision.version else "the model"
        if decision.promoted:
            return f"Promoted: {version} is the champion", "good"
        stays = f"version {evaluation.in_charge} stays the champion" if evaluation.in_charge else "there is no champion"
        return f"Not promoted: {stays}", "mild"
    if records.problem:
        if records.checks is not None and records.checks.failures and "prepare" not in records.stages:
            return "The data were refused", "bad"
        if records.status == "KILLED":
            return "The run was interrupted", "bad"
        return "The run failed", "bad"
    return ("The run is not finished yet" if records.status == "RUNNING" else "The run was not finished"), "mild"


def _reason(records: Records) -> tuple[str, ...]:
    """Why, in the gate's own words, or the error's; of a run without an end, how far it came."""
    if records.decision is not None:
        return (reason_of(records.decision.reason),)
    if records.problem:
        return tuple(records.problem.splitlines()[:MOST_CHECKS])
    stages = ", ".join(records.stages)
    return (f"finished so far: {stages}" if stages else "no stage is finished",)


def _tiles(records: Records, evaluation: Evaluation) -> list[Fact]:
    """The few figures that people ask for first."""
    metric, decision = evaluation.primary, records.decision
    own = evaluation.metrics[metric]
    tiles = [Fact(title_of(metric), number(own.value), interval(own))]
    champion = evaluation.champion
    if champion is not None and metric in champion.metrics:
        theirs = champion.metrics[metric]
        tiles.append(Fact(f"{title_of(metric)} of version {champion.version}", number(theirs.value), interval(theirs)))
    if decision is not None and decision.difference is not None:
        other = f"version {champion.version}" if champion is not None else "the trivial baseline"
        tiles.append(_difference(other, own.value or 0.0, decision.difference, decision.low, decision.high))
    standing = evaluation.earns_its_keep
    if standing is not None:
        baseline = evaluation.baselines.get(standing.baseline)
        best = None if baseline is None else baseline.metrics.get(metric)
        words = {"better": "the model is better", "worse": "the baseline is better"}
        more = words.get(standing.outcome, "no clear difference")
        tiles.append(Fact(f"best baseline: {standing.baseline}", "" if best is None else number(best.value), more))
    tiles.append(_tested(records, evaluation))
    if records.stages:
        tiles.append(Fact("time", duration(sum(records.stages.values())), "all stages"))
    return tiles


def _difference(other: str, scale: float, value: float, low: float | None, high: float | None) -> Fact:
    ends = (
        "" if low is None or high is None else f"{number_text(low, scale, True)} to {number_text(high, scale, True)}; "
    )
    return Fact(f"difference from {other}", number_text(value, scale, True), f"{ends}positive is better")


def _tested(records: Records, evaluation: Evaluation) -> Fact:
    """The test rows, and what was resampled where these are not the rows."""
    what = "rows" if has_target(str(records.project.get("task"))) else "blocks of text"
    units = evaluation.units
    more = "" if units is None or units.count == evaluation.rows else f"{units.count:,} {units.name}s"
    return Fact("tested on", f"{evaluation.rows:,} {what}", more)


def _remarks(evaluation: Evaluation) -> tuple[str, ...]:
    """What to know of the decision, one line each."""
    parts = (
        evaluation.earns_its_keep,
        evaluation.event,
        evaluation.threshold,
        evaluation.reference,
        evaluation.coverage,
    )
    own = [one.text for one in parts if one is not None]
    champion = evaluation.champion
    left_out = champion.why if champion is not None and champion.left_out else ""
    units = evaluation.units.note if evaluation.units is not None else ""
    return tuple(text for text in (*own, evaluation.rival, left_out, units) if text)


def _pictures(folder: Path) -> tuple[list[Picture], list[str]]:
    """The pictures in the order of CAPTIONS, and a line on those whose files are cut."""
    order = list(CAPTIONS)
    paths = sorted(
        folder.glob("*.png"), key=lambda path: (order.index(path.stem) if path.stem in order else len(order), path.stem)
    )
    pictures, damage = [], []
    for path in paths:
        source = png_source(path)
        if source is None:
            damage.append(f"plots/{path.name} is damaged, and not shown")
            continue
        text = CAPTIONS.get(path.stem, path.stem.replace("_", " "))
        pictures.append(Picture(path.stem.replace("_", " "), text, source))
    return pictures, damage


def _samples(run: RunDirectory) -> str:
    """The beginning of what a language model wrote."""
    path = run.path / "rehearsal" / "samples.txt"
    return path.read_text(encoding="utf-8", errors="replace")[:MOST_CHARACTERS] if path.exists() else ""


def _entries(checks: Checks) -> list[Entry]:
    """The expectations, and the other findings."""
    verdicts = [Entry(one.passed, one.severity, one.sentence, one.name) for one in checks.verdicts]
    sentences = {one.sentence for one in checks.verdicts}
    findings = [("stop", checks.failures), ("warn", checks.warnings)]
    return [
        *(Entry(False, how, text, "rows") for how, lines in findings for text in lines if text not in sentences),
        *verdicts,
    ]
