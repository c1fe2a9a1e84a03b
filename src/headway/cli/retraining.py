"""The commands `headway run` and `headway resume`: a retraining from its beginning, or from where it was interrupted."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway.cli.answers import answer
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
    """Retrain, or continue the newest run."""
    from headway.pipeline.resuming import newest
    from headway.project import load_project
    from headway.train.recommended import recipe_settings, recipe_warning

    root = find_root()
    if options.recipe:
        options.settings = [*recipe_settings(root, options.project), *options.settings]
    project = load_project(options.project, root, options.settings)
    terminal = terminal_of(options)
    terminal.title(project.name, project.description)
    if options.recipe and (warning := recipe_warning(root, options.project)):
        terminal.warn(warning)
    interrupted_run = newest(project, root)
    if interrupted_run is not None and options.resume:
        return _go_on(options, terminal, root, interrupted_run)
    if not (options.force or options.replace_champion) and _is_up_to_date(project, options, terminal, root):
        return 0
    if interrupted_run is not None and interrupted_run.is_ahead:
        terminal.line(interrupted_run.offer)
    with _prefect(terminal, root, judges=bool(project.validation.expectations)):
        from flows.retrain import outcome

        path = outcome(options.project, options.settings, options.replace_champion)
    return _conclude(options, terminal, path)


def resume(options: argparse.Namespace) -> int:
    """Continue one run."""
    from headway.pipeline.resuming import is_decided, is_told, unfinished

    root = find_root()
    terminal = terminal_of(options)
    interrupted_run = unfinished(options.run, root)
    options.project = interrupted_run.run.plan["project"]["name"]
    terminal.title(options.project, interrupted_run.run.plan["project"].get("description", ""))
    if is_decided(interrupted_run.run) and is_told(interrupted_run.run):
        terminal.line(f"{interrupted_run.run.path.name} is done: there is nothing to resume")
        return _conclude(options, terminal, interrupted_run.run.path)
    return _go_on(options, terminal, root, interrupted_run)


def _go_on(options: argparse.Namespace, terminal: Terminal, root: Path, interrupted_run: Unfinished) -> int:
    terminal.line(f"resuming {interrupted_run.run.path.name}, which ended {interrupted_run.progress}")
    with _prefect(terminal, root):
        from flows.retrain import outcome_of_resumption

        path = outcome_of_resumption(interrupted_run.run.path)
    return _conclude(options, terminal, path)


@contextlib.contextmanager
def _prefect(terminal: Terminal, root: Path, judges: bool = False) -> Iterator[None]:
    """Connect to Prefect, and show the flows of the block on the terminal. ``judges``: whether they judge expectations."""
    from headway.server.local import reach_prefect

    interrupt_on(signal.SIGTERM, *hangup())
    ready = reach_prefect(root)
    from flows.reporting import shown_on

    with terminal.waiting("starting Prefect"):
        _import_meanwhile(judges)
        ready()
    with shown_on(terminal), _server_gone():
        yield


@contextlib.contextmanager
def _server_gone() -> Iterator[None]:
    """One line where Prefect's server ended just before a flow began: Prefect has no error of its own for that."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        raise ConfigError(
            "Prefect's server must answer until the run has ended, but has ended itself; headway run --resume continues the "
            "training"
        ) from None


def _is_up_to_date(project: Project, options: argparse.Namespace, terminal: Terminal, root: Path) -> bool:
    """Whether there is nothing to retrain; then prints a line."""
    from headway.pipeline.incremental import up_to_date
    from headway.server.addresses import addresses_of

    state = up_to_date(project, root)
    if state is None:
        return False
    addresses = addresses_of(state.run.path, root)
    terminal.line(f"{state.text}; --force retrains")
    terminal.places(addresses.lines())
    answer(options, {**state.to_json(), **addresses.to_json()})
    return True


def _import_meanwhile(judges: bool) -> None:
    """Import what the first stages need while the server starts, which saves seconds."""
    for name in ("mlflow", *(("great_expectations",) if judges else ())):
        importlib.import_module(name)


def _conclude(options: argparse.Namespace, terminal: Terminal, path: Path) -> int:
    """Show the results of a run that is done; without the metrics where their file is missing or damaged."""
    from headway import tracking
    from headway.pipeline.runs import summary
    from headway.run.directory import RunDirectory
    from headway.server.addresses import addresses_of

    results = summary(RunDirectory(path))
    if results.evaluation is None:
        terminal.warn(f"the metrics are not shown: {path / 'evaluation.json'} is missing or damaged")
    addresses = addresses_of(path, find_root())
    terminal.results(results, addresses.lines())
    answer(options, {**results.to_json(), **addresses.to_json()})
    tracking.remember_champion(find_root(), options.project)
    return 0
