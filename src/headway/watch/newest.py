"""The request to the process that measures the newest rows (measure.py), and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headway.columns import Kind
from headway.columns.summary import Summary
from headway.data.config import DataConfig
from headway.data.profile import Profile, read_summary
from headway.files.records import Record
from headway.watch.clusters import Sizes, Together


@dataclass(frozen=True)
class Request(Record):
    """Asks for the ``files`` of a project's data, or of ``source``, as a bundle reads and predicts them. ``root``: the project's folder.

    ``together``: which rows of its training belong together; None where that is not known.
    """

    data: DataConfig
    root: str
    source: str | None
    kinds: Mapping[str, Kind]
    bundle: str
    files: tuple[str, ...]
    together: Together | None


@dataclass(frozen=True)
class Newest:
    """The profiles of the rows' columns and of their predictions, and the rows' units; None where each row is one."""

    profile: Profile
    prediction: Summary
    sizes: Sizes | None

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        sizes = None if self.sizes is None else self.sizes.to_json()
        return {**self.profile.to_json(), "prediction": self.prediction.to_json(), "sizes": sizes}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Newest:
        """What to_json gave."""
        sizes = None if values["sizes"] is None else Sizes.from_json(values["sizes"])
        return cls(Profile.from_json(values), read_summary(values["prediction"]), sizes)
