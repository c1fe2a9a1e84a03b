"""What a model is given: the shape of prepared rows, or of tokens."""

from __future__ import annotations

from dataclasses import dataclass

from headway.files.records import Record


@dataclass(frozen=True)
class Inputs(Record):
    """The shape of prepared rows, all that a model needs to know of the data.

    numeric: number of float columns. categorical: number of codes of each integer column, buckets for missing and
    unknown included. bins: edges for piecewise-linear encoding of each numeric column, or empty. outputs: classes, or 1.
    tokens: number of different tokens of each column of tokens, padding included.
    """

    numeric: int
    categorical: tuple[int, ...]
    bins: tuple[tuple[float, ...], ...]
    outputs: int
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class TokenInputs(Record):
    """What a language model needs to know of the data: how many different tokens there are."""

    vocabulary: int
