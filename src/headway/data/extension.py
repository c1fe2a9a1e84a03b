"""What gives a table further columns, such as the past of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa


class Extension(Protocol):
    """Columns that are made of others of a row and of other rows: those of a series' past."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it makes."""
        ...

    @property
    def late(self) -> tuple[str, ...]:
        """The features of which a model is given earlier values alone."""
        ...

    def needs(self, names: Sequence[str]) -> list[str]:
        """The columns of the files that ``names`` are made from."""
        ...

    def extended(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Canonical rows with its columns."""
        ...
