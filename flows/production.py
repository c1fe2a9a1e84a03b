"""prefect.yaml: every flow of every project, for a process work pool. Written by `headway deploy`, read by `prefect deploy --all`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from prefect.deployments.runner import RunnerDeployment

from flows.deployments import deployments
from headway.errors import ConfigError
from headway.files.atomic import write_atomically

POOL = "headway"
HEAD = """# Every flow of every project in conf/, for a process work pool. Written by `headway deploy`; write again when conf/ has changed.
#
#   prefect work-pool create --type process headway
#   prefect deploy --all
#   prefect worker start --pool headway
"""


def write(root: Path) -> tuple[Path, int, list[str]]:
    """Write prefect.yaml: its path, how many deployments it has, and one line for each YAML that was left out.

    Raises ConfigError where there is no project, or the file cannot be written.
    """
    made, problems = deployments(root)
    if not made:
        raise ConfigError(
            "conf/ must hold a project, but it holds none that loads; headway init --data FILE --target COLUMN"
        )
    plan = {"name": "headway", "deployments": [entry(one) for one in made]}
    path = root / "prefect.yaml"
    try:
        write_atomically(path, HEAD + yaml.safe_dump(plan, sort_keys=False, allow_unicode=True, width=110))
    except OSError as error:
        raise ConfigError(f"{path} must be writable, but: {error.strerror}") from None
    return path, len(made), problems


def entry(made: RunnerDeployment) -> dict[str, Any]:
    """One deployment as prefect.yaml has it. Its flow is named by file, which Prefect looks for from the project's folder."""
    module, _, function = str(made.entrypoint).rpartition(".")
    found: dict[str, Any] = {
        "name": made.name,
        "version": made.version,
        "tags": list(made.tags),
        "description": made.description,
        "entrypoint": f"{module.replace('.', '/')}.py:{function}",
        "parameters": dict(made.parameters or {}),
        "work_pool": {"name": POOL},
    }
    schedules = [
        {"slug": one.slug, **one.schedule.model_dump(mode="json", include={"cron", "timezone"})}
        for one in made.schedules or ()
        if one.schedule is not None
    ]
    return {**found, "schedules": schedules} if schedules else found
