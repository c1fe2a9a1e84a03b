"""The pictures of a study, as SVG texts: the forest of effects, the stack as a waterfall, quality against time."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headway.evaluate.plots import BLUE, GREEN, GREY, GRID, INK, ORANGE, PURPLE, SOFT

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


def shown_effect(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a technique's verdict rests on: the time to the target where it is known, else the step's."""
    return row["to_target"] or row["time"]


def forest(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Ratios of times with their intervals, the most helpful on top; None where nothing was measured."""
    drawn = [(row, shown_effect(row)) for row in rows]
    known = [(row, effect) for row, effect in drawn if effect is not None and effect["low"] is not None]
    if not known:
        return None
    known.sort(key=lambda pair: -pair[1]["value"])
    figure, axes = _figure(0.9 + 0.3 * len(known))
    for y, (row, effect) in enumerate(known):
        colour = COLOURS.get(row["verdict"], GREY)
        high = min(effect["high"], 50.0)
        axes.plot([effect["low"], high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([effect["value"]], [y], "o", color=colour, markersize=5)
        text = f"{effect['value']:.2f}  {row['verdict']}"
        axes.annotate(text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(8, 0), **_WORDS, color=colour)
    axes.set_yticks(range(len(known)), [row["name"] for row, _ in known])
    axes.axvline(1.0, color=INK, linewidth=1)
    axes.set_xscale("log")
    _ratio_ticks(axes, [e["low"] for _, e in known], [min(e["high"], 50.0) for _, e in known])
    axes.set_xlabel("time with the technique over time without, 95 % interval (left of 1 is faster)")
    return _svg(figure)


_WORDS: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8.5, "annotation_clip": False}


def _ratio_ticks(axes: Axes, lows: Sequence[float], highs: Sequence[float]) -> None:
    low, high = min(0.9, *lows), max(1.1, *highs)
    ticks = [t for t in (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10, 20, 50) if low <= t <= high]
    if high / low > 6:
        ticks = [t for t in ticks if t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)]
    axes.set_xlim(low * 0.95, high * 1.05)
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()


def waterfall(found: Mapping[str, Any]) -> str | None:
    """From the baseline's time to the stack's: each technique's own effect, then what they do to one another."""
    stack = found["stack"]
    if stack["time"] is None or len(stack["names"]) < 2:
        return None
    alone = {row["name"]: row["time"]["value"] for row in found["techniques"] if row["time"]}
    bars, level = [("baseline", 0.0, 1.0, GREY)], 1.0
    for name in stack["names"]:
        after = level * alone[name]
        bars.append((name, after, level, GREEN if after < level else ORANGE))
        level = after
    end = stack["time"]["value"]
    bars.append(("on one another", min(level, end), max(level, end), GREEN if end < level else ORANGE))
    bars.append(("together", 0.0, end, BLUE))
    figure, axes = _figure(3.4)
    for x, (_, low, high, colour) in enumerate(bars):
        axes.bar(x, high - low, bottom=low, color=colour, width=0.62)
        axes.annotate(
            f"{high if low == 0 else high - low:.2f}", (x, high), xytext=(0, 6), ha="center", **_WORDS, color=INK
        )
    axes.set_xticks(range(len(bars)), [bar[0].replace(" ", "\n") for bar in bars], fontsize=8.5)
    axes.set_ylabel("time of a step, baseline = 1")
    axes.set_ylim(0, 1.15)
    return _svg(figure)


def pareto(found: Mapping[str, Any]) -> str | None:
    """Quality against time to the target; None where no quality was compared."""
    points = _points(found)
    if len(points) < 2:
        return None
    figure, axes = _figure(4.0)
    _front(axes, points)
    for name, time, quality, interval in points:
        colour = BLUE if name == "recommended" else INK if name == "baseline" else GREY
        if interval is not None and interval["low"] is not None:
            axes.plot([time, time], [interval["low"], interval["high"]], color=colour, linewidth=1)
        axes.plot([time], [quality], "o", color=colour, markersize=6)
        axes.annotate(name, (time, quality), xytext=(7, 0), **_WORDS, color=colour)
    if found["margin"]:
        axes.axhspan(-found["margin"], found["margin"], color=GRID, alpha=0.5, zorder=0)
    axes.set_xscale("log")
    _ratio_ticks(axes, [p[1] for p in points], [p[1] * 1.3 for p in points])
    axes.set_xlabel("time to the target quality, baseline = 1")
    axes.set_ylabel("quality, difference from the baseline")
    return _svg(figure)


Point = tuple[str, float, float, Any]
"""Name, time, quality, the quality's interval or None."""


def _points(found: Mapping[str, Any]) -> list[Point]:
    points: list[Point] = [("baseline", 1.0, 0.0, None)]
    for row in found["techniques"]:
        if row["quality"] and row["to_target"]:
            points.append((row["name"], row["to_target"]["value"], row["quality"]["value"], row["quality"]))
    told = found["recommended"]
    if told["quality"] and told["to_target"]:
        points.append(("recommended", told["to_target"]["value"], told["quality"]["value"], told["quality"]))
    elif told["time"]:
        points.append(("recommended", told["time"]["value"], 0.0, None))
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
