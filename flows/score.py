"""Score rows with a project's champion. The same as `headway score`.

headway score loans --data data/incoming
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from flows.naming import artifact_key, named_after_project
from flows.reporting import Both, end_with_runner, failed_state
from headway.config import find_root
from headway.errors import HeadwayError
from headway.pipeline import scoring
from headway.run.report import markdown_table


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="predict")
def predict(project: str, root: Path, data: str | None, out: str | None, version: str) -> Any:
    """Stream the rows through the bundle; the counts become an artifact."""
    report = Both(project)
    try:
        with report.stage("score"):
            manifest = scoring.score(project, root, report, data, Path(out) if out else None, version)
            _show(project, manifest)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    return Completed(message=scoring.lines(manifest, Path(manifest.out))[0], data=manifest.out)


def _show(project: str, manifest: scoring.Manifest) -> None:
    """The counts, in all and by file, as a page."""
    names = ("output", "rows", "scored", "refused")
    rows = [{name: str(getattr(file, name)) for name in names} for file in manifest.files]
    page = "\n\n".join([f"# {project}: scored", *scoring.lines(manifest, Path(manifest.out)), markdown_table(rows)])
    text = f"{manifest.scored:,} rows scored, {manifest.refused:,} refused"
    create_markdown_artifact(markdown=page, key=artifact_key(project, "scored"), description=text)


@flow(name="score", flow_run_name=named_after_project, persist_result=False, validate_parameters=True)
def score(
    project: str,
    data: Optional[str] = None,  # noqa: UP045 - the run form wants Optional
    out: Optional[str] = None,  # noqa: UP045
    version: str = "champion",
) -> Any:
    """Predict rows with a registered model, to Parquet files.

    Args:
        project: Which project's model predicts: the name of a file in conf/, without .yaml.
        data: The rows: a file, folder, glob or URL. None takes the project's own data.
        out: The folder for the predictions. None takes data/scored/ and the project's name.
        version: Which version of the model: a number, or an alias such as champion or previous.
    """
    end_with_runner()
    root = find_root()
    try:
        place = str(root / out) if out else None
        state: Any = predict(project, root, data, place, version, return_state=True)
        folder = state.result(raise_on_failure=True)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    return Completed(message=state.message, data=folder)
