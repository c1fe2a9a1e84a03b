"""What a model is given: the shape of prepared rows, or of tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Inputs:
    """The shape of prepared rows, all that a model needs to know of the data.

    numeric: number of float columns. categorical: number of codes of each integer column, buckets for missing and
    unknown included. bins: edges for piecewise-linear encoding of each numeric column, or empty. outputs: classes, or 1.
    """

    numeric: int
    categorical: tuple[int, ...]
    bins: tuple[tuple[float, ...], ...]
    outputs: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Inputs:
        return cls(
            values["numeric"],
            tuple(values["categorical"]),
            tuple(tuple(b) for b in values["bins"]),
            values["outputs"],
        )


@dataclass(frozen=True)
class TokenInputs:
    """What a language model needs to know of the data: how many different tokens there are."""

    vocabulary: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TokenInputs:
        return cls(values["vocabulary"])
