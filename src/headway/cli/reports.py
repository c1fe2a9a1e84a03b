"""The command `headway report`: makes a run's report and opens it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import webbrowser
from pathlib import Path

from headway.cli.answers import answer
from headway.config import find_root


def report(options: argparse.Namespace) -> int:
    """Print the report's path, and open it in a browser where there is a screen; with --json, only print."""
    from headway.pipeline.reports import report_of

    result = report_of(options.project, find_root(), options.run)
    print(result.report, flush=True)
    answer(options, result.to_json())
    if has_screen() and not options.json:
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(Path(result.report).as_uri())
    return 0


def has_screen() -> bool:
    """Whether a browser could be seen: without a screen, a browser of texts would take the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
