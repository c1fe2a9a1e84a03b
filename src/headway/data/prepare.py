"""Preparation: one fitted transformation for training, batch scoring and serving, so that they cannot differ.

Prepared rows are two arrays, ``numeric`` (B, F) float32 and ``categorical`` (B, C) int32, and a ragged one, ``tokens_0`` and so on, for
each column that becomes tokens; documents are a ragged one alone. `headway.data.fit` fits it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from headway.columns import Kind, gives, groups, read_encoding
from headway.columns.base import Encoding, Prepared
from headway.columns.codes import written_out
from headway.columns.ragged import Ragged
from headway.columns.text import DocumentTokens
from headway.columns.written import Written
from headway.data.composition import Composition
from headway.data.config import CsvOptions
from headway.data.inputs import Inputs
from headway.data.past import Past
from headway.tasks import Target


def _side_by_side(columns: Iterable[np.ndarray], count: int, rows: int, kind: type[np.generic]) -> np.ndarray:
    """(rows, count) of ``kind``. Each column is converted and copied while it lies in the cache; one transposition at the end."""
    turned = np.empty((count, rows), kind)
    with np.errstate(over="ignore"):  # whether a prediction is finite is checked where it is made
        for i, column in enumerate(columns):
            turned[i] = column
    return np.ascontiguousarray(turned.T)


@dataclass(frozen=True)
class Preparation:
    """A fitted preparation; ``columns`` in the order of their groups. `to_json` and `from_json` are each other's inverse."""

    columns: tuple[Encoding, ...]
    target: Target
    bins: tuple[tuple[float, ...], ...] = ()
    date_format: str | None = None
    strip: bool = False
    null_values: tuple[str, ...] = CsvOptions().null_values
    null_is_value: bool = True
    """Whether the training's files have null as a value, as Parquet does and CSV does not. Then a category may be called NA or None, and
    these words are null only where they are none. Otherwise text is read as in training, by ``strip`` and ``null_values``."""
    written: Mapping[str, Written] = field(default_factory=dict)
    """How columns are written that are not written plainly."""
    past: Past | None = None
    """What is read of earlier rows, where the rows are time series."""

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The columns that rows to predict must have, and their kinds; without groups of series that the model does not see."""
        kinds = {one.column: one.kind_name() for one in self.columns}
        if self.past is None:
            return kinds
        return {**self.past.kinds, **{name: kind for name, kind in kinds.items() if name not in self.past.names}}

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that rows to predict must have, or those that one of them is made of."""
        return (*self.kinds, *(self.past.carried if self.past is not None else ()))

    @property
    def composition(self) -> Composition:
        """What is made of several columns."""
        return Composition.of(self.written, self.null_values)

    @property
    def seen(self) -> tuple[str, ...]:
        """The columns that the model sees, those of the past too, in the order of their encodings."""
        return tuple(one.column for one in self.columns)

    @property
    def stored(self) -> list[str]:
        """The columns by which rows of a store can be predicted: their past is beside them."""
        return [*self.needed, *(self.past.names if self.past is not None else ())]

    @property
    def observed(self) -> dict[str, Kind]:
        """The columns that rows may have besides: what they know of it is in the past of other rows."""
        return {} if self.past is None else dict.fromkeys(self.past.observed, "numeric")

    @cached_property
    def lenient(self) -> frozenset[str]:
        """Columns that need not be looked at for NaN and for spellings before `apply`: see ``canonical``."""
        return frozenset(one.column for one in self.columns if one.lenient)

    @cached_property
    def by_array(self) -> dict[str, list[tuple[Encoding, Prepared]]]:
        """The columns of each of the two arrays, with the encoding that makes them."""
        return {
            name: [(one, output) for one in self.columns if one.array == name for output in one.outputs()]
            for name in ("numeric", "categorical")
        }

    @cached_property
    def by_ragged(self) -> dict[str, Encoding]:
        """The encodings that give tokens, by the names of their arrays; a column's own name may be that of another array."""
        return {f"tokens_{i}": one for i, one in enumerate(one for one in self.columns if one.vocabulary is not None)}

    @property
    def documents(self) -> DocumentTokens:
        """How documents become tokens, of a preparation of these."""
        (documents,) = self.columns
        assert isinstance(documents, DocumentTokens)
        return documents

    def inputs(self) -> Inputs:
        """The shape of what `apply` gives."""
        return Inputs(
            numeric=len(self.by_array["numeric"]),
            categorical=tuple(output.codes or 0 for _, output in self.by_array["categorical"]),
            bins=self.bins,
            outputs=self.target.outputs,
            tokens=tuple(one.vocabulary or 0 for one in self.by_ragged.values()),
        )

    def apply(self, batch: pa.RecordBatch, strict: bool = False) -> dict[str, np.ndarray]:
        """Canonical columns, where texts may be codes, to ``numeric`` (B, F) float32 and ``categorical`` (B, C) int32.

        Infinities count as missing; where it is ``strict``, they raise BadValues.
        """
        missing = self.null_values if self.null_is_value else ()

        def side_by_side(name: str, kind: type[np.generic]) -> np.ndarray:
            encoded = (
                one.apply(column if one.takes_codes else written_out(column), missing, strict)
                for one in self.columns
                if one.array == name
                for column in (batch.column(one.column),)
            )
            return _side_by_side(chain.from_iterable(encoded), len(self.by_array[name]), batch.num_rows, kind)

        return {"numeric": side_by_side("numeric", np.float32), "categorical": side_by_side("categorical", np.int32)}

    def ragged(self, batch: pa.RecordBatch) -> dict[str, Ragged]:
        """Canonical columns to the tokens of each row."""
        missing = self.null_values if self.null_is_value else ()
        columns = {name: written_out(batch.column(one.column)) for name, one in self.by_ragged.items()}
        return {name: one.ragged(columns[name], missing) for name, one in self.by_ragged.items()}

    def lacking(self, kinds: Mapping[str, Kind], takes: Collection[str]) -> list[str]:
        """Of the columns that could become what a model ``takes``, those without an encoding: training could learn nothing from them."""
        return [name for name, kind in kinds.items() if name not in self.kinds and gives(kind, takes)]

    def to_json(self) -> dict[str, object]:
        """As plain values: the encodings by their groups, then the rest."""
        return {
            **{group: [one.to_json() for one in self.columns if one.group == group] for group in groups()},
            "target": self.target.to_json(),
            "bins": self.bins,
            "date_format": self.date_format,
            "strip": self.strip,
            "null_values": self.null_values,
            "typed": self.null_is_value,
            **(
                {"written": {k: one.model_dump(mode="json") for k, one in self.written.items()}} if self.written else {}
            ),
            **({} if self.past is None else {"past": self.past.to_json()}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preparation:
        """What to_json gave."""
        null_values, null_is_value = _nulls(values)
        return cls(
            columns=tuple(read_encoding(group, one) for group in groups() for one in values.get(group, ())),
            target=Target.from_json(values["target"]),
            bins=tuple(tuple(edges) for edges in values["bins"]),
            date_format=values.get("date_format"),
            strip=values.get("strip", False),
            written={name: Written.model_validate(one) for name, one in values.get("written", {}).items()},
            null_values=null_values,
            null_is_value=null_is_value,
            past=Past.from_json(values["past"]) if "past" in values else None,
        )


def _nulls(values: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """``null_values`` and ``null_is_value``. Versions made before `typed` was kept had words for null where their files were CSV."""
    words = tuple(values.get("null_values", ()))
    if "typed" in values:
        return words, values["typed"]
    return words or CsvOptions().null_values, not words
