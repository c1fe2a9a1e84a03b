"""What a browser that has never seen MLflow's pages starts with: MLflow's own settings of a browser, kept by its pages in localStorage.

Without them an experiment opens with a page about traces of language models, a panel of MLflow's assistant opens by itself, and the pages
try to send what is clicked to MLflow's makers. What a person chooses in the pages is kept. The first page is the list of experiments:
MLflow's own tells of functions that no project uses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

SETTINGS: Mapping[str, Any] = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.settings.telemetry.enabled_v1": False,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
}
"""Keys and values of MLflow 3.17, both written as its pages write them: the number after _v is the value's version."""

HEAD = "<head>"
USER = "/ajax-api/2.0/mlflow/users/current"
"""Which the pages ask for on each visit, and MLflow's server without its own accounts does not know."""


def settle(app: FastAPI) -> None:
    """Let the page of ``app``, MLflow's server, set them before it loads anything else, and find that there are no accounts."""
    from mlflow.server import app as pages
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    index = Path(str(pages.static_folder)) / "index.html"

    def page(_request: Any) -> Response:
        text = index.read_text(encoding="utf-8")
        if HEAD not in text:
            return FileResponse(index)
        return HTMLResponse(text.replace(HEAD, HEAD + script(), 1), headers={"cache-control": "no-cache"})

    def user(_request: Any) -> Response:
        return JSONResponse({"user": None})

    app.router.routes[:0] = [Route("/", page, methods=["GET"]), Route(USER, user, methods=["GET"])]


def script() -> str:
    """The HTML that sets what this browser has not set yet, and leads to the experiments where the address names no page."""
    values = json.dumps({key: json.dumps(value) for key, value in SETTINGS.items()})
    code = f"for(const[k,v]of Object.entries({values}))try{{localStorage[k]??=v}}catch{{}}"
    return f"<script>{code} location.hash||=`#/experiments`</script>"
