"""Weighted n-grams of rows as one sparse matrix, which scikit-learn and LightGBM read. scipy is imported where texts are, not before.

Shapes: N rows, G n-grams of all columns together, padding included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headway.columns.ngrams import WEIGHTED
from headway.columns.ragged import Ragged


def sparse(texts: Mapping[str, Ragged], counts: Sequence[int]) -> Any:
    """(N, G) float32 by rows; None where no column became n-grams. ``counts``: how many each has, in the same order."""
    columns = list(zip(texts.values(), counts, strict=True))
    if not columns or any(rows.values.dtype != WEIGHTED for rows, _ in columns):
        return None
    import scipy.sparse

    matrices = [
        scipy.sparse.csr_matrix(
            (
                rows.values["weight"].astype(np.float32),
                rows.values["feature"].astype(np.int32),
                np.asarray(rows.offsets),
            ),
            shape=(len(rows), count),
        )
        for rows, count in columns
    ]
    return matrices[0] if len(matrices) == 1 else scipy.sparse.hstack(matrices, format="csr")


def side_by_side(left: Any, texts: Any) -> Any:
    """Sparse columns and texts in the texts' type: solvers take half as long as in float64."""
    import scipy.sparse

    return scipy.sparse.hstack([left.astype(texts.dtype), texts], format="csr")


def one_below_the_other(texts: Sequence[Any]) -> Any:
    """The rows of all parts."""
    import scipy.sparse

    return scipy.sparse.vstack(texts, format="csr")
