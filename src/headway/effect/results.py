"""effect.json: the result of a study, for the report, the recipe and MLflow. `conclusions` makes it from the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from headway.effect.contention import Contention, State
from headway.effect.statistics import Interval
from headway.files.records import Record


@dataclass(frozen=True)
class Effect(Record):
    """A ratio or a difference with its interval; None for a limit or a p-value that does not exist."""

    value: float
    low: float | None
    high: float | None
    p: float | None = None

    @classmethod
    def of(cls, interval: Interval) -> Effect:
        """From the interval; a lower limit of 0 without an upper one says nothing, and is None, too."""
        plain = interval.to_json()
        return cls(interval.value, plain["low"], plain["high"], plain["p"])


@dataclass(frozen=True)
class Gap(Effect):
    """A difference of quality, and its verdict when corrected for the number of techniques: equal, better, worse, open."""

    says: str = ""


@dataclass(frozen=True)
class Reached(Record):
    """How many trainings reached the target quality: of the baseline's, of those with the technique, of how many."""

    baseline: int
    with_: Annotated[int, Field(alias="with")]
    of: int


@dataclass(frozen=True)
class Noise(Record):
    """The spread of one block's log-ratio."""

    block: float


@dataclass(frozen=True)
class Surroundings(Record):
    """Contention during the study: a state, a text, and the figures of `Contention`."""

    state: State
    text: str
    cores: float | None = None
    load: float | None = None
    granted: float | None = None
    others: float | None = None
    stolen: float | None = None
    machine: float | None = None

    @classmethod
    def of(cls, whole: Contention) -> Surroundings:
        """From the figures."""
        return cls(whole.state, str(whole), **whole.to_json())


@dataclass(frozen=True)
class Row(Record):
    """One technique: its verdict and the figures behind it. None where nothing was measured."""

    name: str
    verdict: str
    sentence: str = ""
    reference: str = ""
    changes: str = "nothing"
    measure: str = "step"
    reason: str | None = None
    bound: float | None = None
    edit: Mapping[str, object] = field(default_factory=dict)
    pairs: int = 0
    blocks: int = 0
    time: Effect | None = None
    to_target: Effect | None = None
    quality: Gap | None = None
    reached: Reached | None = None
    startup: tuple[float, float] | None = None
    peak: Effect | None = None
    joules: Effect | None = None
    cost: Effect | None = None
    money: tuple[float, float] | None = None
    samples: tuple[tuple[float, ...], ...] = ()
    losses_apart: float | None = None


@dataclass(frozen=True)
class Beside(Record):
    """The stack's step time with or without one technique, over the stack's."""

    name: str
    time: Effect
    verdict: str


@dataclass(frozen=True)
class Whole(Record):
    """Several techniques at once, and their step time where it was measured."""

    names: tuple[str, ...] = ()
    time: Effect | None = None


@dataclass(frozen=True)
class Confirmed(Whole):
    """The result of a candidate's fresh samples: times and quality. A study of an earlier version has no ``sessions``."""

    outcome: str | None = None
    why: str = ""
    sessions: int | None = None
    seeds: int = 0
    to_target: Effect | None = None
    quality: Gap | None = None
    reached: Reached | None = None


@dataclass(frozen=True)
class Recommended(Confirmed):
    """The recipe that was confirmed, its fields, and every candidate's confirmation. Without one, plain PyTorch: no fields."""

    fields: Mapping[str, object] = field(default_factory=dict)
    confirmations: tuple[Confirmed, ...] = ()


@dataclass(frozen=True)
class Unsettled(Record):
    """A technique that could not be settled: why, and the seconds that would settle it where they are known."""

    name: str
    why: str
    seconds: float | None


@dataclass(frozen=True)
class CurveSummary(Record):
    """The quality after each epoch of one training."""

    passes: tuple[float, ...]
    quality: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class StudyResult(Record):
    """All of a study. ``baseline``: its recipe; ``breakdown``: seconds of a step's parts; ``spent``: seconds of measuring."""

    techniques: tuple[Row, ...]
    baseline: Mapping[str, object] = field(default_factory=dict)
    breakdown: Mapping[str, float] = field(default_factory=dict)
    noise: Noise | None = None
    contention: Surroundings | None = None
    seeds: int = 0
    baseline_seeds: int = 0
    epochs: int = 0
    baseline_quality: tuple[float, ...] = ()
    margin: float | None = None
    margin_limits: tuple[float, float] | None = None
    target: float | None = None
    stack: Whole = Whole()
    without: tuple[Beside, ...] = ()
    with_: Annotated[tuple[Beside, ...], Field(alias="with")] = ()
    recommended: Recommended = Recommended()
    spent: float = 0.0
    open: tuple[Unsettled, ...] = ()
    curves: Mapping[str, tuple[CurveSummary, ...]] = field(default_factory=dict)
    setting: Mapping[str, object] = field(default_factory=dict)
    summary: str = ""
