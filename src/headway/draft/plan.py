"""The decisions of a draft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headway.columns import Kind, column_type
from headway.columns.written import Written
from headway.data.series import SeriesConfig
from headway.tasks import TaskName


@dataclass(frozen=True)
class Series:
    """A step in words, and the likely season in steps; ``groups`` have a series each.

    ``known``: numbers that are known before their moment; ``late``: those that seem not to be.
    """

    moment: str
    groups: tuple[str, ...]
    step: str
    season: int | None
    known: tuple[str, ...] = ()
    late: tuple[str, ...] = ()

    @property
    def config(self) -> SeriesConfig:
        """As the project states it."""
        return SeriesConfig(groups=self.groups, step=self.step, season=self.season, known=self.known)


@dataclass
class Plan:
    """The decisions so far.

    ``questions``: features that may be known only after the target, and the sign of it; ``leaks``: those that would stop a run.
    ``split``: its section as people set it; ``part``: the column that says which rows are the test; ``test_files``: the files that are.
    ``metric_of_loss``: of a number, what decides where no metric is stated.
    ``others``: readable columns that are no features. ``parts``: columns that are part of a moment, each with its name.
    """

    name: str
    source: str
    target: str
    task: TaskName
    positive: str | None = None
    metric: str = ""
    metric_of_loss: str | None = None
    weight: str | None = None
    features: dict[str, Kind] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    ignore: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    csv: dict[str, object] = field(default_factory=dict)
    date_format: str | None = None
    zones: dict[str, str] = field(default_factory=dict)
    series: Series | None = None
    split: Mapping[str, Any] = field(default_factory=dict)
    part: str | None = None
    test_files: str | None = None
    written: dict[str, Written] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    max_overlap: float | None = None
    model: str = ""
    batch_size: int | None = None
    unlabelled: bool = False
    why: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def moments_of(plan: Plan) -> list[str]:
    """The features that are moments, by which the rows could be split."""
    return [name for name, kind in plan.features.items() if column_type(kind).is_time]
