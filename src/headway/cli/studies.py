"""The commands that train many variants of a project: seeds, effect."""

from __future__ import annotations

import argparse
import json
import signal

from headway.config import find_root
from headway.machine.processes import hangup, interrupt_on
from headway.pipeline.terminal import terminal_of


def seeds(options: argparse.Namespace) -> int:
    """Train many seeds at once."""
    from headway.evaluate.result import Evaluation
    from headway.pipeline import seeds

    terminal = terminal_of(options)
    with terminal.stage("seeds"):
        run, result = seeds.train_many(
            options.project, find_root(), options.settings, options.count, options.rates, options.decays, terminal
        )
    terminal.table(seeds.table(result), "nothing was measured")
    for line in Evaluation(undefined=result.undefined).gaps:
        terminal.line(line)
    if options.json:
        print(json.dumps({"project": options.project, "run_directory": str(run.path), **result.to_json()}))
    return 0


def effect(options: argparse.Namespace) -> int:
    """Measure what each technique gains."""
    from headway.pipeline import effects

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())
    study_options = effects.StudyOptions(
        tuple(options.techniques), effects.seconds_of(options.budget), options.seeds, options.target, options.new
    )
    run, goes_on = effects.open_study(options.project, root, options.settings, study_options)
    if goes_on:
        terminal.line(f"resuming the study in {run.path}; --new starts another")
    with terminal.stage("effect"):
        result = effects.measure(run, root, terminal)
    terminal.table(effects.table(result), "nothing was measured")
    for line in effects.lines(result, run, root):
        terminal.line(line)
    if options.json:
        print(json.dumps({"project": options.project, "run_directory": str(run.path), **result.to_json()}))
    return 0
