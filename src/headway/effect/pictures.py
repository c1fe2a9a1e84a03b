"""The pictures of a study, as SVG texts: the forest of effects, the stack as a waterfall, quality against time."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headway.effect.results import Effect, Row, StudyResult
from headway.effect.words import UNKNOWN, is_known, ratio, shown_effect
from headway.evaluate.style import BLUE, GREEN, GREY, GRID, INK, ORANGE, PURPLE, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "helps": GREEN,
    "hurts": ORANGE,
    "no measurable effect": GREY,
    "changes quality": PURPLE,
    "not settled": "#b8c0c9",
}
WIDTH = 8.6


def forest(rows: Sequence[Row]) -> str | None:
    """Ratios of times with their intervals, the most helpful on top; None where nothing was measured."""
    effects = [(row, shown_effect(row)) for row in rows]
    bars = [(row, effect) for row, effect in effects if effect is not None and ratio(effect) != UNKNOWN]
    if not bars:
        return None
    bars.sort(key=lambda pair: -pair[1].value)
    figure, axes = _figure(0.9 + 0.3 * len(bars))
    limits = axis_limits([effect for _, effect in bars])
    for y, (row, effect) in enumerate(bars):
        colour = COLOURS.get(row.verdict, GREY)
        low, high = drawn_ends(effect, limits)
        axes.plot([low, high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
        if (effect.low or 0.0) < limits[0]:
            axes.plot([low], [y], "<", color=colour, markersize=6, clip_on=False)
        if effect.high is None or effect.high > limits[1]:
            axes.plot([high], [y], ">", color=colour, markersize=6, clip_on=False)
        if is_known(effect) and limits[0] <= effect.value <= limits[1]:
            axes.plot([effect.value], [y], "o", color=colour, markersize=5)
        text = f"{ratio(effect)}  {row.verdict}"
        axes.annotate(text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(8, 0), **_WORDS, color=INK)
    axes.set_yticks(range(len(bars)), [row.name for row, _ in bars])
    axes.axvline(1.0, color=INK, linewidth=1)
    axes.set_xscale("log")
    _ratio_ticks(axes, *limits)
    axes.set_xlabel("time with the technique over time without, 95 % interval; an arrow: the interval continues")
    return _svg(figure)


Limits = tuple[float, float]

FURTHEST = 3.0
"""The axis of effects ends at this ratio and at its inverse, whatever the effects are: the other ones must stay readable."""

CLAMP = (0.1, 10.0)
"""The part of an interval of qualities against times that is drawn."""


def axis_limits(effects: Sequence[Effect]) -> Limits:
    """The ends of the axis: by the effects themselves, not by their intervals, of which a wide one would squeeze all others."""
    inside = [min(max(_anchor(effect), 1 / FURTHEST), FURTHEST) for effect in effects]
    return min(0.9, min(inside) / 1.15), max(1.1, max(inside) * 1.15)


def _anchor(effect: Effect) -> float:
    """What the axis must hold of an effect: its value, or its bound where only one is known."""
    if is_known(effect):
        return effect.value
    bounds = [bound for bound in (effect.low, effect.high) if bound]
    return bounds[0] if len(bounds) == 1 else 1.0


def drawn_ends(effect: Effect, limits: Limits) -> Limits:
    """The ends of an interval as they are drawn between ``limits``."""
    low, high = effect.low or 0.0, math.inf if effect.high is None else effect.high
    return min(max(low, limits[0]), limits[1]), max(min(high, limits[1]), limits[0])


_WORDS: Mapping[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8.5, "annotation_clip": False}


def _ratio_ticks(axes: Axes, low: float, high: float) -> None:
    ticks = [t for t in (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10) if low <= t <= high]
    if high / low > 6:
        ticks = [t for t in ticks if t in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
    axes.set_xlim(low * 0.95, high * 1.05)
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()


def waterfall(result: StudyResult) -> str | None:
    """From the baseline's time to the stack's: each technique's own effect, then their interaction."""
    names, together = result.stack.names, result.stack.time
    alone = {row.name: row.time for row in result.techniques if row.time is not None and is_known(row.time)}
    if together is None or not is_known(together) or len(names) < 2 or not all(name in alone for name in names):
        return None
    bars, level = [("baseline", 0.0, 1.0, GREY, "")], 1.0
    for name in names:
        after = level * alone[name].value
        bars.append((name, after, level, GREEN if after < level else ORANGE, _lines(alone[name])))
        level = after
    end = together.value
    bars.append(("interaction", min(level, end), max(level, end), GREEN if end < level else ORANGE, ""))
    bars.append(("together", 0.0, end, BLUE, _lines(together)))
    figure, axes = _figure(3.6)
    for x, (_, low, high, colour, text) in enumerate(bars):
        axes.bar(x, high - low, bottom=low, color=colour, width=0.62)
        axes.annotate(text, (x, high), xytext=(0, 12), ha="center", **_WORDS, color=INK)
    axes.set_xticks(range(len(bars)), [bar[0].replace(" ", "\n") for bar in bars], fontsize=8.5)
    axes.set_ylabel("time of a step, baseline = 1")
    axes.set_ylim(0, 1.25)
    return _svg(figure)


