"""The table of goals in docs/benchmarks.md, met and missed, from `bench/results/*.json`.

`python -m bench.goals` writes it, a test compares it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.samples import ROOT
from bench.side_by_side import BUSY, RESULTS
from headway.files.atomic import read_json, write_atomically

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- goals: written by python -m bench.goals -->", "<!-- end of goals -->"
BENCHMARKS = tuple(
    sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if f"make bench NAME={path.stem}`" in path.read_text()
    )
)
"""What `make bench NAME=...` takes: the modules here whose docstring says so."""

HEAD = "| Benchmark | Goal: at most | Measured, 95 % interval | |\n|---|---|---|---|"


def main() -> None:
    """Put the table into the page."""
    write_atomically(PAGE, with_table(PAGE.read_text(encoding="utf-8"), table()))


def table(folder: Path = RESULTS) -> str:
    """A row for each goal; counts that must be 0 share one row a benchmark; one without a result says so."""
    paths = {path.stem: path for path in folder.glob("*.json")}
    rows: list[str] = []
    for name in sorted({*BENCHMARKS, *paths}):
        rows += (
            _rows(read_json(paths[name]))
            if name in paths
            else [f"| {name} | | not measured by these rules yet | **open** |"]
        )
    return "\n".join([HEAD, *rows])


def with_table(page: str, rows: str) -> str:
    """The page with this table between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} must hold the lines {BEGIN} and {END}, but does not")
    return f"{before}{BEGIN}\n{rows}\n{END}{after}"


def _rows(result: Mapping[str, Any]) -> Iterator[str]:
    name = f"[{result['name']}](../bench/results/{result['name']}.json)"
    busy = ", on a busy machine" if (result.get("others") or 0.0) > BUSY else ""
    goals = {label: ratio for label, ratio in result["ratios"].items() if ratio["goal"] is not None}
    zeros = {label: ratio for label, ratio in goals.items() if ratio["goal"] == 0 and ratio["met"]}
    if zeros:
        value = "; ".join(zeros) if len(zeros) < 3 else f"{len(zeros)} counts of what may go wrong"
        yield f"| {name}: {value} | 0 | 0 | met |"
    for label, ratio in goals.items():
        if label not in zeros:
            yield f"| {name}: {label} | {ratio['goal']:.3g} | {_measured(ratio)} | {_verdict(ratio)}{busy} |"


def _measured(ratio: Mapping[str, Any]) -> str:
    if ratio["low"] == ratio["high"]:
        return f"{ratio['ratio']:.3g}"
    return f"{ratio['ratio']:.3g} [{ratio['low']:.3g}, {ratio['high']:.3g}]"


def _verdict(ratio: Mapping[str, Any]) -> str:
    if ratio.get("void"):
        return "**void**: the anchor differs from itself"
    return "met" if ratio["met"] else "**missed**"


if __name__ == "__main__":
    main()
