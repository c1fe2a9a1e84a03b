"""The page of a validation: one self-contained HTML file, readable without a network and without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.files.pages import render


def page(title: str, results: Sequence[Mapping[str, Any]]) -> str:
    """``results``: mappings with passed, severity, sentence, name, examples. Failures come first."""
    failures = sum(not r["passed"] for r in results)
    head = f"{len(results)} rules, {failures} broken" if failures else f"all {len(results)} rules hold"
    rows = sorted(results, key=lambda r: (r["passed"], r["severity"] != "stop"))
    return render(
        Path(__file__).with_name("page.html"),
        title=title,
        head=head if results else "no rules are stated",
        results=[(_word(result), result) for result in rows],
    )


def _word(result: Mapping[str, Any]) -> str:
    return "passed" if result["passed"] else "failed" if result["severity"] == "stop" else "warned"
