"""A bundle as an MLflow model. MLflow copies this file into the model and runs it when the model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import set_model

if TYPE_CHECKING:
    from headway.serve.bundle import AnyPredictor


class BundleModel(mlflow.pyfunc.PythonModel):
    """Raw rows in, `prediction` and `probability_<class>` or an interval out."""

    predictor: AnyPredictor

    def load_context(self, context: Any) -> None:
        """Read the bundle. Imported here, so that logging a model does not import torch."""
        from headway.serve.bundle import load_predictor

        self.predictor = load_predictor(context.artifacts["bundle"])

    # pd.DataFrame is the one type hint that MLflow does not turn into a schema; MLflow reads it at run time.
    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """One prediction for each row; ``params`` are a language model's.

        Raises DataError, one line, when a column is missing or holds what its kind cannot be.
        """
        # MLflow's server hands a JSON body's `inputs` over as it came: a list of records.
        rows = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        return self.predictor.answer(rows, params or {})


set_model(BundleModel())
