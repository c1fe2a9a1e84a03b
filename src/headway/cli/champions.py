"""The commands that use a project's champion or change it: watch, sample, score, explain, serve, rollback."""

from __future__ import annotations

import argparse
import contextlib
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

from headway.cli.answers import answer
from headway.cli.in_prefect import in_prefect
from headway.config import find_root
from headway.machine.processes import hangup, interrupt_on
from headway.pipeline.terminal import terminal_of


def watch(options: argparse.Namespace) -> int:
    """Compare the newest rows with the champion's training."""
    from headway.pipeline import watching
    from headway.run.directory import RunDirectory
    from headway.watch.result import WatchResult, left_out, table

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())

    def alone() -> str | dict[str, object]:
        run = watching.open_watch(options.project, root, options.data)
        if isinstance(run, watching.NothingNew):
            terminal.line(run.text)
            return run.to_json()
        with terminal.stage("watch"):
            watching.watch(run, root, terminal)
        return str(run.path)

    outcome = in_prefect("watch", options.project, {"data": options.data}, alone, terminal, root)
    if isinstance(outcome, dict):
        answer(options, {"project": options.project, "run_directory": None, **outcome})
        return 0
    run = RunDirectory(Path(outcome))
    result = WatchResult.read(run.path / "watch.json")
    terminal.table(table(result), "nothing was compared")
    for line in left_out(result):
        terminal.line(line)
    terminal.line(f"report: {run.path / 'watch.md'}")
    answer(options, {"project": options.project, "run_directory": str(run.path), **result.to_json()})
    return 0


def sample(options: argparse.Namespace) -> int:
    """Continue a prompt, printed as it is written."""
    from headway.cli.overview import sample
    from headway.tasks.completion import PARAMETERS

    params = {one.name: getattr(options, one.name) for one in PARAMETERS}
    text = sample(options.project, find_root(), options.prompt, params, partial(print, end="", flush=True))
    print()
    answer(options, {"project": options.project, "prompt": options.prompt, "text": text})
    return 0


def score(options: argparse.Namespace) -> int:
    """Predict rows, to Parquet."""
    from headway.pipeline.scoring import Manifest, place_of, score

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())
    data = None if options.data is None else place_of(options.data, root)
    out = None if options.out is None else Path(options.out).expanduser().absolute()

    def alone() -> str:
        with terminal.stage("score"):
            return score(options.project, root, terminal, data, out, options.version).out

    form = {"data": data, "out": None if out is None else str(out), "version": options.version}
    folder = in_prefect("score", options.project, form, alone, terminal, root)
    manifest = replace(Manifest.read(Path(folder) / "manifest.json"), out=folder)
    answer(options, {"project": options.project, **manifest.to_json()})
    return 0


def explain(options: argparse.Namespace) -> int:
    """Say what each column contributes to single predictions."""
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

    root, terminal = find_root(), terminal_of(options)
    name = load_project(options.project, root).name

    def alone() -> dict[str, object]:
        return tracking.rollback(root, name, options.to, options.reason).to_json()

    form = {"to": options.to, "reason": options.reason}
    result = tracking.Rollback.from_json(in_prefect("rollback", name, form, alone, terminal, root))
    terminal.line(f"{name}: {result.sentence()}")
    answer(options, {"project": name, **result.to_json()})
    return 0
