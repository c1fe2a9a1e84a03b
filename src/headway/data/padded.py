"""Ragged rows as batches take them: padded with zeros to one of a few widths, so that batches have a few shapes.

Shapes: N rows, T values of all rows, B rows that are taken, W the width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from headway.columns.ngrams import WEIGHTED
from headway.columns.ragged import Ragged
from headway.data.prepared_rows import PreparedRows

NARROWER = (0.5, 0.8, 0.95)
"""Shares of the rows that the narrower widths hold. With the whole width they are as many as a recorder keeps kinds of batches."""


@dataclass(frozen=True, eq=False)
class PaddedRows:
    """``values`` (T,) and ``offsets`` (N + 1,), with the methods of a tensor (N, W). Longer rows are cut to the width."""

    values: Tensor
    offsets: Tensor
    width: int

    @classmethod
    def of(cls, rows: Ragged, width: int | None = None) -> PaddedRows:
        """Where the rows lie, without a copy; ``width``: by default that of the longest row, and at least 1."""
        width = max(1, rows.longest) if width is None else width
        return cls(torch.from_numpy(rows.values), torch.from_numpy(rows.offsets), width)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def size(self, _dim: int = 0) -> int:
        """The number of rows."""
        return len(self)

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return self.values.device

    @property
    def row_bytes(self) -> int:
        """Bytes of a row that was taken."""
        return self.width * self.values.element_size()

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return self.values.nbytes + self.offsets.nbytes

    def to(self, device: torch.device) -> PaddedRows:
        """The same on another device."""
        return PaddedRows(self.values.to(device), self.offsets.to(device), self.width)

    @cached_property
    def widths(self) -> np.ndarray:
        """(N,) int64: the narrowest of a few widths that holds each row."""
        lengths = np.minimum(np.diff(self._offsets), self.width)
        if not len(lengths):
            return lengths
        narrower = np.quantile(lengths, NARROWER, method="higher").astype(np.int64)
        widths = np.unique([*np.maximum(narrower, 1), self.width])
        return widths[np.searchsorted(widths, lengths)]

    def width_of(self, numbers: Tensor) -> int:
        """That of the rows of these numbers (B,), which lie on the CPU, as a batch."""
        return int(self.widths[numbers.numpy()].max())

    def index_select(self, _dim: int, rows: Tensor, width: int | None = None) -> Tensor:
        """(B, W): the rows of these numbers (B,). ``width``: at least that of the longest of them, by default the whole one."""
        width = self.width if width is None else width
        starts, ends = self.offsets.index_select(0, rows), self.offsets.index_select(0, rows + 1)
        if not len(self.values):
            return self.values.new_zeros(len(rows), width)
        places = starts[:, None] + torch.arange(width, device=self.device)
        outside = places >= ends[:, None]
        return self.values[places.clamp_(max=len(self.values) - 1)].masked_fill_(outside, 0)

    def __getitem__(self, rows: int | slice) -> Tensor:
        """(B, W) of a slice, (W,) of one row."""
        if isinstance(rows, slice):
            return self.index_select(0, torch.arange(*rows.indices(len(self)), device=self.device))
        # By numpy, for a plain DataLoader takes row by row: eight small calls of torch would be most of its time.
        start, end = self._offsets[rows], self._offsets[rows + 1]
        row = np.zeros(self.width, self._values.dtype)
        row[: end - start] = self._values[start : min(end, start + self.width)]
        return torch.from_numpy(row).to(self.device)

    @cached_property
    def _values(self) -> np.ndarray:
        return self.values.cpu().numpy()

    @cached_property
    def _offsets(self) -> np.ndarray:
        return self.offsets.cpu().numpy()

    def gather(self, rows: np.ndarray, out: np.ndarray) -> None:
        """The rows of these numbers into ``out`` (B, W). By numpy, in the calling thread alone."""
        values, offsets = self._values, self._offsets
        lengths = np.minimum(offsets[rows + 1] - offsets[rows], self.width)
        inside = np.arange(self.width) < lengths[:, None]
        out[:] = 0
        ends = np.cumsum(lengths)
        out[inside] = values[
            np.arange(ends[-1] if len(ends) else 0) + np.repeat(offsets[rows] - ends + lengths, lengths)
        ]


Rows = Tensor | PaddedRows
"""One of the named inputs of a network for all rows of a split."""


def padded(rows: Mapping[str, Ragged]) -> dict[str, Rows]:
    """Ragged rows by name as a network is given them; weighted ones as two inputs, NAME and NAME_weights."""
    inputs: dict[str, Rows] = {}
    for name, one in rows.items():
        if one.values.dtype != WEIGHTED:
            inputs[name] = PaddedRows.of(one)
            continue
        features, weights = (np.ascontiguousarray(one.values[field]) for field in ("feature", "weight"))
        inputs[name] = PaddedRows.of(Ragged(features, one.offsets))
        inputs[f"{name}_weights"] = PaddedRows.of(Ragged(weights, one.offsets))
    return inputs


def widths_of(rows: Mapping[str, Rows]) -> np.ndarray | None:
    """(N,) int64: how much padded rows cost, as the sum of their widths; None where no input is ragged."""
    ragged = [one.widths for one in rows.values() if isinstance(one, PaddedRows)]
    return np.sum(ragged, 0) if ragged else None


def batch_of(rows: Mapping[str, Rows], numbers: Tensor) -> dict[str, Tensor]:
    """The rows of these numbers (B,), which lie on the CPU, where the rows are; ragged ones as wide as the widest of them."""
    place = numbers.to(next(iter(rows.values())).device)
    batch = {}
    for name, one in rows.items():
        width = (one.width_of(numbers),) if isinstance(one, PaddedRows) else ()
        batch[name] = one.index_select(0, place, *width)
    return batch


def tensors_of(rows: PreparedRows) -> dict[str, Rows]:
    """Prepared rows as a network is given them."""
    numeric, categorical = rows.arrays["numeric"], rows.arrays["categorical"].astype(np.int64)
    dense = {"numeric": torch.from_numpy(numeric), "categorical": torch.from_numpy(categorical)}
    return {**dense, **padded(rows.ragged)}


def row_bytes(rows: Mapping[str, Rows]) -> int:
    """Bytes of one row over all tensors, as a batch holds it."""
    sizes = [
        one.row_bytes if isinstance(one, PaddedRows) else one[:1].numel() * one.element_size() for one in rows.values()
    ]
    return max(1, sum(sizes))
