"""The commands `headway run` and `headway resume`: a retraining from its beginning, or from where it was interrupted."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway.config import find_root
from headway.errors import ConfigError
from headway.machine.processes import hangup, interrupt_on
from headway.pipeline.terminal import terminal_of

if TYPE_CHECKING:
    from pathlib import Path

    from headway.pipeline.resuming import Unfinished
    from headway.pipeline.terminal import Terminal
    from headway.project import Project


def run(options: argparse.Namespace) -> int:
    """Retrain, or go on with the newest run."""
    from headway.pipeline.resuming import newest
    from headway.project import load_project, recipe_settings, recipe_warning

    root = find_root()
    if options.recipe:
        options.settings = [*recipe_settings(root, options.project), *options.settings]
    project = load_project(options.project, root, options.settings)
    terminal = terminal_of(options)
    terminal.title(project.name, project.description)
    if options.recipe and (warning := recipe_warning(root, options.project)):
        terminal.warn(warning)
    left = newest(project, root)
    if left is not None and options.resume:
        return _go_on(options, terminal, root, left)
    if not (options.force or options.replace_champion) and _is_up_to_date(project, options, terminal, root):
        return 0
    if left is not None and left.is_ahead:
        terminal.line(left.offer)
    with _prefect(terminal, root):
        from flows.retrain import outcome

        path = outcome(options.project, options.settings, options.replace_champion)
    return _conclude(options, terminal, path)


def resume(options: argparse.Namespace) -> int:
    """Go on with one run."""
    from headway.pipeline.resuming import is_decided, is_told, unfinished

    root = find_root()
    terminal = terminal_of(options)
    left = unfinished(options.run, root)
    options.project = left.run.plan["project"]["name"]
    terminal.title(options.project, left.run.plan["project"].get("description", ""))
    if is_decided(left.run) and is_told(left.run):
        terminal.line(f"{left.run.path.name} is done: nothing is left to go on with")
        return _conclude(options, terminal, left.run.path)
    return _go_on(options, terminal, root, left)


def _go_on(options: argparse.Namespace, terminal: Terminal, root: Path, left: Unfinished) -> int:
    terminal.line(f"going on with {left.run.path.name}, which ended {left.reached}")
    with _prefect(terminal, root):
        from flows.retrain import outcome_of_resumption

        path = outcome_of_resumption(left.run.path)
    return _conclude(options, terminal, path)


@contextlib.contextmanager
def _prefect(terminal: Terminal, root: Path) -> Iterator[None]:
    """Prefect, reached and speaking to the terminal."""
    from headway.server.local import reach_prefect

    interrupt_on(signal.SIGTERM, *hangup())
    ready = reach_prefect(root)
    from flows.reporting import shown_on

    with terminal.waiting("starting Prefect"):
        _import_meanwhile()
        ready()
    with shown_on(terminal), _server_gone():
        yield


@contextlib.contextmanager
def _server_gone() -> Iterator[None]:
    """One line where Prefect's server ended while a flow was about to begin: Prefect has no error of its own for that."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        raise ConfigError(
            "Prefect's server must answer until the run has ended, but is gone; begin again: headway run --resume goes on with what "
            "was trained"
        ) from None


def _is_up_to_date(project: Project, options: argparse.Namespace, terminal: Terminal, root: Path) -> bool:
    """Whether there is nothing to retrain, which is then told."""
    from headway.pipeline.incremental import up_to_date

    found = up_to_date(project, root)
    if found is None:
        return False
    terminal.line(f"{found.text}; --force retrains")
    if options.json:
        print(json.dumps(found.to_json()))
    return True


def _import_meanwhile() -> None:
    """Load what the first stages need for themselves while the server starts: seconds that would be waited twice."""
    for name in ("mlflow", "great_expectations"):
        importlib.import_module(name)


def _conclude(options: argparse.Namespace, terminal: Terminal, path: Path) -> int:
    """The results of a run that is done; without the metrics where the file that holds them is gone or damaged."""
    from headway.pipeline.runs import summary
    from headway.run.directory import RunDirectory

    told = summary(RunDirectory(path))
    if told.evaluation is None:
        terminal.warn(f"the metrics are not shown: {path / 'evaluation.json'} is gone or damaged")
    terminal.results(told)
    if options.json:
        print(json.dumps(told.to_json()))
    return 0
