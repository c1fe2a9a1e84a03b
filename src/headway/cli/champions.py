"""The commands that use a project's champion or change it: watch, sample, score, explain, serve, rollback."""

from __future__ import annotations

import argparse
import contextlib
import signal
from functools import partial

from headway.cli.answers import answer
from headway.config import find_root
from headway.machine.processes import hangup, interrupt_on
from headway.pipeline.terminal import terminal_of


def watch(options: argparse.Namespace) -> int:
    """Compare the newest rows with the champion's training."""
    from headway.pipeline import watching
    from headway.watch.result import left_out, table

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())
    run = watching.open_watch(options.project, root, options.data)
    if isinstance(run, watching.NothingNew):
        terminal.line(run.text)
        answer(options, {"project": options.project, "run_directory": None, **run.to_json()})
        return 0
    with terminal.stage("watch"):
        result = watching.watch(run, root, terminal)
    terminal.table(table(result), "nothing was compared")
    for line in left_out(result):
        terminal.line(line)
    terminal.line(f"report: {run.path / 'watch.md'}")
    answer(options, {"project": options.project, "run_directory": str(run.path), **result.to_json()})
    return 0


def sample(options: argparse.Namespace) -> int:
    """Continue a prompt."""
    from headway.cli.overview import sample

    shape = {"tokens": options.tokens, "temperature": options.temperature, "seed": options.seed}
    text = sample(options.project, find_root(), options.prompt, **shape)
    print(options.prompt + text)
    answer(options, {"project": options.project, "prompt": options.prompt, "text": text})
    return 0


def score(options: argparse.Namespace) -> int:
    """Predict rows, to Parquet."""
    from pathlib import Path

    from headway.pipeline.scoring import place_of, score

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())
    data = None if options.data is None else place_of(options.data, root)
    out = None if options.out is None else Path(options.out).expanduser().absolute()
    with terminal.stage("score"):
        manifest = score(options.project, root, terminal, data, out, options.version)
    answer(options, {"project": options.project, **manifest.to_json()})
    return 0


def explain(options: argparse.Namespace) -> int:
    """Say what each column contributes to single predictions."""
    from pathlib import Path

    from headway.pipeline.explaining import explain
    from headway.pipeline.reasons import sentence, texts_of
    from headway.pipeline.scoring import place_of

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())
    out = None if options.out is None else Path(options.out).expanduser().absolute()
    rows = place_of(options.rows, root)
    with terminal.stage("explain"):
        result = explain(options.project, root, terminal, rows, out, options.version, options.top)
    if out is None:
        terminal.table(texts_of(result), "no row has reasons")
        for text in result.refusals:
            terminal.warn(text)
        terminal.line(sentence(result))
        if not result.is_whole:
            terminal.line(f"the first {len(result.rows)} rows; all of them, to Parquet: --out FOLDER")
    answer(options, {"project": options.project, **result.to_json()})
    return 0


def serve(options: argparse.Namespace) -> int:
    """Answer requests until interrupted."""
    from headway.pipeline.serving import serve

    interrupt_on(signal.SIGINT, signal.SIGTERM)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the normal end
        say, ready = partial(print, flush=True), partial(answer, options)
        serve(options.project, find_root(), options.port, options.version, say, ready)
    return 0


def rollback(options: argparse.Namespace) -> int:
    """Make another version the champion."""
    from headway import tracking
    from headway.project import load_project

    root = find_root()
    name = load_project(options.project, root).name
    result = tracking.rollback(root, name, options.to, options.reason)
    terminal_of(options).line(f"{name}: {result.sentence()}")
    answer(options, {"project": name, **result.to_json()})
    return 0
