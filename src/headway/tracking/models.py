"""Logged models of a run that were never registered: what a kill during registration left."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


def forget_unregistered(client: MlflowClient, experiment: str, run_id: str) -> None:
    """Delete the logged models of a run that has no version yet, with their files where these lie on this machine."""
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        place = Path(model.artifact_location.removeprefix("file://"))
        client.delete_logged_model(model.model_id)
        if place.is_absolute() and place.parent.name == model.model_id:  # else it is not a folder of this model alone
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(place.parent)
