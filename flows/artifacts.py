"""The pages that a flow leaves in Prefect, as artifacts."""

from __future__ import annotations

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.naming import artifact_key
from headway.config import find_root
from headway.effect.results import StudyResult
from headway.evaluate.decision import Decision
from headway.evaluate.result import Evaluation
from headway.files.atomic import read_or_empty
from headway.pipeline.tables import DECIDES, class_rows, importance_rows, metric_rows, slice_rows
from headway.pipeline.validation import Validation
from headway.quality.judge import Verdict
from headway.run.directory import RunDirectory
from headway.run.report import MOST_LINES, markdown_table, shortened
from headway.server.addresses import mlflow_page
from headway.tracking.addresses import page_of_artifact
from headway.tracking.contents import REPORT
from headway.tracking.experiments import LIST
from headway.watch.result import WatchResult, page


def show_mlflow(project: str, run: RunDirectory) -> None:
    """The run's page in MLflow, as a link that is there from the beginning of the run."""
    address = mlflow_page(run.path, find_root())
    if address:
        create_link_artifact(link=address, link_text="The run in MLflow", key=artifact_key(project, "mlflow"))


def show_validation(project: str, run: RunDirectory, validation: Validation | None, problem: str | None = None) -> None:
    """The findings of the validation with every expectation, as a page."""
    lines = [f"# {project}: data {'refused' if problem else 'accepted'}"]
    if problem:
        lines += [f"- {line}" for line in problem.splitlines()]
    if validation is not None:
        lines += [
            "",
            validation.summary,
            *(f"- warning: {text}" for text in shortened(validation.warnings, "warnings")),
        ]
    rows = expectation_rows(run)
    if rows:
        lines += ["", "## Expectations", "", markdown_table(rows[:MOST_LINES])]
        lines += [f"\nand {len(rows) - MOST_LINES:,} more: validation.json has all"] if len(rows) > MOST_LINES else []
    text = "data refused" if problem else "data accepted"
    create_markdown_artifact(markdown="\n".join(lines), key=artifact_key(project, "validation"), description=text)


def expectation_rows(run: RunDirectory) -> list[dict[str, str]]:
    """The expectations that were judged, the broken ones first; none before, or without, a judgement."""
    verdict = read_or_empty(run.path / "validation.json").get("expectations")
    results = Verdict.from_json(verdict, run.path / "validation.json").results if verdict else ()
    ranked = sorted(results, key=lambda one: (one.passed, one.severity != "stop"))
    words = {True: "holds", False: "broken"}
    return [
        {
            "": words[one.passed] if one.passed or one.severity == "stop" else "broken, a warning",
            "expectation": one.sentence.replace("|", "\\|").replace("\n", " "),
        }
        for one in ranked
    ]


def show_metrics(project: str, evaluation: Evaluation) -> None:
    """Metrics with intervals beside champion and baselines, as a table."""
    rows = metric_rows(evaluation)
    if rows:
        text = ". ".join([*evaluation.remarks, DECIDES])
        create_table_artifact(table=rows, key=artifact_key(project, "metrics"), description=text)
    classes = class_rows(evaluation)
    if classes:
        create_table_artifact(table=classes, key=artifact_key(project, "classes"), description="Each class.")
    slices = slice_rows(evaluation)
    if slices:
        create_table_artifact(
            table=slices, key=artifact_key(project, "slices"), description="The deciding metric by slice."
        )
    if evaluation.importance is not None:
        rows = importance_rows(evaluation)
        key = artifact_key(project, "importance")
        create_table_artifact(table=rows, key=key, description=evaluation.importance.text)


def show_decision(project: str, decision: Decision, evaluation: Evaluation, run: RunDirectory) -> None:
    """The decision with its reason, the metrics, and where the run's files and its page in MLflow are."""
    verdict = "promoted to champion" if decision.promoted else "not promoted"
    model = f"Model `{decision.name}` version {decision.version}. " if decision.version is not None else ""
    table = markdown_table(metric_rows(evaluation))
    parts = [f"# {project}: {verdict}", decision.reason, *evaluation.remarks, table, f"\\{DECIDES}" if table else ""]
    parts.append(f"{model}Files: `{run.path}`")
    parts.append(f"Report: `headway report {project} {run.path.name}`")
    address = mlflow_page(run.path, find_root())
    if address:
        links = {
            "The report of the run": page_of_artifact(address, REPORT),
            "The run in MLflow": address,
            f"All runs of {project}": f"{address.partition('/runs/')[0]}/runs?{LIST}",
        }
        parts.append(" · ".join(f"[{text}]({link})" for text, link in links.items()))
    page = "\n\n".join(part for part in parts if part)
    create_markdown_artifact(markdown=page, key=artifact_key(project, "decision"), description=verdict)


def show_drift(project: str, result: WatchResult) -> None:
    """The result of a watch, as a page."""
    text = "drift" if result.drifted else "no drift"
    create_markdown_artifact(markdown=page(result), key=artifact_key(project, "drift"), description=text)


def show_effects(project: str, result: StudyResult, run: RunDirectory) -> None:
    """The verdicts of an effect study, as a page."""
    from headway.pipeline import effects  # imports torch, which takes 2 s that a retraining's process must not wait for

    parts = [f"# {project}: what each technique gains", result.summary, markdown_table(effects.table(result))]
    parts += [f"- not settled: {row.name}: {row.why}" for row in result.open]
    parts.append(f"Report with pictures and every sample: `headway report {project} {run.path.name}`")
    address = mlflow_page(run.path, find_root())
    if address:
        parts.append(f"[The report of the study]({page_of_artifact(address, REPORT)})")
    page = "\n\n".join(parts)
    create_markdown_artifact(
        markdown=page, key=artifact_key(project, "effects"), description="what each technique gains"
    )
