"""Prediction on every core of a Ray cluster. The bundle lies on storage that all machines share; each process there loads it once.

What a machine that fails had not answered is predicted by another.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headway.machine.pool import open_pool

if TYPE_CHECKING:
    from headway.serve.bundle import AnyPredictor


class ClusterWorkers:
    """A pool for one bundle, with the methods of `Workers`. Used in a `with`. Raises ConfigError without a cluster."""

    def __init__(self, bundle: str | Path) -> None:
        self._bundle, self._open, self.count = str(bundle), ExitStack(), 0
        self._submit: Callable[[pa.RecordBatch], Future[np.ndarray]]

    def __enter__(self) -> ClusterWorkers:
        pool = self._open.enter_context(open_pool())
        self.count, self._submit = pool.count, pool.for_work(partial(_answers, self._bundle))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def submit(self, batch: pa.RecordBatch) -> Future[np.ndarray]:
        """The future predictions of one batch. They raise DataError for rows that the bundle refuses."""
        return self._submit(batch)


def _answers(bundle: str, batch: pa.RecordBatch) -> np.ndarray:
    from headway.serve.bundle import answers_of

    return answers_of(_predictor(bundle), batch)


@lru_cache(maxsize=1)
def _predictor(bundle: str) -> AnyPredictor:
    from headway.serve.bundle import load_predictor

    return load_predictor(bundle)