def _lines(effect: Effect) -> str:
    """A ratio over its interval, for a narrow bar."""
    return ratio(effect).replace(" [", "\n[")


def pareto(result: StudyResult) -> str | None:
    """Quality against time to the target; None where no quality was compared."""
    points = _points(result)
    if len(points) < 2:
        return None
    figure, axes = _figure(4.0)
    _front(axes, points)
    for name, time, quality, sooner, better in points:
        colour = BLUE if name == "recommended" else INK if name == "baseline" else GREY
        if sooner is not None:
            axes.plot(drawn_ends(sooner, CLAMP), [quality, quality], color=colour, linewidth=1)
        if better is not None and better.low is not None and better.high is not None:
            axes.plot([time, time], [better.low, better.high], color=colour, linewidth=1)
        axes.plot([time], [quality], "o", color=colour, markersize=6)
        axes.annotate(name, (time, quality), xytext=(7, 0), **_WORDS, color=INK)
    if result.margin:
        axes.axhspan(-result.margin, result.margin, color=GRID, alpha=0.5, zorder=0)
    axes.set_xscale("log")
    ends = [drawn_ends(sooner, CLAMP) if sooner else (1.0, 1.0) for _, _, _, sooner, _ in points]
    _ratio_ticks(axes, min(0.9, *(low for low, _ in ends)), max(1.1, *(high * 1.2 for _, high in ends)))
    axes.set_xlabel("time to the target quality, baseline = 1")
    axes.set_ylabel("quality, difference from the baseline")
    return _svg(figure)


Point = tuple[str, float, float, Effect | None, Effect | None]
"""Name, time, quality, the interval of each or None."""


def _points(result: StudyResult) -> list[Point]:
    """Everything that has an interval of time and of quality."""
    points: list[Point] = [("baseline", 1.0, 0.0, None, None)]
    own = [(row.name, row.to_target, row.quality) for row in result.techniques]
    for name, time, quality in [*own, ("recommended", result.recommended.to_target, result.recommended.quality)]:
        if time is not None and is_known(time) and (quality or name == "recommended"):
            points.append((name, time.value, quality.value if quality else 0.0, time, quality))
    return points


def _front(axes: Axes, points: Sequence[Point]) -> None:
    """Through the points that nothing beats in both."""
    best, front = -math.inf, []
    for point in sorted(points, key=lambda p: (p[1], -p[2])):
        if point[2] > best:
            best = point[2]
            front.append(point)
    times, qualities = [p[1] for p in front], [p[2] for p in front]
    axes.step(times, qualities, where="post", color=SOFT, linewidth=1, linestyle="--")


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.label.set(color=SOFT, fontsize=9)
    axes.yaxis.label.set(color=SOFT, fontsize=9)
    return figure, axes


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "headway"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
