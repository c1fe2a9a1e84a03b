"""A bundle as an MLflow model: its code, its signature, an example, its package requirements."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import headway
from headway.columns import Kind, column_type
from headway.data.prepare import Preparation
from headway.files import checksums
from headway.models.description import Description, preparation_of
from headway.tasks import task_of
from headway.tasks.completion import PROMPT
from headway.tracking.store import quietly

if TYPE_CHECKING:
    import pandas as pd

_PART: Kind = "categorical"
"""Of the parts of a moment."""

REQUIRED = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "PyYAML", "safetensors", "torch")


def save(folder: Path, bundle: Path, described: Description, example: pd.DataFrame, model: Any, run_id: str) -> None:
    """Write an MLflow model. MLflow's log_model would load it and predict, importing torch into the flow's process.

    ``folder`` lies in a working folder, where the temporary ones are made, too: MLflow copies the bundle into one first.
    """
    with quietly():
        import mlflow.pyfunc
        from mlflow.models import Model

    package, preparation = Path(headway.__file__).parent, preparation_of(bundle)
    mlflow_model = Model(
        artifact_path=model.artifact_location, run_id=run_id, model_uuid=model.model_id, model_id=model.model_id
    )
    with _temporary_in(folder.parent), tempfile.TemporaryDirectory() as code, quietly():
        shutil.copytree(package, Path(code) / "headway", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(package / "serve" / "pyfunc.py"),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(Path(code) / "headway")],
            signature=_signature(described, preparation),
            input_example=_example(example, described, preparation),
            pip_requirements=_requirements(described),
            mlflow_model=mlflow_model,
        )
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    checksums.record(folder)


@contextlib.contextmanager
def _temporary_in(folder: Path) -> Iterator[None]:
    """Create temporary files and folders in this folder, with which they are removed after a kill."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _requirements(described: Description) -> list[str]:
    """The packages that a model needs, at the versions it was made with."""
    cut = described.inputs.tokens and "ngrams" not in described.config.takes
    further = {*described.config.packages, *(("tokenizers",) if cut else ())}
    return [f"{name}=={importlib.metadata.version(name)}" for name in (*REQUIRED, *sorted(further))]


def _signature(described: Description, preparation: Preparation) -> Any:
    """Every column may be null: the preparation imputes. Whole numbers are double, because numbers beside nulls are.

    Columns that rows may have besides are there, too; in place of one that is made of several, these. People read the signature, and tools
    send the right columns by it. MLflow's own check would refuse int64 where it says double, and numbers where it says string. So it is
    marked as one that the model checks itself: `headway.data.canonical` does.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    task = task_of(described.task)
    if task.completes:
        from mlflow.types import ParamSchema, ParamSpec

        params = ParamSchema([ParamSpec(one.name, one.kind, one.default, one.shape) for one in task.parameters])
        # A prompt is completed; a text is measured. A frame holds the one or the other.
        inputs = [ColSpec("string", name, required=False) for name in (PROMPT, *described.features)]
        outputs = [ColSpec("string", "completion", required=False)]
        outputs += [ColSpec(kind, name, required=False) for name, kind in task.answered(()).items()]
        return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs), params=params)
    kinds = _kinds(described, preparation) | preparation.observed
    columns = [ColSpec(column_type(kind).mlflow_type, name, required=False) for name, kind in kinds.items()]
    signature = ModelSignature(inputs=Schema(columns), outputs=Schema(_outputs(described)))
    signature._is_signature_from_type_hint = True
    return signature


def _outputs(described: Description) -> list[Any]:
    from mlflow.types import ColSpec

    columns = task_of(described.task).answered(described.classes)
    between = ("low", "high") if described.interval else ()
    return [ColSpec(kind, name) for name, kind in {**columns, **dict.fromkeys(between, "double")}.items()]


def _kinds(described: Description, preparation: Preparation) -> dict[str, Kind]:
    """The columns that rows must have; those of which a moment is made hold texts or numbers, either of which is read."""
    composed = preparation.composition.columns
    parts = {part: _PART for name in described.features for part in composed.get(name, ())}
    return parts | {name: kind for name, kind in described.features.items() if name not in composed}


def _example(rows: pd.DataFrame, described: Description, preparation: Preparation) -> pd.DataFrame:
    import pandas as pd

    if task_of(described.task).completes:
        return rows
    few = rows[list(described.features)].head(5).reset_index(drop=True)
    for name, parts in preparation.composition.columns.items():
        form = next((one for one in preparation.written[name].dates if "%" in one), "%Y-%m-%d %H:%M:%S")
        texts = few[name].dt.strftime(form) if few[name].dtype.kind == "M" else few[name].astype("string")
        values = texts.str.rsplit(" ", n=len(parts) - 1, expand=True).reindex(columns=range(len(parts)))
        few = few.assign(**{part: values[place] for place, part in enumerate(parts) if part not in few})
    kinds = _kinds(described, preparation)
    # A frame at once: putting 20,000 columns into one, one by one, copies all of them each time.
    return pd.DataFrame({name: _as_sent(few[name], kind) for name, kind in kinds.items()}, index=few.index)


def _as_sent(column: pd.Series, kind: Kind) -> pd.Series:
    """A column of the example with the type that the signature names."""
    import pandas as pd

    form = column_type(kind).mlflow_type
    if form == "double":
        return pd.to_numeric(column).astype("float64")
    if form == "string":
        text = column.astype(object)
        return text.where(text.isna(), text.map(str)).where(text.notna(), None)
    return column
