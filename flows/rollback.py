"""Make an earlier version of a project's model the champion, from the form.

headway rollback PROJECT
"""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.naming import named_after_project
from flows.reporting import failed_state, from_terminal
from headway import tracking
from headway.config import find_root
from headway.errors import HeadwayError
from headway.project import load_project
from headway.tracking.decisions import current_user


@flow(name="rollback", flow_run_name=named_after_project, persist_result=False, validate_parameters=True)
def rollback(project: str, to: str = "", reason: str = "") -> Any:
    """Make the previous champion, or another version, the champion. The next predictions use it.

    Args:
        project: Which project: the name of a file in conf/, without .yaml.
        to: The number of the version that becomes the champion. Empty: the previous champion.
        reason: The reason, which is kept in the model's history.
    """
    root = find_root()
    try:
        who = current_user() if from_terminal() else f"{current_user()}, by the form in Prefect"
        result = tracking.rollback(root, load_project(project, root).name, to, reason, who)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    return Completed(message=result.sentence(), data=result.to_json())
