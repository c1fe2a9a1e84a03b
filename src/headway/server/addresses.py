"""Where the pages of Prefect and MLflow show one run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from headway.files.atomic import read_or_empty
from headway.files.records import Record
from headway.server.local import MLFLOW_PORT, PREFECT_PORT, running
from headway.tracking.addresses import page_of_run

_SOON = f"http://127.0.0.1:{PREFECT_PORT}", f"http://127.0.0.1:{MLFLOW_PORT}"
"""Where `headway up` will serve the two pages, without other options."""


@dataclass(frozen=True)
class Addresses(Record):
    """The pages of one run; None where there is none. ``served``: whether servers are up, so that they can be opened now."""

    prefect: str | None
    mlflow: str | None
    served: bool

    def lines(self) -> list[tuple[str, str]]:
        """For people: name and address of each page, and what to do while nothing serves them."""
        pages = [(name, url) for name, url in (("Prefect", self.prefect), ("MLflow", self.mlflow)) if url]
        hint = "headway up serves this run's pages at:" if pages else "headway up serves the two web pages"
        return pages if self.served else [("pages", hint), *pages]


def addresses_of(run: Path, root: Path) -> Addresses:
    """The pages of a run in this folder: on servers that are up, or where `headway up` will show them."""
    servers, flow = running(root), read_or_empty(run / "flow.json")
    has_temporary = not os.environ.get("PREFECT_API_URL") or "HEADWAY_TEMPORARY_SERVER" in os.environ
    prefect = flow.get("url")
    if (
        prefect is None and flow.get("flow_run_id") and has_temporary
    ):  # it has the database of `headway up`, but no page
        prefect = f"{_SOON[0] if servers is None else servers.prefect}/runs/flow-run/{flow['flow_run_id']}"
    return Addresses(prefect, mlflow_page(run, root) or _page(run, _SOON[1]), servers is not None or not has_temporary)


def mlflow_page(run: Path, root: Path) -> str | None:
    """The run's page in MLflow; None when MLflow did not answer, or no server shows its store.

    A run writes to the project's own store directly, and the `headway up` of this folder shows that store.
    """
    ui = read_or_empty(run / "tracking.json").get("ui")
    if ui:
        return str(ui)
    servers = None if os.environ.get("MLFLOW_TRACKING_URI") else running(root)
    return None if servers is None else _page(run, servers.mlflow)


def _page(run: Path, server: str) -> str | None:
    tracking = read_or_empty(run / "tracking.json")
    if not tracking.get("run_id") or os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    return f"{server}/{page_of_run(tracking['experiment_id'], tracking['run_id'])}"
