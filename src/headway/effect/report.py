"""The report of a study: one HTML file that needs nothing else, with the pictures, the table, the method and every sample."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.effect.method import method
from headway.effect.pictures import COLOURS, forest, pareto, shown_effect, waterfall
from headway.effect.results import Row, StudyResult
from headway.effect.words import difference, further, machine, ratio, reached, recommendation
from headway.files.atomic import write_atomically
from headway.files.records import plain
from headway.machine.clock import moment

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2530;max-width:60rem;margin:2.5rem auto;padding:0 1.2rem;background:#fff}
h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .5rem}p{margin:.4rem 0}
.soft{color:#6b7684}table{border-collapse:collapse;font-size:13px;width:100%}
th{text-align:left;color:#6b7684;font-weight:600;border-bottom:1px solid #c9d0d8;padding:.3rem .5rem}
td{border-bottom:1px solid #e3e7ec;padding:.3rem .5rem;vertical-align:top}
td.n{white-space:nowrap;font-variant-numeric:tabular-nums}
td:first-child{min-width:15rem}.wide{overflow-x:auto}
.tag{font-weight:600;white-space:nowrap}
.busy{background:#fff1e6;border-left:4px solid #d55e00;padding:.6rem .8rem;font-weight:600}
svg{max-width:100%;height:auto}details{margin:.6rem 0}pre{overflow:auto;font-size:12px}
"""


def write_report(path: Path, project: str, found: StudyResult, environment: Mapping[str, Any]) -> Path:
    """Write the report of what a study found."""
    parts = [
        f"<h1>What each technique gains: {html.escape(project)}</h1>",
        f'<p class="soft">{html.escape(_machine(environment))}. {moment()}.</p>',
        *_busy(found),
        f"<p>{html.escape(findings(found))}</p>",
        *_picture("Effects", forest(found.techniques), _FOREST),
        *_picture("The stack", waterfall(found), _WATERFALL),
        *_among(found),
        *_picture("Quality against time", pareto(found), _PARETO),
        "<h2>All techniques</h2>",
        _table(found),
        *_open(found),
        "<h2>The recommended recipe</h2>",
        *_confirmations(found),
        f"<pre>{html.escape(json.dumps(dict(found.recommended.fields), indent=1))}</pre>",
        "<h2>Method</h2>",
        method(),
        "<h2>The baseline and the samples</h2>",
        f"<details><summary>Recipe of the baseline</summary><pre>{html.escape(json.dumps(dict(found.baseline), indent=1))}</pre></details>",
        _samples(found),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(project)}: effects</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    write_atomically(path, page)
    return path


_FOREST = "Time with a technique over time without; time to the target quality where the maths differs."
_WATERFALL = "Each technique's own effect on the time of a step, one after the other, and what is left of it when all are together."
_PARETO = "Up is better, left is sooner. The band is the margin within which quality counts as the same."


def _picture(title: str, svg: str | None, text: str) -> list[str]:
    return [] if svg is None else [f"<h2>{title}</h2>", f'<p class="soft">{html.escape(text)}</p>', svg]


def _machine(environment: Mapping[str, Any]) -> str:
    gpus = ", ".join(environment.get("gpus") or ()) or "no GPU"
    torch = (environment.get("packages") or {}).get("torch", "")
    return f"{environment.get('cpu')}, {environment.get('cores')} cores, {gpus}, torch {torch}"


def summary(found: StudyResult) -> str:
    """The study in a few sentences; first whether its figures can be used."""
    return machine(found.contention) + findings(found)


def findings(found: StudyResult) -> str:
    """What was measured and what is recommended."""
    counts: dict[str, int] = {}
    for row in found.techniques:
        counts[row.verdict] = counts.get(row.verdict, 0) + 1
    told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    text = f"{told}. {recommendation(found)}"
    if found.noise is not None:
        text += f"Noise of one block: {found.noise.block:.1%}. "
    if found.seeds:
        own = f" ({found.baseline_seeds} of the baseline)" if found.baseline_seeds != found.seeds else ""
        text += f"Quality: {found.seeds} seeds{own} of {found.epochs} epochs. "
    return text + f"{found.spent / 60:.1f} minutes of measuring."


