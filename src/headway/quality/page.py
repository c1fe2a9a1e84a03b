"""The page of a validation: one self-contained HTML file, readable without a network and without scripts."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --good: #1a7f37; --bad: #c4262e; --mild: #8a6100; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; --mild: #d4a72c; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .4rem .6rem;
border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.passed { color: var(--good); } .failed { color: var(--bad); } .warned { color: var(--mild); } td:first-child { white-space: nowrap; }
"""


def page(title: str, results: Sequence[Mapping[str, Any]]) -> str:
    """``results``: mappings with passed, severity, sentence, name, examples. Failures come first."""
    failed = sum(not r["passed"] for r in results)
    head = f"{len(results)} rules, {failed} broken" if failed else f"all {len(results)} rules hold"
    ordered = sorted(results, key=lambda r: (r["passed"], r["severity"] != "stop"))
    rows = "\n".join(_row(result) for result in ordered)
    name = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{name}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{name}</h1><p>{head if results else 'no rules are stated'}</p>\n"
        f"<table><thead><tr><th>Verdict</th><th>Rule and fact</th><th>Expectation</th></tr></thead>\n"
        f"<tbody>{rows}</tbody></table></body></html>\n"
    )


def _row(result: Mapping[str, Any]) -> str:
    word = "passed" if result["passed"] else "failed" if result["severity"] == "stop" else "warned"
    cells = html.escape(result["sentence"]), html.escape(result["name"])
    return f'<tr><td class="{word}">{word}</td><td>{cells[0]}</td><td><code>{cells[1]}</code></td></tr>'
