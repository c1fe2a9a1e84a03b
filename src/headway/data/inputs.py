"""What a model is given: the shape of prepared rows, or of documents."""

from __future__ import annotations

from dataclasses import dataclass

from headway.files.records import Record


@dataclass(frozen=True)
class Inputs(Record):
    """The shape of prepared rows, all that a model needs to know of the data.

    numeric: number of float columns. categorical: number of codes of each integer column, buckets for missing and
    unknown included. bins: edges for piecewise-linear encoding of each numeric column, or empty. outputs: classes, or 1.
    tokens: number of different tokens of each column of tokens, padding included; of documents, whose next token is predicted, that
    of their one column.
    """

    numeric: int = 0
    categorical: tuple[int, ...] = ()
    bins: tuple[tuple[float, ...], ...] = ()
    outputs: int = 1
    tokens: tuple[int, ...] = ()