def _table(found: StudyResult) -> str:
    heads = (
        "technique",
        "verdict",
        "step time",
        "time to target",
        "quality",
        "peak memory",
        "energy",
        "cost",
        "ready after",
        "at best",
    )
    lines = []
    for row in sorted(found.techniques, key=_rank):
        colour = COLOURS.get(row.verdict, "#6b7684")
        text = row.reason or reached(row.reached) or row.sentence
        name = f'<b>{html.escape(row.name)}</b><br><span class="soft">{html.escape(text)}</span>'
        cells = [name, f'<span class="tag" style="color:{colour}">{row.verdict}</span>']
        numbers = [
            ratio(row.time),
            ratio(row.to_target) if row.changes == "maths" else "",
            difference(row.quality),
            ratio(row.peak),
            ratio(row.joules),
            _cost(row),
            "" if row.startup is None else f"{row.startup[1]:.1f} s",
            "" if row.bound is None else f"{row.bound:.2f}",
        ]
        lines.append(
            f"<tr>{''.join(f'<td>{c}</td>' for c in cells)}{''.join(f'<td class=n>{html.escape(n)}</td>' for n in numbers)}</tr>"
        )
    return f"<div class=wide><table><tr>{''.join(f'<th>{h}</th>' for h in heads)}</tr>{''.join(lines)}</table></div>"


def _among(found: StudyResult) -> list[str]:
    """What each technique is worth beside the stack's others, and what those outside would add."""
    rows = [
        f"<tr><td>{how} {html.escape(row.name)}</td><td class=n>{ratio(row.time)}</td><td>{row.verdict}</td></tr>"
        for how, beside in (("without", found.without), ("with", found.with_))
        for row in beside
    ]
    if not rows:
        return []
    head = "<tr><th>the stack</th><th>step time, the stack's = 1</th><th>which</th></tr>"
    return ["<h2>On one another</h2>", f"<div class=wide><table>{head}{''.join(rows)}</table></div>"]


def _cost(row: Row) -> str:
    """The ratio, and what a run costs without and with it where an hour has a price."""
    paid = "" if row.money is None else f" ({row.money[0]:.3g} → {row.money[1]:.3g})"
    return ratio(row.cost) + paid


def _rank(row: Row) -> tuple[int, float]:
    order = ("helps", "changes quality", "no measurable effect", "hurts", "not settled", "unsupported here")
    effect = shown_effect(row)
    return order.index(row.verdict), effect.value if effect else 1.0


def _open(found: StudyResult) -> list[str]:
    if not found.open:
        return []
    lines = []
    for row in found.open:
        lines.append(f"<li><b>{html.escape(row.name)}</b>: {html.escape(row.why)}{further(row.seconds)}</li>")
    return ["<h2>Not settled</h2>", f"<ul>{''.join(lines)}</ul>"]


def _busy(found: StudyResult) -> list[str]:
    """What comes before any figure where the machine was busy."""
    text = machine(found.contention)
    return [f'<p class="busy">{html.escape(text)}</p>'] if text else []


def _confirmations(found: StudyResult) -> list[str]:
    """What was confirmed, or failed to be, on which fresh samples; nothing for a study of an earlier version."""
    rows = []
    for one in found.recommended.confirmations:
        quality = "" if one.quality is None else f"{difference(one.quality)}, {one.quality.says}"
        said = ", ".join(text for text in (one.outcome, one.why, reached(one.reached)) if text)
        cells = [ratio(one.time), ratio(one.to_target), quality, str(one.sessions), str(one.seeds)]
        numbers = "".join(f"<td class=n>{html.escape(cell)}</td>" for cell in cells)
        rows.append(f"<tr><td>{html.escape(', '.join(one.names))}</td>{numbers}<td>{html.escape(said)}</td></tr>")
    if not rows:
        return []
    heads = ("together", "step time", "time to target", "quality", "fresh sessions", "fresh seeds", "confirmed?")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return [f"<div class=wide><table><tr>{head}</tr>{''.join(rows)}</table></div>"]


def _samples(found: StudyResult) -> str:
    raw = {row.name: row.samples for row in found.techniques if row.samples}
    content = json.dumps({"log_ratios": raw, "curves": plain(found.curves)}, separators=(",", ":")).replace(
        "</", "<\\/"
    )
    shown = "\n".join(
        f"{name}: {' | '.join(' '.join(f'{v:+.3f}' for v in pair) for pair in pairs)}" for name, pairs in raw.items()
    )
    return (
        f"<details><summary>Log-ratios of every block, pair by pair</summary><pre>{html.escape(shown)}</pre></details>"
        f'<script type="application/json" id="samples">{content}</script>'
    )
