"""The gate: a candidate replaces the champion unless it may be worse than the stated margin.

This is a test of non-inferiority (Walker and Nowacki 2011, "Understanding Equivalence and Noninferiority Testing"): promoted when the lower
end of the paired 95 % bootstrap interval of (candidate - champion) lies above -margin, and every stated limit holds. A truly worse
candidate, by the margin or more, therefore passes at most 2.5 times in 100. A first model must beat the trivial baseline, its interval
clear of zero, and must not be worse than its best strong baseline, likewise. Differences are positive when the candidate is better,
whichever way the metric runs. Champions are compared on test rows that they have not learnt from. A champion that cannot be compared
stays, unless a person wants it replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headway.evaluate.config import GateConfig
from headway.evaluate.decision import Decision
from headway.evaluate.margin import Margin, margin_of
from headway.evaluate.metrics import METRICS, deciding_units, differences, number_text, primary, title_of
from headway.evaluate.resample import Units
from headway.evaluate.slices import MIN_ROWS, SliceValues, groups
from headway.evaluate.standing import Standing
from headway.tasks import TaskName


@dataclass(frozen=True)
class Comparison:
    """The candidate beside one other model on the same rows.

    ``other`` is what the other is called: version 3, the trivial baseline. ``note`` says which rows were not used. ``deciding``: how
    many of the units the metric goes by, where these are not all.
    """

    metric: str
    title: str
    other: str
    own_value: float
    other_value: float
    difference: float
    low: float
    high: float
    units: Units
    left_out: int = 0
    note: str = ""
    deciding: int | None = None

    @property
    def text(self) -> str:
        """The numbers as one clause."""
        scale = max(self.own_value, self.other_value, key=abs)
        difference, low, high = (number_text(x, scale, True) for x in (self.difference, self.low, self.high))
        values = f"{number_text(self.own_value, scale)} against {self.other}'s {number_text(self.other_value, scale)}"
        return f"{self.title} {values}, difference {difference} [{low}, {high}] on {self.units.description()}"

    def decision(self, promoted: bool, why: str) -> Decision:
        """The decision that this comparison leads to."""
        parts = [f"{'promoted' if promoted else 'not promoted'}: {self.text}", why, self.note, self.units.note]
        reason = "; ".join(part for part in parts if part)
        numbers = (self.difference, self.low, self.high)
        sample = self.units.description()
        return Decision(
            promoted,
            reason,
            self.metric,
            *numbers,
            sample,
            self.left_out,
            value=self.own_value,
            other=self.other,
        )

    def undecidable(self, fewest: int) -> Decision | None:
        """The decision where the rows cannot tell: too few units, or an undefined metric. None where they can."""
        numbers = (None, None, None)
        if self.units.count < fewest:
            why = self._too_few(fewest, self.units.count, "")
        elif self.deciding is not None and 0 < self.deciding < fewest:
            why = self._too_few(fewest, self.deciding, " with the rarer class")
        elif not np.isfinite([self.difference, self.low, self.high]).all():
            why = f"not promoted: {self.title} is not defined on these test rows"
        else:
            return None
        reason = "; ".join(part for part in (why, self.note, self.units.note) if part)
        return Decision(False, reason, self.metric, *numbers, self.units.description(), self.left_out)

    def _too_few(self, fewest: int, count: int, which: str) -> str:
        name = self.units.name
        what = f"is 1 {name}" if count == 1 else f"are {count} {name}s"
        return (
            f"not promoted: nothing is decided on fewer than {fewest} {name}s{which} (gate.min_units), but there {what}"
        )


def against_champion(gate: GateConfig, comparison: Comparison, margin: Margin, broken: list[str]) -> Decision:
    """Promoted unless worse than the margin, and where no stated limit is ``broken``."""
    undecidable = comparison.undecidable(gate.min_units)
    if undecidable is not None:
        return undecidable
    promoted = comparison.low >= -margin.value
    why = why_of(comparison.low, comparison.high, margin, comparison.other)
    if promoted and broken:
        return comparison.decision(False, "; ".join(broken))
    return comparison.decision(promoted, why)


def first(
    gate: GateConfig, comparison: Comparison, standing: Standing | None, model: str, broken: list[str]
) -> Decision:
    """A first model, or one that replaces a champion which cannot be compared, on request: better than the trivial baseline, and by
    default not worse than its best strong one.
    """
    undecidable = comparison.undecidable(gate.min_units)
    if undecidable is not None:
        return undecidable
    if comparison.low <= 0:
        return comparison.decision(False, "a first model must beat the trivial baseline")
    worse = standing if standing and standing.outcome == "worse" else None
    # The baseline named boosting is scikit-learn's: to a model of that name it is no other choice, but what can be reached.
    is_near = worse is not None and worse.baseline == model and worse.high >= -_margin_beside(gate, comparison, worse)
    if is_near:
        worse = None
    if worse and gate.first == "beat_baselines":
        return comparison.decision(False, f"but {worse.advice(model)}")
    if broken:
        return comparison.decision(False, "; ".join(broken))
    why = f"{'judged as a' if comparison.note else 'the'} first model, better than the trivial baseline"
    if worse:
        why += f", though {worse.rival} is better (gate.first: beat_trivial)"
    elif is_near and standing:
        why += f", and within the margin of {standing.rival}"
    return comparison.decision(True, why)


def _margin_beside(gate: GateConfig, comparison: Comparison, standing: Standing) -> float:
    """The margin where the baseline is what a model is compared with."""
    metric = METRICS[comparison.metric]
    sign = 1.0 if metric.higher_is_better else -1.0
    value = comparison.own_value - sign * standing.difference
    return margin_of(gate.margin, value, metric.is_error, standing.baseline).value


def decide(
    gate: GateConfig,
    task: TaskName,
    target: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray | None,
    trivial: np.ndarray | None,
    *,
    model: str,
    standing: Standing | None,
    units: Units,
    usable: np.ndarray | None,
    note: str,
    slice_values: Mapping[str, SliceValues],
    latency_ms: float,
    size_mb: float,
    champion_label: str | None,
    resamples: int,
    seed: int,
) -> Decision:
    """Put the candidate's predictions for the test rows before the gate, beside the champion's for the same rows.

    ``trivial``: the trivial baseline's, where there is no champion. ``usable`` (N,) bool: the rows that the champion has not learnt
    from, None for all; ``note`` says why the others are left out, or, without ``champion``, which one is replaced on request.
    """
    metric = primary(task, candidate.shape[1] if candidate.ndim == 2 else 1, gate.metric)
    broken = limits(gate, latency_ms, size_mb)
    if champion is None:
        assert trivial is not None, "a first model is held against something"
        other = "the trivial baseline"
        comparison = _compare(metric, target, candidate, trivial, units, resamples, seed, other, note=note)
        return first(gate, comparison, standing, model, broken)
    rows = np.ones(len(target), bool) if usable is None else usable
    target, candidate, champion = target[rows], candidate[rows], champion[rows]
    label = "the champion" if champion_label is None else f"version {champion_label}"
    comparison = _compare(
        metric, target, candidate, champion, units.take(rows), resamples, seed, label, int((~rows).sum()), note
    )
    margin = margin_of(gate.margin, comparison.other_value, METRICS[metric].is_error, label)
    if len(target):
        values = {name: column[rows] for name, column in slice_values.items()}
        broken += _slices(gate, metric, target, candidate, champion, values)
    return against_champion(gate, comparison, margin, broken)


def _compare(
    metric: str,
    target: np.ndarray,
    candidate: np.ndarray,
    other: np.ndarray,
    units: Units,
    resamples: int,
    seed: int,
    label: str,
    left_out: int = 0,
    note: str = "",
) -> Comparison:
    if not len(target):
        values, numbers = (np.nan, np.nan), (np.nan, np.nan, np.nan)
    else:
        numbers = differences(metric, target, candidate, other, resamples, seed, units)
        defined = np.isfinite(numbers[0])
        values = tuple(METRICS[metric].value(target, p) if defined else np.nan for p in (candidate, other))
    deciding = deciding_units(metric, target, candidate, units)
    return Comparison(metric, title_of(metric), label, values[0], values[1], *numbers, units, left_out, note, deciding)


def why_of(low: float, high: float, margin: Margin, other: str) -> str:
    """What an interval says about a margin."""
    if low == high == 0:
        return f"no different from {other} on any of these rows"
    if low > 0:
        return "better"
    if low >= -margin.value:
        return f"at most {margin.text} worse (the margin)"
    if high < -margin.value:
        return f"worse than {other} by more than the margin, {margin.text}"
    if high < 0:
        return f"worse than {other}; it is not clear whether by more than the margin, {margin.text}"
    return f"it is not clear whether it is worse than {other} by more than the margin, {margin.text}"


def stays(metric: str, version: str | None, problem: str | None) -> Decision:
    """The decision where the champion cannot be compared: nothing says that the candidate is as good, so it stays."""
    reason = (
        f"not promoted: the champion, version {version}, cannot be compared: {problem}; "
        "with --replace-champion the new model is judged as a first one and takes its place"
    )
    return Decision(False, reason, metric, None, None, None)


def replacing(version: str | None, problem: str | None) -> str:
    """For the decision, that a person wants a version replaced that cannot be compared; empty where there is no champion."""
    return "" if version is None else f"version {version} cannot be compared, and is replaced on request: {problem}"


def limits(gate: GateConfig, latency_ms: float, size_mb: float) -> list[str]:
    """The stated limits that are broken, one line each."""
    broken = []
    if gate.max_latency_ms is not None and latency_ms > gate.max_latency_ms:
        broken.append(f"1,000 rows take {latency_ms:.1f} ms, more than gate.max_latency_ms {gate.max_latency_ms:g}")
    if gate.max_size_mb is not None and size_mb > gate.max_size_mb:
        broken.append(f"its files take {size_mb:.1f} MB, more than gate.max_size_mb {gate.max_size_mb:g}")
    return broken


def _slices(
    gate: GateConfig,
    metric: str,
    target: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray,
    slice_values: Mapping[str, SliceValues],
) -> list[str]:
    """The worst slice, if it lost more than the slice margin."""
    if gate.slice_margin is None:
        return []
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    worst: tuple[float, float, str] | None = None
    for column, values in slice_values.items():
        for name, rows in groups(values).items():
            if rows.sum() < MIN_ROWS:
                continue
            try:
                own, other = (METRICS[metric].value(target[rows], p[rows]) for p in (candidate, champion))
            except ValueError:  # not defined on this slice
                continue
            difference = sign * (own - other)
            if np.isfinite(difference) and (worst is None or difference < worst[0]):
                worst = difference, other, f"{column} = {name}"
    if worst is None:
        return []
    margin = margin_of(gate.slice_margin, worst[1], METRICS[metric].is_error, "the champion")
    if worst[0] >= -margin.value:
        return []
    return [f"{worst[2]} loses {number_text(-worst[0], worst[1])}, more than gate.slice_margin {margin.text}"]
