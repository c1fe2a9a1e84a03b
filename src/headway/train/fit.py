"""What a training hands over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headway.files.atomic import write_array

if TYPE_CHECKING:
    import numpy as np

    from headway.run.directory import RunDirectory
    from headway.run.result import Result


@dataclass(frozen=True)
class Fit:
    """A model that is trained: its result, and its predictions by split, validation and test."""

    result: Result
    predictions: Mapping[str, np.ndarray]

    def finish(self, run: RunDirectory, seconds: float) -> None:
        """Write the predictions, then the result, which makes the run's training done."""
        for split, values in self.predictions.items():
            path = run.predictions(split)
            path.parent.mkdir(exist_ok=True)
            write_array(path, values)
        run.finish(replace(self.result, seconds=round(seconds, 3)))
