"""A few requests to Prefect's server without importing prefect, which takes seconds."""

from __future__ import annotations

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from headway.errors import ConfigError

TAG = "headway"
"""The tag of our deployments, and of their runs."""
TERMINAL = "terminal"
"""The tag of runs that were started from the terminal, whose process is not the runner's."""


def check_reachable(address: str) -> None:
    """Raises ConfigError when Prefect's server at ``address`` (…/api) does not answer, or wants other credentials."""
    try:
        _ask(address, "/admin/version")
    except urllib.error.HTTPError as error:
        if error.code == 403:
            fact = " ".join(error.read(300).decode(errors="replace").split())
            raise ConfigError(f"Prefect at {address} must accept this user, but answers: {fact}") from None
        if error.code != 401:
            return  # the server is there: Prefect's own client reports the rest
        fact = "it refuses HEADWAY_AUTH" if _secret() else "it requires a password"
        raise ConfigError(
            f"Prefect at {address} must accept this user, but {fact}; set HEADWAY_AUTH=user:password"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        fix = "start it, or unset PREFECT_API_URL"
        raise ConfigError(f"Prefect at {address} must answer, but does not: {reason}; {fix}") from None


def crash_unfinished(address: str, reason: str) -> None:
    """Set our deployments' unfinished runs to Crashed, except those from a terminal. Raises ConfigError when the server does not answer."""
    going_on = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    crashed = {"type": "CRASHED", "name": "Crashed", "message": reason}
    try:
        runs = _ask(address, "/flow_runs/filter", {"flow_runs": going_on, "deployments": {"tags": {"all_": [TAG]}}})
        for run in (run for run in runs if TERMINAL not in run["tags"]):
            tasks = _ask(
                address, "/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}, "task_runs": going_on}
            )
            for kind, one in (*(("task_runs", task) for task in tasks), ("flow_runs", run)):
                _ask(address, f"/{kind}/{one['id']}/set_state", {"state": crashed, "force": True})
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError(f"Prefect at {address} must answer, but does not: {error}") from None


MOST_RUNS = 200
LOOK_TIMEOUT_SECONDS = 3.0


def newest_runs(address: str, since: str) -> list[Mapping[str, Any]]:
    """The flow runs that started after ``since`` (ISO 8601), the newest MOST_RUNS. Raises what urllib raises."""
    body = {"flow_runs": {"start_time": {"after_": since}}, "sort": "START_TIME_DESC", "limit": MOST_RUNS}
    return list(_ask(address, "/flow_runs/filter", body, LOOK_TIMEOUT_SECONDS))


def start_deployment(address: str, flow: str, project: str) -> None:
    """Start a flow for a project as its form does. Raises ConfigError where it cannot be started."""
    ours = {"flows": {"name": {"any_": [flow]}}, "deployments": {"tags": {"all_": [TAG]}}}
    try:
        deployments = _ask(address, "/deployments/filter", ours)
        ids = [one["id"] for one in deployments if one["parameters"].get("project") == project]
        if not ids:
            raise ConfigError(f"Prefect at {address} must have a deployment of {flow} for {project}, but has none")
        _ask(address, f"/deployments/{ids[0]}/create_flow_run", {})
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError(f"Prefect at {address} must start {flow}, but does not: {error}") from None


def _secret() -> str | None:
    """user:password of the server, where it requires one."""
    return os.environ.get("PREFECT_API_AUTH_STRING") or os.environ.get("HEADWAY_AUTH")


def _ask(address: str, path: str, body: Mapping[str, object] | None = None, seconds: float = 20) -> Any:
    """The answer as JSON; a body is posted. Raises what urllib raises."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address.rstrip("/") + path, data, {"Content-Type": "application/json"})
    secret = _secret()
    if secret:
        request.add_header("Authorization", "Basic " + base64.b64encode(secret.encode()).decode())
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.loads(answer.read() or b"null")
