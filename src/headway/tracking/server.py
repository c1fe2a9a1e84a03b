"""MLflow's server as an application, for `headway.server.access` to run: pages and API of the store."""

from __future__ import annotations

import os
from typing import Any

PLACE = "mlflow-artifacts:/"


def tracking_app() -> Any:
    """What `mlflow server` serves, with its store and its artifacts' folder from the variables that `mlflow server` reads, too."""
    from mlflow.server import constants

    store = os.environ["MLFLOW_BACKEND_STORE_URI"]
    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: store,
            constants.ARTIFACTS_DESTINATION_ENV_VAR: os.environ["MLFLOW_ARTIFACTS_DESTINATION"],
            constants.ARTIFACT_ROOT_ENV_VAR: PLACE,
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    from headway.tracking.first_visit import settle

    initialize_backend_stores(store, store, PLACE)
    settle(app)
    return app
