"""The command line. Each command imports what it needs when it is asked for, so that help comes at once."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from headway.cli import operating, retraining
from headway.cli.arguments import Command, parser
from headway.config import find_root
from headway.errors import HeadwayError
from headway.files.disk import disk_error, full_disk
from headway.machine.cores import spin_briefly
from headway.machine.interruption import ReaderLeft
from headway.machine.processes import hangup, interrupt_on
from headway.pipeline.terminal import terminal_of
from headway.run.places import settle

INTERRUPTED = 130
LEAVE_DEAD_RUNS = (operating.status, operating.down, operating.up, operating.doctor)
"""All other commands but restore close dead runs first. `status` and `down` are to answer at once, also where MLflow is away; `up` and
`doctor --apply` close them themselves, in their own time."""
BESIDE_A_RESTORE = (operating.status, operating.down, operating.doctor)
"""What works in a folder whose interrupted restore cannot be finished; all others say why it cannot, and end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; an unexpected error keeps its traceback, for it is ours to mend."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = parser(COMMANDS).parse_args(arguments)
    spin_briefly()
    try:
        if options.do is not operating.doctor or options.apply:  # the doctor looks first, and changes nothing
            _settle()
            _after_kills(options)
        code = options.do(options)
        sys.stdout.flush()
        return int(code)
    except HeadwayError as error:
        return _refused(error, options)
    except (KeyboardInterrupt, BrokenPipeError) as error:
        return _interrupted(options, error)
    except Exception as error:
        problem = disk_error(error, Path.cwd()) or _full(error)
        if problem is None:
            raise
        return _refused(problem, options)


def _refused(error: HeadwayError, options: argparse.Namespace) -> int:
    for line in str(error).splitlines():
        print(f"headway: {line}", file=sys.stderr)
    if getattr(options, "json", False):
        told = {"project": getattr(options, "project", None), "error": str(error), "exit_code": error.exit_code}
        print(json.dumps(told), flush=True)
    return error.exit_code


def _settle() -> None:
    """In a folder that was moved or copied, put its places right first, and say so."""
    # What cannot be read or written, the command itself will meet, if it matters to it.
    with contextlib.suppress(HeadwayError, OSError, sqlite3.Error):
        for text in settle(find_root()):
            print(f"headway: {text}", file=sys.stderr)


def _full(error: Exception) -> HeadwayError | None:
    """A server that cannot write answers with an error that does not say why."""
    with contextlib.suppress(HeadwayError, OSError):
        return None if isinstance(error, (AssertionError, TypeError, AttributeError)) else full_disk(find_root())
    return None


def _interrupted(options: argparse.Namespace, error: BaseException) -> int:
    """One line for what was ended; nothing where only the reader, for example head, has seen enough of a list."""
    left = isinstance(error, ReaderLeft | BrokenPipeError)
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if left and (options.do not in WORK or isinstance(error, BrokenPipeError)):
        return 0
    with contextlib.suppress(BrokenPipeError):
        print(f"headway: interrupted{f': {error}' if left else ''}", file=sys.stderr)
    return INTERRUPTED


def _after_kills(options: argparse.Namespace) -> None:
    """Bring what killed processes of this folder left to its end; one line for each."""
    from headway.cli.aftermath import close_runs, settle_restore

    if options.do is operating.restore:  # which goes on with its own, and asks for an empty project
        return
    try:
        root = find_root()
    except HeadwayError:  # outside a project folder: the command says so, if it needs one
        return
    lines = settle_restore(root, must=options.do not in BESIDE_A_RESTORE)
    for text in [*lines, *(() if options.do in LEAVE_DEAD_RUNS else close_runs(root))]:
        print(f"headway: {text}", file=sys.stderr)


def _check(options: argparse.Namespace) -> int:
    from headway.pipeline import stages

    root = find_root()
    terminal = terminal_of(options)
    with terminal.stage("check"):
        found = stages.check(options.project, root, options.settings, terminal)
    if options.json:
        print(json.dumps({"project": options.project, **found.to_json()}, default=str))
    return 0


