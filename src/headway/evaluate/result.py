"""evaluation.json: everything that is measured on the test rows, beside the baselines and the champion.

Each field has a default, so that files of earlier code, which lack some, are still read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headway.evaluate.standing import Standing
from headway.files.records import Record


@dataclass(frozen=True)
class Estimate(Record):
    """A metric's value on some rows, and its 95 % interval; None where the rows define none."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def is_point(self) -> bool:
        """Whether every resample has the same value, as where all rows are right: then the interval tells nothing."""
        return self.low is not None and self.low == self.high


Metrics = Mapping[str, Estimate]
Reasons = Mapping[str, str]
"""Each metric without a value, and why."""


@dataclass(frozen=True)
class UnitCount(Record):
    """What was resampled: its name, how many there are, and what a reader must know of it."""

    name: str
    count: int
    note: str = ""


@dataclass(frozen=True)
class BaselineResult(Record):
    """A baseline on the test rows; ``seconds``: how long it took to fit and predict."""

    metrics: Metrics
    seconds: float | None = None


@dataclass(frozen=True)
class ChampionResult(Record):
    """The version that the model is compared with, on the ``rows`` test rows that it has not learnt from; no metrics where these are none.

    ``why``: why the others are left out. ``predictions`` and ``usable`` (N,) bool: files in the run's folder.
    """

    version: str
    metrics: Metrics = field(default_factory=dict)
    rows: int = 0
    left_out: int = 0
    why: str = ""
    predictions: str = ""
    usable: str = ""


@dataclass(frozen=True)
class SliceResult(Record):
    """The model on the rows with one value of a column."""

    rows: int
    units: int | None = None
    metrics: Metrics = field(default_factory=dict)
    undefined: Reasons = field(default_factory=dict)


@dataclass(frozen=True)
class CalibrationBin(Record):
    """Rows of about one predicted probability: the share that came true, with its 95 % interval."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class ClassResult(Record):
    """One of the classes: its test rows, and precision, recall and f1 of the predicted labels."""

    rows: int
    metrics: Metrics = field(default_factory=dict)


@dataclass(frozen=True)
class EventRate(Record):
    """How often the event, the second of two classes, is among the test rows, with the 95 % interval of its share."""

    label: str
    count: int
    rows: int
    share: float
    low: float
    high: float
    leads: bool = False
    """Whether it is so rare that average precision decides."""

    @property
    def text(self) -> str:
        """One line, for any page."""
        shares = [f"{100 * share:.3g}" for share in (self.share, self.low, self.high)]
        line = (
            f"{self.label}: {shares[0]} % [{shares[1]}, {shares[2]}] of the test rows, {self.count:,} of {self.rows:,}"
        )
        return (
            f"{line}; so rare that average precision decides. By chance it would be {self.share:.4f}"
            if self.leads
            else line
        )


@dataclass(frozen=True)
class ThresholdResult(Record):
    """The chosen threshold with its interval, what it is for, and what the predicted classes are worth on the test rows."""

    value: float
    low: float
    high: float
    aim: str
    metrics: Metrics
    text: str


@dataclass(frozen=True)
class CoveredRows(Record):
    """Rows, their mean prediction, the share whose target is in its interval (with a 95 % interval), the mean ``width``."""

    predicted: float
    covered: float
    low: float
    high: float
    rows: int
    width: float


@dataclass(frozen=True)
class IntervalCoverage(Record):
    """How many test rows a regression's intervals of a stated ``level`` hold: of all, and of each quarter of the predictions.

    ``of_rows``: how many test rows there are, of which many are only sampled; 0 in files of earlier code, which looked at all of them.
    """

    level: float
    every: CoveredRows
    quarters: tuple[CoveredRows, ...]
    of_rows: int = 0

    @property
    def text(self) -> str:
        """One line, for any page."""
        shares = ", ".join(f"{100 * rows.covered:.1f}" for rows in self.quarters)
        rows = (
            f"{self.every.rows:,} of {self.of_rows:,} test rows" if self.every.rows < self.of_rows else "the test rows"
        )
        line = f"{100 * self.level:.0f} % intervals hold {100 * self.every.covered:.1f} % of {rows}"
        line += (
            f"; from the smallest to the largest quarter of the predictions {shares} %"
            if len(self.quarters) > 1
            else ""
        )
        if self.every.high < self.level:
            line += "; fewer than stated: the test rows differ from the validation rows"
        return line


@dataclass(frozen=True)
class ReferenceResult(Record):
    """The score that a column of the data holds already; ``text``: how it stands beside the model."""

    column: str
    metrics: Metrics
    text: str


@dataclass(frozen=True)
class ColumnImportance(Record):
    """How much worse the metric is where the values of a column are shuffled, with its 95 % interval."""

    column: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_measurable(self) -> bool:
        """Whether the interval lies above 0; otherwise the column adds nothing measurable."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True)
