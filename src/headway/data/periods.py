"""The units of a test by time: days, or, of plain numbers, blocks of consecutive ones.

Rows of one day are not independent, so a test of twelve days has twelve independent units, whatever its rows. Few units give a wide
interval. That is right: with hours or rows as units, a model that is worse by the margin passes 30 to 40 times in 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headway.data.moments import Moments

BLOCKS = 20
"""Into how many blocks plain numbers are cut. At what distance they are independent is not known, so blocks should be long; Student's
factor of 20 blocks is hardly above that of many (2.09 against 1.96)."""


def periods_of(moments: Moments) -> tuple[str, np.ndarray, str]:
    """The name of the unit, the unit of each row, (N,), and what a reader must know."""
    values = moments.values
    if values.dtype.kind == "M":
        return "day", values.astype("datetime64[D]"), moments.note
    different, codes = np.unique(values, return_inverse=True)
    if len(different) <= BLOCKS:
        return "moment", codes, moments.note
    note = f"{moments.name} holds numbers, not dates, so blocks of consecutive ones are resampled"
    return "block", blocks_of(values, len(values)), note


def ends_of_parts(values: np.ndarray, parts: np.ndarray, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The first and the last moment of each part: days, or minutes where not all moments are midnight.

    ``values`` (N,): the rows' moments; ``parts`` (N,): each row's part, an index into ``names``. None of plain numbers.
    """
    if values.dtype.kind != "M":
        return {}
    days = values.astype("datetime64[D]")
    moments = days if (days == values).all() else values.astype("datetime64[m]")
    own = {name: moments[parts == number] for number, name in enumerate(names)}
    return {name: (_text(some.min()), _text(some.max())) for name, some in own.items() if len(some)}


def _text(moment: np.datetime64) -> str:
    return str(moment).replace("T", " ")


def blocks_of(values: np.ndarray, rows: int) -> np.ndarray:
    """(N,) the block of each row: of consecutive numbers, as long as where ``rows`` rows are cut into BLOCKS."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return ((np.cumsum(counts) - counts) * BLOCKS // rows)[codes]
