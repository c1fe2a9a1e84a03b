"""Breast cancer Wisconsin (diagnostic): Wolberg, Street and Mangasarian 1993, as scikit-learn ships it. CC BY 4.0."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from headway.data.datasets.base import Dataset, NoOptions


def generate(folder: Path, _options: NoOptions) -> tuple[Path, ...]:
    """Write scikit-learn's copy as one Parquet file."""
    path = folder / "breast-cancer.parquet"
    if not path.exists():
        from sklearn.datasets import load_breast_cancer

        data = load_breast_cancer()
        names = [str(name).replace(" ", "_") for name in data.feature_names]
        frame = pd.DataFrame(data.data, columns=names)
        frame["diagnosis"] = [str(data.target_names[code]) for code in data.target]
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / ".breast-cancer.partial"
        frame.to_parquet(partial, index=False)
        partial.replace(path)
    return (path,)


DATASET = Dataset(
    name="breast-cancer",
    title="Breast cancer Wisconsin (diagnostic)",
    licence="CC BY 4.0",
    format="parquet",
    generate=generate,
)
