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
HEAD = """# Every flow of every project in conf/, for a process work pool. Written by `headway deploy`; run it again after changes of conf/.
#
#   prefect work-pool create --type process headway
#   prefect deploy --all
#   prefect worker start --pool headway
"""


def write(root: Path) -> tuple[Path, int, list[str]]:
    """Write prefect.yaml. Returns its path, its number of deployments, and one line for each YAML that was left out.

    Raises ConfigError where there is no project, or the file cannot be written.
    """
    results, problems = deployments(root)
    if not results:
        raise ConfigError(
            "conf/ must hold a project, but it holds none that loads; headway init --data FILE --target COLUMN"
        )
    entries = [entry(one) for many in results.values() for one in many]
    plan = {"name": "headway", "deployments": entries}
    path = root / "prefect.yaml"
    try:
        write_atomically(path, HEAD + yaml.safe_dump(plan, sort_keys=False, allow_unicode=True, width=110))
    except OSError as error:
        raise ConfigError(f"{path} must be writable, but: {error.strerror}") from None
    return path, len(entries), problems


def entry(deployment: RunnerDeployment) -> dict[str, Any]:
    """One deployment in prefect.yaml. Its flow is given by file, which Prefect resolves from the project's folder."""
    module, _, function = str(deployment.entrypoint).rpartition(".")
    values: dict[str, Any] = {
        "name": deployment.name,
        "version": deployment.version,
        "tags": list(deployment.tags),
        "description": deployment.description,
        "entrypoint": f"{module.replace('.', '/')}.py:{function}",
        "parameters": dict(deployment.parameters or {}),
        "work_pool": {"name": POOL},
    }
    schedules = [
        {"slug": one.slug, **one.schedule.model_dump(mode="json", include={"cron", "timezone"})}
        for one in deployment.schedules or ()
        if one.schedule is not None
    ]
    return {**values, "schedules": schedules} if schedules else values
