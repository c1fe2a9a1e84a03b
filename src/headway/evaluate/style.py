"""The style of all pictures: colours that colour-blind eyes tell apart (Okabe and Ito 2008), quiet axes, numbers as people write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, SOFT, GRID = "#1d2530", "#6b7684", "#e3e7ec"
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#8f5fa8", "#8a939e"


def figure_of(title: str, across: str, up: str, width: float = 5.6, height: float = 4.4) -> tuple[Figure, Axes]:
    """One picture. The object interface: pyplot would keep every figure, and may look for a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    style_axes(axes, title, across, up)
    return figure, axes


def style_axes(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
    axes.set_xlabel(across, color=SOFT, fontsize=9)
    axes.set_ylabel(up, color=SOFT, fontsize=9)
    axes.tick_params(colors=SOFT, labelsize=8, length=0)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def number(value: float) -> str:
    """Four digits, or all of a large whole number: 0.9271, 20,642."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def plain_ticks(axis: Axis) -> None:
    """Thousands as people write them, where there are any."""
    low, high = sorted(axis.get_view_interval())
    if 1000 <= max(-low, high) < 1e9 and high - low >= 5:
        axis.set_major_formatter("{x:,.0f}")


def legend(axes: Axes, where: Any = "best") -> None:
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc=where)
