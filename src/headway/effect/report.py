"""The report of a study: one self-contained HTML file with the wins, the pictures, the tables, the method and every sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.effect.confirmation import ATTEMPTS, CONFIRM_LOOKS
from headway.effect.equality import MARGIN_DEVIATIONS
from headway.effect.lab import GPU_WINDOW_SECONDS, WINDOW_SECONDS
from headway.effect.looks import LOOKS, SESSION, share_at
from headway.effect.pictures import forest, pareto, waterfall
from headway.effect.report_tables import figure_table, ranked, recipe_table, together_table, verdict_table
from headway.effect.results import StudyResult
from headway.effect.statistics import ALPHA, CALLED, FEWEST_COMPARISONS, LEAST, SAME
from headway.effect.words import further, headline, machine, recommendation, wins
from headway.files.atomic import write_atomically
from headway.files.pages import Picture, render
from headway.files.records import plain
from headway.machine.clock import moment

UNSUPPORTED = "unsupported here"

CAPTIONS = {
    "Effects": "Time with a technique over time without. Left of 1 is faster. Where the arithmetic differs, it is the time to the target "
    "quality.",
    "The stack": "Each technique's own effect on the time of a step, one after the other, and what is left of it when all are together.",
    "Quality against time": "Up is better, left is faster. Within the grey band, quality counts as the same.",
}


def write_report(path: Path, project: str, result: StudyResult, environment: Mapping[str, Any]) -> Path:
    """Write the report of a study."""
    raw = {row.name: row.samples for row in result.techniques if row.samples}
    rows = ranked([row for row in result.techniques if row.verdict != UNSUPPORTED])
    page = render(
        Path(__file__).with_name("report.html"),
        project=project,
        machine=_machine(environment),
        moment=moment(),
        busy=machine(result.contention),
        headline=headline(result),
        recommendation=recommendation(result),
        size=size_of(result),
        wins=wins(rows),
        techniques=verdict_table(rows),
        figures=figure_table(rows),
        unsupported=[row for row in result.techniques if row.verdict == UNSUPPORTED],
        open=result.open,
        pictures=pictures(result),
        together=together_table(result),
        confirmations=recipe_table(result.recommended.confirmations),
        recipe=_indented(result.recommended.fields) if result.recommended.fields else "",
        baseline=_indented(result.baseline),
        log_ratios="\n".join(f"{name}: {' | '.join(map(_pair, pairs))}" for name, pairs in raw.items()),
        samples={"log_ratios": raw, "curves": plain(result.curves)},
        further=further,
        **_constants(),
    )
    write_atomically(path, page)
    return path


def pictures(result: StudyResult) -> list[tuple[str, Picture]]:
    """Each with its heading; those that nothing was measured for are left out."""
    drawings = {
        "Effects": forest(result.techniques),
        "The stack": waterfall(result),
        "Quality against time": pareto(result),
    }
    return [(title, Picture(title, CAPTIONS[title], svg=svg, is_wide=True)) for title, svg in drawings.items() if svg]


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


def _indented(fields: Mapping[str, object]) -> str:
    return json.dumps(dict(fields), indent=1)


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
    return f"{verdicts}. {recommendation(result)}{size_of(result)}"


def size_of(result: StudyResult) -> str:
    """How much was measured, and how noisy the machine was."""
    text = ""
    if result.noise is not None:
        text += f"Noise of one block: {result.noise.block:.1%}. "
    if result.seeds:
        own = f" ({result.baseline_seeds} of the baseline)" if result.baseline_seeds != result.seeds else ""
        text += f"Quality: {result.seeds} seeds{own} of {result.epochs} epochs. "
    return text + f"{result.spent / 60:.1f} minutes of measuring."