def _init(options: argparse.Namespace) -> int:
    from headway.draft.drafting import draft

    root = find_root()
    made = draft(options.data, options.target, options.name, root)
    for decision in made.decisions:
        print(decision)
    shown = made.path.relative_to(root) if made.path.is_relative_to(root) else made.path
    print(f"\nwrote {shown}: read it, change what you know better, then: headway run {made.path.stem}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from headway.cli.overview import projects

    found = projects(find_root())
    terminal_of(options).table(found.rows, found.empty)
    for text in found.problems:
        print(f"headway: {text}", file=sys.stderr)
    if options.json:
        print(json.dumps({"projects": found.rows}, default=str))
    return 0


def _show(options: argparse.Namespace) -> int:
    from headway.cli.overview import SHOWN, project

    overview, most = project(options.project, find_root()), None if options.all else SHOWN
    terminal = terminal_of(options)
    for line in overview.lines:
        terminal.line(line)
    if overview.versions:
        terminal.table(overview.version_rows(most), "")
        terminal.line("Decisions, the newest first")
        terminal.table(overview.decision_rows(most), "no decision yet")
        terminal.line("Runs, the newest first")
    terminal.table([run.to_json() for run in overview.runs[:most]], f"no run yet: headway run {options.project}")
    longest = max(len(overview.versions), len(overview.decisions), len(overview.runs))
    if most is not None and longest > most:
        terminal.line(f"the newest {most} of each; all of them: headway show {options.project} --all")
    if options.json:
        print(json.dumps({"project": options.project, **overview.to_json()}, default=str))
    return 0


def _seeds(options: argparse.Namespace) -> int:
    from headway.evaluate.result import Evaluation
    from headway.pipeline import seeds

    terminal = terminal_of(options)
    with terminal.stage("seeds"):
        run, trained = seeds.train_many(
            options.project, find_root(), options.settings, options.count, options.rates, options.decays, terminal
        )
    terminal.table(seeds.table(trained), "nothing was measured")
    for line in Evaluation(undefined=trained.undefined).gaps:
        terminal.line(line)
    if options.json:
        print(json.dumps({"project": options.project, "run_directory": str(run.path), **trained.to_json()}))
    return 0


def _effect(options: argparse.Namespace) -> int:
    from headway.pipeline import effects

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())
    asked = effects.Asked(
        tuple(options.techniques), effects.seconds_of(options.budget), options.seeds, options.target, options.new
    )
    run, goes_on = effects.open_study(options.project, root, options.settings, asked)
    if goes_on:
        terminal.line(f"going on with the study in {run.path}; --new begins another")
    with terminal.stage("effect"):
        found = effects.measure(run, root, terminal)
    terminal.table(effects.table(found), "nothing was measured")
    for line in effects.lines(found, run, root):
        terminal.line(line)
    if options.json:
        print(json.dumps({"project": options.project, "run_directory": str(run.path), **found.to_json()}))
    return 0


def _watch(options: argparse.Namespace) -> int:
    from headway.pipeline import watching
    from headway.watch.result import table

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())
    run = watching.open_watch(options.project, root, options.data)
    if isinstance(run, watching.NothingNew):
        terminal.line(run.text)
        if options.json:
            print(json.dumps({"project": options.project, "run_directory": None, **run.to_json()}))
        return 0
    with terminal.stage("watch"):
        found = watching.watch(run, root, terminal)
    terminal.table(table(found), "nothing was compared")
    terminal.line(f"report: {run.path / 'watch.md'}")
    if options.json:
        print(json.dumps({"project": options.project, "run_directory": str(run.path), **found.to_json()}, default=str))
    return 0


def _sample(options: argparse.Namespace) -> int:
    from headway.cli.overview import sample

    shape = {"tokens": options.tokens, "temperature": options.temperature, "seed": options.seed}
    print(options.prompt + sample(options.project, find_root(), options.prompt, **shape))
    return 0


def _score(options: argparse.Namespace) -> int:
    from pathlib import Path

    from headway.pipeline.scoring import score, settled

    root, terminal = find_root(), terminal_of(options)
    interrupt_on(signal.SIGTERM, *hangup())
    data = None if options.data is None else settled(options.data, root)
    out = None if options.out is None else Path(options.out).expanduser().absolute()
    with terminal.stage("score"):
        told = score(options.project, root, terminal, data, out, options.version)
    if options.json:
        print(json.dumps({"project": options.project, **told.to_json()}))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from headway.pipeline.serving import serve

    interrupt_on(signal.SIGINT, signal.SIGTERM)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it is meant to end
        serve(options.project, find_root(), options.port, options.version, lambda text: print(text, flush=True))
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from headway import tracking
    from headway.project import load_project

    root = find_root()
    name = load_project(options.project, root).name
    told = tracking.rollback(root, name, options.to, options.reason)
    terminal_of(options).line(f"{name}: {told.sentence()}")
    if options.json:
        print(json.dumps({"project": name, **told.to_json()}))
    return 0


def _sync(options: argparse.Namespace) -> int:
    from headway.cli.overview import deliver

    print(deliver(options.run, find_root()))
    return 0


WORK: tuple[Command, ...] = (retraining.run, retraining.resume, _seeds, _effect, _watch, _score)
"""The commands that do something over time, which ends when nobody reads what they say."""

COMMANDS: dict[str, Command] = {
    "run": retraining.run,
    "resume": retraining.resume,
    "check": _check,
    "init": _init,
    "list": _list,
    "show": _show,
    "seeds": _seeds,
    "effect": _effect,
    "watch": _watch,
    "sample": _sample,
    "score": _score,
    "serve": _serve,
    "rollback": _rollback,
    "sync": _sync,
    "up": operating.up,
    "deploy": operating.deploy,
    "status": operating.status,
    "down": operating.down,
    "backup": operating.backup,
    "restore": operating.restore,
    "doctor": operating.doctor,
    "gc": operating.gc,
}
