"""The contents of a run in MLflow: tags, the note, the data, final metrics, files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.columns import column_type
from headway.evaluate.decision import Decision
from headway.evaluate.result import Evaluation
from headway.files.atomic import read_or_empty
from headway.run.directory import RunDirectory
from headway.run.report import number
from headway.run.result import Result
from headway.tracking.addresses import page_of_artifact
from headway.tracking.decisions import reason_of
from headway.tracking.experiments import kind_of
from headway.tracking.record import Ending

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

NUMBER_TAG = "headway.number"
"""The run's number in its folder, as text that sorts like the number; only where the store is the folder's own."""

# More metric keys make MLflow's comparison of runs slow; system metrics and the curves come on top.
MOST_METRICS = 100
REPORTS = ("report.html", "effect.html")
REPORT = "Report.html"
"""The report of a retraining, report.html, or of a study, effect.html: MLflow lists files in the order of ASCII, capitals first."""
FILES = (
    "data.json",
    "profile.json",
    "validation.html",
    "validation.json",
    "store.json",
    "journal.jsonl",
    "result.json",
    "evaluation.json",
    "importance.csv",
    "decision.json",
    "stages.json",
    "rehearsal/samples.txt",
    "tuned.json",
    "seeds.json",
    "effect.json",
    "effect.jsonl",
    "watch.json",
    "watch.md",
)
Scalar = str | int | float | bool
SECTIONS = ("data", "split", "prepare", "model", "train", "gate")


def flatten(project: Mapping[str, Any]) -> dict[str, Scalar]:
    """A project's plain settings as dotted names."""
    flat: dict[str, Scalar] = {"task": project["task"]}
    for section in SECTIONS:
        for key, value in project.get(section, {}).items():
            if isinstance(value, (str, int, float, bool)):
                flat[f"{section}.{key}"] = value
    return flat


def opening_tags(plan: Mapping[str, Any]) -> dict[str, str]:
    """Code, project, model and kind of the run."""
    code = plan.get("code") or {}
    tags = {
        "mlflow.source.name": f"headway {code.get('version', '')}".strip(),
        "mlflow.source.type": "LOCAL",
        "project": plan["project"]["name"],
        "model": plan["project"]["model"]["name"],
        "mlflow.note.content": plan["project"].get("description", ""),
    }
    tags["kind"] = kind_of(plan)
    if code.get("commit"):
        tags["mlflow.source.git.commit"] = code["commit"]
        tags["code"] = code["commit"][:10] + (" with changes" if code.get("dirty") else "")
    return tags


def number_tag(plan: Mapping[str, Any]) -> dict[str, str]:
    """The tag of a run that has a number."""
    return {NUMBER_TAG: f"{plan['number']:08d}"} if "number" in plan else {}


def number_of(tags: Mapping[str, str]) -> int:
    """The number in NUMBER_TAG; 0 for a run of an early version, which has none."""
    text = tags.get(NUMBER_TAG, "")
    return int(text) if text.isdecimal() else 0


def prefect_tags(run: RunDirectory) -> dict[str, str]:
    """The run in Prefect, where there is one."""
    flow = read_or_empty(run.path / "flow.json")
    tags = {"prefect.flow_run_id": flow.get("flow_run_id"), "prefect.url": flow.get("url")}
    return {key: str(value) for key, value in tags.items() if value}


def result_tags(run: RunDirectory) -> dict[str, str]:
    """The columns of the list of runs that are known by now: rows, the decision, the deciding metric's interval, drift."""
    tags = {}
    rows = read_or_empty(run.path / "data.json").get("rows")
    if rows:
        tags["rows"] = f"{rows:,}"
    decision = Decision.read_if_whole(run.path / "decision.json")
    if decision is not None:
        tags["decision"] = decision.word
    elif read_or_empty(run.path / "validation.json").get("passed") is False:
        tags["decision"] = "Refused"
    evaluation = Evaluation.read_if_whole(run.path / "evaluation.json") or Evaluation()
    deciding = evaluation.metrics.get(evaluation.primary)
    if deciding is not None and deciding.low is not None:
        tags["interval"] = f"{evaluation.primary} {number(deciding.low)} to {number(deciding.high)}"
    watch = read_or_empty(run.path / "watch.json")
    if "drifted" in watch:
        tags["drift"] = "drift" if watch["drifted"] else "no drift"
    return tags


