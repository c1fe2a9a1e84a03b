"""result.json: how the work of a run ended. Its presence means done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated

from pydantic import Field

from headway.files.records import Record

FIGURES = (
    "precision",
    "device",
    "epochs",
    "best_epoch",
    "rows_per_second",
    "peak_memory_bytes",
    "seconds",
    "parameters",
)
"""The entries of result.json that are shown beside a model's metrics."""


@dataclass(frozen=True)
class Network(Record):
    """One of several models that were trained together: its best epoch, the last one, and the validation loss of the best."""

    best_epoch: int
    epochs: int
    validation_loss: float


@dataclass(frozen=True, kw_only=True)
class Result(Record):
    """result.json. What does not apply has its default, and is left out of the file.

    ``unit``: what is counted, rows or tokens, also by ``rows_per_second``. ``cost``: all that was measured, by metric name. ``fit``: how
    far a fit without epochs went. ``way``: how steps are computed. ``try_``: the setting that is worth trying next. ``networks``: of a run
    of several. ``drifted``: of a watch.
    """

    precision: str = ""
    precision_reason: str = ""
    device: str = ""
    epochs: int = 0
    best_epoch: int = 0
    steps: int = 0
    unit: str = "rows"
    rows_per_second: float = 0.0
    peak_memory_bytes: int = 0
    parameters: int = 0
    validation_loss: float = 0.0
    batch_size: int | None = None
    threads: int | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    fit: str = ""
    diagnosis: str = ""
    way: str = ""
    try_: Annotated[str, Field(alias="try")] = ""
    networks: tuple[Network, ...] = ()
    drifted: bool | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, object]:
        """As plain values, without those that are their fields' defaults."""
        applies = {one.name.rstrip("_") for one in fields(self) if getattr(self, one.name) not in (one.default, {})}
        return {name: value for name, value in super().to_json().items() if name in applies}

    @property
    def figures(self) -> dict[str, object]:
        """Those of FIGURES that apply."""
        values = self.to_json()
        return {name: values[name] for name in FIGURES if name in values}
