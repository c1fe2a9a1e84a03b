"""Wisconsin breast cancer: is a tumour malignant? 569 rows, 212 of them malignant, 30 measurements each.

Wolberg, Mangasarian, Street and Street 1995, UCI repository 17, CC BY 4.0, as scikit-learn holds it: no network is needed.
"""

from __future__ import annotations

from pathlib import Path

from headway.config import Config
from headway.data.datasets import Dataset
from headway.files.atomic import replacing


def generate(options: Config, folder: Path) -> tuple[Path, ...]:  # noqa: ARG001 — it has no options
    """Write scikit-learn's copy once, with underscores in the column names and the class in words."""
    path = folder / "breast-cancer.parquet"
    if path.exists():
        return (path,)
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    columns = {str(n).replace(" ", "_"): bunch["data"][:, i] for i, n in enumerate(bunch["feature_names"])}
    columns["diagnosis"] = [str(bunch["target_names"][code]) for code in bunch["target"]]
    with replacing(path) as partial:
        pq.write_table(pa.table(columns), partial)
    return (path,)


DATASET = Dataset(format="parquet", generate=generate)