def note_of(run: RunDirectory, ending: Ending | None, page: str) -> str:
    """Markdown at the top of the run's ``page`` in MLflow: its description, its results, the links to its report and to Prefect."""
    evaluation = Evaluation.read_if_whole(run.path / "evaluation.json") or Evaluation()
    decision = Decision.read_if_whole(run.path / "decision.json")
    lines = [read_or_empty(run.path / "run.json").get("project", {}).get("description", ""), *evaluation.remarks]
    if decision is not None:
        lines.append(f"**{decision.word}**: {reason_of(decision.reason)}")
    lines.append((run.result or Result()).diagnosis)
    lines += [str(read_or_empty(run.path / name).get("summary", "")) for name in ("effect.json", "watch.json")]
    if ending and ending.problem:
        lines.append(f"**{ending.status.lower()}**: {ending.problem}")
    tags = prefect_tags(run)
    if any((run.path / name).exists() for name in REPORTS):
        lines.append(f"[Report]({page_of_artifact(page, REPORT)})")
    if "prefect.url" in tags:
        lines.append(f"[Prefect run]({tags['prefect.url']})")
    return "\n\n".join(line for line in lines if line)


def dataset_of(run: RunDirectory) -> DatasetInput | None:
    """The data with a digest of all of its bytes: MLflow's own covers a frame's first 10,000 rows only."""
    plan = read_or_empty(run.path / "run.json")
    data = read_or_empty(run.path / "data.json") or plan.get("data")
    if not data or "digest" not in data or "project" not in plan:
        return None
    from mlflow.entities import Dataset, DatasetInput, InputTag

    project = plan["project"]
    data_section = project.get("data", {})
    source = {"uri": data_section.get("source") or f"dataset:{data_section.get('dataset')}", "sha256": data["digest"]}
    schema = [
        {"name": name, "type": column_type(kind).mlflow_type, "required": False}
        for name, kind in data_section.get("features", {}).items()
    ]
    profile = {key: data[key] for key in ("rows", "files") if key in data}
    dataset = Dataset(
        name=str(data_section.get("dataset") or project["name"]),
        digest=str(data["digest"])[:12],
        source_type="code",
        source=json.dumps(source),
        # MLflow keeps 65,535 characters of a schema; wider tables have theirs in project.yaml.
        schema=json.dumps({"mlflow_colspec": schema}) if len(schema) <= 500 else None,
        profile=json.dumps(profile)[:60_000] if profile else None,
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def is_final(key: str) -> bool:
    """Whether a metric's key is one of `final_metrics`, except those of a watch."""
    return "/" not in key or key.startswith(("test/", "training/", "timing/", "versus/"))


def final_metrics(run: RunDirectory) -> dict[str, float]:
    """auc, test/auc, timing/train, training/epochs, versus/linear/auc ...: of what the run's folder holds whole.

    MLflow sorts its charts' sections by name, metrics without a prefix first: the one that decides leads, the baselines come last. Its
    95 % intervals are in evaluation.json, because each would be two more charts.
    """
    evaluation = Evaluation.read_if_whole(run.path / "evaluation.json") or Evaluation()
    flat: dict[str, object] = {}
    if evaluation.primary in evaluation.metrics:
        value = evaluation.metrics[evaluation.primary].value
        flat[evaluation.primary] = None if value is None else float(f"{value:.5g}")  # the list of runs shows all digits
    flat |= {f"test/{name}": metric.value for name, metric in evaluation.metrics.items()}
    if evaluation.threshold is not None:
        flat |= {"test/threshold": evaluation.threshold.value}
        flat |= {f"test/threshold_{name}": one.value for name, one in evaluation.threshold.metrics.items()}
    flat |= {f"training/{key}": value for key, value in (run.result or Result()).figures.items()}
    flat |= {f"timing/{stage}": seconds for stage, seconds in read_or_empty(run.path / "stages.json").items()}
    for baseline, result in evaluation.baselines.items():
        flat |= {f"versus/{baseline}/{name}": metric.value for name, metric in result.metrics.items()}
    return {k: float(v) for k, v in flat.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}


def deliver_artifacts(client: MlflowClient, run: RunDirectory, run_id: str) -> list[str]:
    """Copy the run's files into MLflow; copied again, a file replaces itself. Returns the damaged files, which are not copied."""
    damaged = []
    for name in REPORTS:
        if (run.path / name).exists():
            client.log_text(run_id, (run.path / name).read_text(encoding="utf-8"), REPORT)
    for name in FILES:
        path = run.path / name
        if not path.exists():
            continue
        if path.suffix == ".json" and not read_or_empty(path):
            damaged.append(name)
            continue
        client.log_artifact(run_id, str(path))
    for path in sorted((run.path / "plots").glob("*.png")):
        if _is_whole(path):
            client.log_artifact(run_id, str(path), "plots")
        else:
            damaged.append(f"plots/{path.name}")
    return damaged


def _is_whole(path: Path) -> bool:
    """Whether a picture has all of its points."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError):  # PIL raises the last two, too, for a damaged PNG
        return False
    return True