class Importance(Record):
    """The permutation importance of every column that the model sees, the largest first, on ``rows`` of the test rows.

    ``shuffles``: how often each column was shuffled. ``text``: what drives the model, in one line.
    """

    metric: str
    rows: int
    shuffles: int
    columns: tuple[ColumnImportance, ...]
    text: str


@dataclass(frozen=True)
class Evaluation(Record):
    """The model's ``metrics``, ``primary`` first, which decides. ``undefined``: for `model`, `champion` and each baseline.

    ``in_charge``: the champion's version, None where there is none; ``champion_problem``: why it cannot be compared; ``rival``: what
    people must know of the comparison, None in files of earlier code, which did not name the champion. ``baseline_notes``: what is
    left out or limited, and why.
    """

    task: str = ""
    primary: str = ""
    rows: int = 0
    units: UnitCount | None = None
    classes: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=dict)
    undefined: Mapping[str, Reasons] = field(default_factory=dict)
    baselines: Mapping[str, BaselineResult] = field(default_factory=dict)
    baseline_notes: Mapping[str, str] = field(default_factory=dict)
    champion: ChampionResult | None = None
    slices: Mapping[str, Mapping[str, SliceResult]] = field(default_factory=dict)
    per_class: Mapping[str, ClassResult] = field(default_factory=dict)
    event: EventRate | None = None
    threshold: ThresholdResult | None = None
    calibration: tuple[CalibrationBin, ...] = ()
    coverage: IntervalCoverage | None = None
    reference: ReferenceResult | None = None
    importance: Importance | None = None
    earns_its_keep: Standing | None = None
    latency_ms: float = 0.0
    size_mb: float = 0.0
    in_charge: str | None = None
    champion_problem: str | None = None
    rival: str | None = None

    @property
    def remarks(self) -> list[str]:
        """For any page: how the model stands beside its baselines, what its intervals hold, what drives it, and what was not measured."""
        texts = [
            one.text
            for one in (self.earns_its_keep, self.event, self.threshold, self.coverage, self.importance)
            if one is not None
        ]
        return [*texts, *self.gaps]

    @property
    def gaps(self) -> list[str]:
        """What could not be measured, and why: one line for each reason, for any page."""
        places: dict[tuple[str, str], list[str]] = {}
        for model, reasons in self.undefined.items():
            for name, why in reasons.items():
                places.setdefault((why, "" if model == "model" else f" for {model}"), []).append(name.replace("_", " "))
        shared = {why: names for (why, model), names in places.items() if not model}
        lines = [
            f"undefined{model}: {', '.join(names)} ({why})"
            for (why, model), names in places.items()
            if not model or shared.get(why) != names  # what is undefined for every model is said once
        ]
        notes = [f"baseline {name}: {text}" for name, text in self.baseline_notes.items()]
        return [*notes, *lines, *self._gaps_of_slices()]

    def _gaps_of_slices(self) -> list[str]:
        slices: dict[str, list[str]] = {}
        for column, groups in self.slices.items():
            for name, group in groups.items():
                if self.primary in group.undefined:
                    slices.setdefault(group.undefined[self.primary], []).append(f"{column} = {name}")
        metric = self.primary.replace("_", " ")
        return [f"undefined: {metric} where {', '.join(names)} ({why})" for why, names in slices.items()]
