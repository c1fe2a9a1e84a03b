"""The report of a study: one self-contained HTML file with the pictures, the table, the method and every sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.effect.confirmation import ATTEMPTS, CONFIRM_LOOKS
from headway.effect.equality import MARGIN_DEVIATIONS
from headway.effect.lab import GPU_WINDOW_SECONDS, WINDOW_SECONDS
from headway.effect.looks import LOOKS, SESSION, share_at
from headway.effect.pictures import COLOURS, forest, pareto, shown_effect, waterfall
from headway.effect.results import Row, StudyResult
from headway.effect.statistics import ALPHA, CALLED, FEWEST_COMPARISONS, LEAST, SAME
from headway.effect.words import difference, further, machine, ratio, recommendation, target_counts
from headway.files.atomic import write_atomically
from headway.files.pages import render
from headway.files.records import plain
from headway.machine.clock import moment


def write_report(path: Path, project: str, result: StudyResult, environment: Mapping[str, Any]) -> Path:
    """Write the report of a study."""
    raw = {row.name: row.samples for row in result.techniques if row.samples}
    page = render(
        Path(__file__).with_name("report.html"),
        project=project,
        machine=_machine(environment),
        moment=moment(),
        busy=machine(result.contention),
        findings=findings(result),
        result=result,
        techniques=sorted(result.techniques, key=_rank),
        forest=forest(result.techniques),
        waterfall=waterfall(result),
        pareto=pareto(result),
        log_ratios="\n".join(f"{name}: {' | '.join(map(_pair, pairs))}" for name, pairs in raw.items()),
        samples={"log_ratios": raw, "curves": plain(result.curves)},
        ratio=ratio,
        difference=difference,
        target_counts=target_counts,
        further=further,
        cost=_cost,
        colour=lambda verdict: COLOURS.get(verdict, "#6b7684"),
        indented=lambda fields: json.dumps(dict(fields), indent=1),
        **_constants(),
    )
    write_atomically(path, page)
    return path


def _constants() -> dict[str, object]:
    """The figures of method.html."""
    return {
        "window": f"{1000 * WINDOW_SECONDS:.0f} ms ({1000 * GPU_WINDOW_SECONDS:.0f} ms on a GPU)",
        "session": SESSION,
        "fewest_comparisons": FEWEST_COMPARISONS,
        "alpha": f"{ALPHA:.0%}",
        "looks": ", ".join(f"{look} ({ALPHA / share_at(look):.2%})" for look in LOOKS),
        "called": f"{CALLED:.0%}",
        "least": f"{LEAST:.0%}",
        "same": f"{SAME:.0%}",
        "margin_deviations": f"{MARGIN_DEVIATIONS:g}",
        "attempts": ATTEMPTS,
        "confirm_looks": f"{', '.join(map(str, CONFIRM_LOOKS[:-1]))} and {CONFIRM_LOOKS[-1]}",
        "confirm_alpha": f"{ALPHA / (ATTEMPTS * len(CONFIRM_LOOKS)):.2%}",
    }


def _pair(values: Sequence[float]) -> str:
    return " ".join(f"{value:+.3f}" for value in values)


def _machine(environment: Mapping[str, Any]) -> str:
    gpus = ", ".join(environment.get("gpus") or ()) or "no GPU"
    torch = (environment.get("packages") or {}).get("torch", "")
    return f"{environment.get('cpu')}, {environment.get('cores')} cores, {gpus}, torch {torch}"


def summary(result: StudyResult) -> str:
    """The study in a few sentences; first whether its figures can be used."""
    return machine(result.contention) + findings(result)


def findings(result: StudyResult) -> str:
    """The verdicts, the recommendation and the size of the study."""
    counts: dict[str, int] = {}
    for row in result.techniques:
        counts[row.verdict] = counts.get(row.verdict, 0) + 1
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    text = f"{verdicts}. {recommendation(result)}"
    if result.noise is not None:
        text += f"Noise of one block: {result.noise.block:.1%}. "
    if result.seeds:
        own = f" ({result.baseline_seeds} of the baseline)" if result.baseline_seeds != result.seeds else ""
        text += f"Quality: {result.seeds} seeds{own} of {result.epochs} epochs. "
    return text + f"{result.spent / 60:.1f} minutes of measuring."


def _cost(row: Row) -> str:
    """The ratio, and the price of a run without and with it where an hour has a price."""
    price = "" if row.money is None else f" ({row.money[0]:.3g} → {row.money[1]:.3g})"
    return ratio(row.cost) + price


def _rank(row: Row) -> tuple[int, float]:
    order = ("helps", "changes quality", "no measurable effect", "hurts", "not settled", "unsupported here")
    effect = shown_effect(row)
    return order.index(row.verdict), effect.value if effect else 1.0
