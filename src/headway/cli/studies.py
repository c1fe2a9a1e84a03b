"""The commands that train many variants of a project: seeds, effect."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from headway.cli.answers import answer
from headway.cli.in_prefect import in_prefect
from headway.config import find_root
from headway.machine.processes import hangup, interrupt_on
from headway.pipeline.terminal import Terminal, terminal_of

if TYPE_CHECKING:
    from pathlib import Path

    from headway.run.directory import RunDirectory


def seeds(options: argparse.Namespace) -> int:
    """Train many seeds at once."""
    from headway.evaluate.result import Evaluation
    from headway.pipeline import seeds

    root, terminal = find_root(), terminal_of(options)
    with terminal.stage("seeds"):
        run, result = seeds.train_many(
            options.project, root, options.settings, options.count, options.rates, options.decays, terminal
        )
    terminal.table(seeds.table(result), "nothing was measured")
    for line in Evaluation(undefined=result.undefined).gaps:
        terminal.line(line)
    _conclude(options, terminal, run, root, result.to_json())
    return 0


def effect(options: argparse.Namespace) -> int:
    """Measure what each technique gains."""
    from headway.effect.results import StudyResult
    from headway.pipeline import effects
    from headway.run.directory import RunDirectory

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())

    def alone() -> str:
        study_options = effects.StudyOptions(
            tuple(options.techniques), effects.seconds_of(options.budget), options.seeds, options.target, options.new
        )
        run, goes_on = effects.open_study(options.project, root, options.settings, study_options)
        if goes_on:
            terminal.line(f"resuming the study in {run.path}; --new starts another")
        with terminal.stage("effect"):
            effects.measure(run, root, terminal)
        return str(run.path)

    form = {name: getattr(options, name) for name in ("budget", "techniques", "seeds", "target", "settings", "new")}
    run = RunDirectory(Path(in_prefect("effect", options.project, form, alone, terminal, root)))
    result = StudyResult.read(run.path / "effect.json")
    terminal.table(effects.table(result), "nothing was measured")
    for line in effects.lines(result, run, root):
        terminal.line(line)
    _conclude(options, terminal, run, root, result.to_json())
    return 0


def _conclude(
    options: argparse.Namespace, terminal: Terminal, run: RunDirectory, root: Path, values: dict[str, object]
) -> None:
    """Where to look next, and the answer for --json."""
    from headway.server.addresses import addresses_of

    addresses = addresses_of(run.path, root)
    terminal.places(addresses.lines())
    facts = {"project": options.project, "run_directory": str(run.path), **addresses.to_json()}
    answer(options, {**facts, **values})
