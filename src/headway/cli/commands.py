"""The command line. Each command imports what it needs when it runs, so that help appears at once."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from headway.cli import champions, demo, operating, reports, retraining, studies
from headway.cli.answers import answer, answer_error
from headway.cli.arguments import Command, WrongUsage, parser
from headway.config import find_root
from headway.errors import ConfigError, HeadwayError
from headway.files.disk import disk_error, full_disk
from headway.machine.cores import spin_briefly
from headway.machine.interruption import ReaderLeft
from headway.pipeline.layout import visible, wrapped
from headway.pipeline.terminal import terminal_of
from headway.run.places import settle

INTERRUPTED = 130
LEAVE_DEAD_RUNS = (operating.status, operating.down, operating.up, operating.doctor)
"""All other commands but restore close dead runs first. `status` and `down` must answer at once, also where MLflow does not; `up` and
`doctor --apply` close them themselves."""
BESIDE_A_RESTORE = (operating.status, operating.down, operating.doctor)
"""The commands that work in a folder whose interrupted restore cannot be finished; all others end with the reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; an unexpected error keeps its traceback, because it is a bug."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        options = parser(COMMANDS).parse_args(arguments)
    except WrongUsage as error:
        words = sys.argv[1:] if arguments is None else arguments
        return _refuse(ConfigError(error.text), argparse.Namespace(json="--json" in words, answers=sys.stdout))
    options.answers = sys.stdout
    # With --json, standard output is for the answer alone, whatever prints.
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    spin_briefly()
    try:
        if options.do is not operating.doctor or options.apply:  # without --apply, the doctor changes nothing
            _settle()
            _after_kills(options)
        code = options.do(options)
        sys.stdout.flush()
        return int(code)
    except HeadwayError as error:
        return _refuse(error, options)
    except (KeyboardInterrupt, BrokenPipeError) as error:
        return _interrupted(options, error)
    except Exception as error:
        problem = disk_error(error, Path.cwd()) or _full(error)
        if problem is None:
            answer_error(options, f"{type(error).__name__}: {error}", HeadwayError.exit_code)
            raise
        return _refuse(problem, options)


def _refuse(error: HeadwayError, options: argparse.Namespace) -> int:
    for line in str(error).splitlines():
        _say(f"headway: {line}")
    answer_error(options, str(error), error.exit_code)
    return error.exit_code


def _say(text: str) -> None:
    """One line on standard error; where that is a terminal, broken between its words."""
    width = os.get_terminal_size(sys.stderr.fileno()).columns or None if sys.stderr.isatty() else None
    print("\n".join(wrapped(visible(text), width)), file=sys.stderr)


def _settle() -> None:
    """In a folder that was moved or copied, correct its paths first; one line for each change."""
    # The command itself reports what cannot be read or written, if it matters to it.
    with contextlib.suppress(HeadwayError, OSError, sqlite3.Error):
        for text in settle(find_root()):
            _say(f"headway: {text}")


def _full(error: Exception) -> HeadwayError | None:
    """The error of a full disk behind a server's error, which does not give the reason."""
    with contextlib.suppress(HeadwayError, OSError):
        return None if isinstance(error, (AssertionError, TypeError, AttributeError)) else full_disk(find_root())
    return None


def _interrupted(options: argparse.Namespace, error: BaseException) -> int:
    """One line for an interrupted command; none where only the reader of a list, for example head, has ended."""
    reader_left = isinstance(error, ReaderLeft | BrokenPipeError)
    if reader_left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), options.answers.fileno())
    if reader_left and (options.do not in WORK or isinstance(error, BrokenPipeError)):
        return 0
    with contextlib.suppress(BrokenPipeError):
        _say(f"headway: interrupted{f': {error}' if reader_left else ''}")
        answer_error(options, "interrupted", INTERRUPTED)
    return INTERRUPTED


def _after_kills(options: argparse.Namespace) -> None:
    """Finish what killed processes of this folder left; one line for each."""
    from headway.cli.aftermath import close_runs, settle_restore

    if options.do is operating.restore:  # which continues its own, and requires an empty project
        return
    try:
        root = find_root()
    except HeadwayError:  # outside a project folder: the command says so, if it needs one
        return
    lines = settle_restore(root, must=options.do not in BESIDE_A_RESTORE)
    for text in [*lines, *(() if options.do in LEAVE_DEAD_RUNS else close_runs(root))]:
        _say(f"headway: {text}")


def _check(options: argparse.Namespace) -> int:
    from headway.pipeline import stages

    root = find_root()
    terminal = terminal_of(options)
    with terminal.stage("check"):
        validation = stages.check(options.project, root, options.settings, terminal)
    answer(options, {"project": options.project, **validation.to_json()})
    return 0


def _init(options: argparse.Namespace) -> int:
    from headway.draft.drafting import draft
    from headway.draft.layout import Choices
    from headway.pipeline.validation import refuse

    root = find_root()
    choices = Choices(options.format, options.encoding, options.delimiter, options.header, tuple(options.settings))
    target = ",".join(options.target)
    result = draft(options.data, target, options.name, root, choices, lambda project: refuse(project, root))
    terminal = terminal_of(options)
    for decision in result.decisions:
        terminal.line(decision)
    path = result.path.relative_to(root) if result.path.is_relative_to(root) else result.path
    terminal.line(f"\nwrote {path}: read it, correct it where you know better, then: headway run {result.path.stem}")
    answer(options, {"project": result.path.stem, "path": str(result.path), "decisions": result.decisions})
    return 0


def _list(options: argparse.Namespace) -> int:
    from headway.cli.overview import projects

    overview = projects(find_root())
    terminal_of(options).table(overview.rows, overview.empty)
    for text in overview.problems:
        _say(f"headway: {text}")
    answer(options, {"projects": overview.rows})
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
    terminal.table(overview.run_rows(most), f"no run yet: headway run {options.project}")
    longest = max(len(overview.versions), len(overview.decisions), len(overview.runs))
    if most is not None and longest > most:
        terminal.line(f"the newest {most} of each; all of them: headway show {options.project} --all")
    answer(options, {"project": options.project, **overview.to_json()})
    return 0


def _sync(options: argparse.Namespace) -> int:
    from headway.cli.overview import deliver

    name, run_id = deliver(options.run, find_root())
    print(f"sent to MLflow as run {run_id}")
    answer(options, {"run": name, "run_id": run_id})
    return 0


WORK: tuple[Command, ...] = (
    retraining.run,
    retraining.resume,
    studies.seeds,
    studies.effect,
    champions.watch,
    champions.score,
    champions.explain,
)
"""The commands that work for a longer time, and end when the reader of their output ends."""

COMMANDS: dict[str, Command] = {
    "run": retraining.run,
    "resume": retraining.resume,
    "check": _check,
    "init": _init,
    "list": _list,
    "show": _show,
    "report": reports.report,
    "seeds": studies.seeds,
    "effect": studies.effect,
    "watch": champions.watch,
    "sample": champions.sample,
    "score": champions.score,
    "explain": champions.explain,
    "serve": champions.serve,
    "rollback": champions.rollback,
    "sync": _sync,
    "demo": demo.demo,
    "up": operating.up,
    "deploy": operating.deploy,
    "status": operating.status,
    "down": operating.down,
    "backup": operating.backup,
    "restore": operating.restore,
    "doctor": operating.doctor,
    "gc": operating.gc,
}
