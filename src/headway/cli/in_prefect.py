"""Commands that show up in Prefect's page, too, where a server runs: what they do is then a run of the same deployment as the form's."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headway.errors import ConfigError
from headway.pipeline.terminal import Terminal


def in_prefect(
    flow: str,
    project: str,
    parameters: Mapping[str, Any],
    alone: Callable[[], Any],
    terminal: Terminal,
    root: Path,
) -> Any:
    """The result of a flow of this name, run in this process; of ``alone``, which does the same, where no server runs or answers.

    Raises a user's error itself.
    """
    from headway.server.local import reach_prefect, running

    if running(root) is None and not os.environ.get("PREFECT_API_URL"):
        return alone()
    try:
        reach_prefect(root)()
    except ConfigError as error:
        terminal.warn(f"not shown in Prefect: {error}")
        return alone()
    from flows.reporting import shown_on
    from flows.started import REFUSALS, named_project, new_run, run_as
    from flows.zombies import attended

    function = getattr(importlib.import_module(f"flows.{flow}"), flow)
    form = {"project": project, **parameters}
    try:
        flow_run = new_run(function, named_project(project, root, ()), form)
    except REFUSALS as error:
        terminal.warn(f"not shown in Prefect: {str(error).splitlines()[0]}")
        return alone()
    with shown_on(terminal), attended(flow_run.id, root):
        return run_as(flow_run, function, form).result(raise_on_failure=True)
