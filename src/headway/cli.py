"""The command line. Each command imports what it needs when it is asked for, so that help comes at once."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from headway import __version__
from headway.base import HeadwayError, disk_error, find_root

if TYPE_CHECKING:
    from pathlib import Path

    from headway.terminal import Terminal

EXIT_CODES = """exit codes:
  0    done
  2    a setting, a project's YAML or the environment is wrong
  3    the data was refused
  4    training failed
  130  interrupted
"""
INTERRUPTED = 130
Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; an unexpected error keeps its traceback, for it is ours to mend."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    try:
        code = options.do(options)
        sys.stdout.flush()
        return int(code)
    except HeadwayError as error:
        for line in str(error).splitlines():
            print(f"headway: {line}", file=sys.stderr)
        if getattr(options, "json", False):
            told = {"project": getattr(options, "project", None), "error": str(error), "exit_code": error.exit_code}
            print(json.dumps(told), flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        print("headway: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, for example head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        problem = disk_error(error)
        if problem is None:
            raise
        print(f"headway: {problem}", file=sys.stderr)
        return problem.exit_code


def parser() -> argparse.ArgumentParser:
    """All commands with their help."""
    shape = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="headway",
        description="Retrain models on a schedule, and prove what each retraining and each speed-up gained.",
        epilog=EXIT_CODES,
        formatter_class=shape,
    )
    top.add_argument("--version", action="version", version=f"headway {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, do: Command, text: str, more: str = "") -> argparse.ArgumentParser:
        epilog = f"{more}\n\n{EXIT_CODES}" if more else EXIT_CODES
        made = commands.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=shape)
        made.set_defaults(do=do)
        return made

    run = command("run", _run, "Retrain a project: validate, prepare, train, evaluate, register.", _RUN_EXAMPLES)
    _project(run)
    _settings(run)
    text = "put the recommended recipe of the project's effect study over its own"
    run.add_argument("--recipe", action="store_true", help=text)
    check = command("check", _check, "Look at a project's configuration and data, in seconds; train nothing.")
    _project(check)
    _settings(check)
    _init_options(command("init", _init, "Draft a project's YAML from a table of your own.", _INIT_EXAMPLE))
    listing = command("list", _list, "List the projects with their champions and last runs.")
    _json(listing)
    show = command("show", _show, "Show a project's runs, champion and decisions.")
    _project(show)
    _json(show)
    seeds = command("seeds", _seeds, "Train a project with many seeds at once, for error bars.", _SEEDS_EXAMPLE)
    _project(seeds)
    _settings(seeds)
    seeds.add_argument("--count", type=int, default=16, metavar="K", help="seeds (default 16)")
    seeds.add_argument("--rates", type=float, nargs="+", default=[], metavar="R", help="learning rates to compare")
    seeds.add_argument("--decays", type=float, nargs="+", default=[], metavar="D", help="weight decays to compare")
    _effect_options(
        command("effect", _effect, "Measure what each efficiency technique gains, at equal quality.", _EFFECT)
    )
    sample = command("sample", _sample, "Let a project's language model continue a prompt.", _SAMPLE_EXAMPLE)
    _project(sample)
    sample.add_argument("--prompt", default="\n", metavar="TEXT", help="what the text begins with")
    sample.add_argument("--tokens", type=int, default=300, metavar="N", help="tokens to add (default 300)")
    sample.add_argument(
        "--temperature", type=float, default=0.8, metavar="T", help="0 takes the likeliest (default 0.8)"
    )
    sample.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the draw (default 0)")
    sync = command(
        "sync",
        _sync,
        "Deliver a run's folder to MLflow: after it was out of reach, or from another machine.",
    )
    sync.add_argument("run", metavar="RUN", help="the run's folder, or its name in data/runs/")
    up = command("up", _up, "Serve the Prefect and MLflow web pages and run what is started there, until Ctrl-C.")
    for name, port in (("prefect", 4200), ("mlflow", 5000)):
        text = f"port of its server (default {port})"
        up.add_argument(f"--{name}-port", type=_port, default=port, metavar="N", help=text)
    return top


_RUN_EXAMPLES = """examples:
  headway run adult
  headway run adult --set model=boosting
  headway run adult --set train.epochs=3 --set model.width=512 --json"""
_INIT_EXAMPLE = """example:
  headway init --data bikes.csv --target count
  headway run bikes"""


_SEEDS_EXAMPLE = """examples:
  headway seeds german-credit --set model=mlp
  headway seeds german-credit --set model=mlp --count 4 --rates 0.0003 0.001 0.003"""
_EFFECT = """A study that was interrupted goes on where it was. conf/NAME.recipe.yaml holds what it recommends.

examples:
  headway effect adult --budget 10m
  headway effect adult --techniques bf16 "fused optimizer" compile-default
  headway run adult --recipe"""
_SAMPLE_EXAMPLE = """example:
  headway sample shakespeare --prompt "ROMEO:\""""


def _project(made: argparse.ArgumentParser) -> None:
    made.add_argument("project", metavar="NAME", help="the project: a file conf/NAME.yaml")


def _settings(made: argparse.ArgumentParser) -> None:
    text = "put a value over the project's own, for this time; may be given again"
    made.add_argument("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="settings", help=text)
    _json(made)


def _json(made: argparse.ArgumentParser) -> None:
    text = "print one JSON object as the last line of standard output; everything else goes to standard error"
    made.add_argument("--json", action="store_true", help=text)


def _init_options(made: argparse.ArgumentParser) -> None:
    text = "a file, a folder or a glob of CSV, Parquet, JSON lines or Arrow"
    made.add_argument("--data", required=True, metavar="FILE_OR_FOLDER", help=text)
    made.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    made.add_argument("--name", metavar="NAME", help="the project's name (default: from the data's name)")


def _effect_options(made: argparse.ArgumentParser) -> None:
    _project(made)
    _settings(made)
    text = "which techniques; all of them if left out"
    made.add_argument("--techniques", nargs="+", default=[], metavar="T", help=text)
    made.add_argument(
        "--budget", default="30m", metavar="TIME", help="time to measure, such as 90s, 30m, 2h (default 30m)"
    )
    made.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings behind each quality (default 5)")
    text = "quality to train to, in the metric's unit (default: the baseline's own, less the margin)"
    made.add_argument("--target", type=float, metavar="Q", help=text)
    made.add_argument("--new", action="store_true", help="begin anew although a study like this was interrupted")


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65_535:
        raise ValueError
    return number


_port.__name__ = "port"  # argparse says: invalid port value


def _terminal(options: argparse.Namespace) -> Terminal:
    from headway.terminal import Terminal

    return Terminal(sys.stderr if getattr(options, "json", False) else sys.stdout)


def _run(options: argparse.Namespace) -> int:
    from headway.local import reach_prefect
    from headway.project import load_project, recipe_settings

    root = find_root()
    if options.recipe:
        options.settings = [*recipe_settings(root, options.project), *options.settings]
    project = load_project(options.project, root, options.settings)
    terminal = _terminal(options)
    terminal.title(project.name, project.description)
    signal.signal(signal.SIGTERM, _terminate)
    ready = reach_prefect(root)
    from flows.reporting import shown_on
    from flows.retrain import outcome

    with terminal.waiting("starting Prefect"):
        _import_meanwhile()
        ready()
    with shown_on(terminal):
        path = outcome(options.project, options.settings)
    return _conclude(options, terminal, path)


def _import_meanwhile() -> None:
    """Load what the first stages need for themselves while the server starts: seconds that would be waited twice."""
    for name in ("mlflow", "great_expectations"):
        importlib.import_module(name)


def _conclude(options: argparse.Namespace, terminal: Terminal, path: Path) -> int:
    """The results of a run that is done."""
    from headway.base import read_json
    from headway.run import RunDirectory
    from headway.stages import summary

    told = summary(RunDirectory(path))
    terminal.results(told, read_json(path / "evaluation.json"), told["project"])
    if options.json:
        print(json.dumps(told))
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _check(options: argparse.Namespace) -> int:
    from headway import stages

    root = find_root()
    terminal = _terminal(options)
    with terminal.stage("check"):
        found = stages.check(options.project, root, options.settings, terminal)
    if options.json:
        print(json.dumps({"project": options.project, **found}, default=str))
    return 0


def _init(options: argparse.Namespace) -> int:
    from headway.data.draft import draft

    root = find_root()
    made = draft(options.data, options.target, options.name, root)
    for decision in made.decisions:
        print(decision)
    shown = made.path.relative_to(root) if made.path.is_relative_to(root) else made.path
    print(f"\nwrote {shown}: read it, change what you know better, then: headway run {made.path.stem}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from headway.overview import projects

    found = projects(find_root())
    _terminal(options).table(found.rows, found.empty)
    for text in found.problems:
        print(f"headway: {text}", file=sys.stderr)
    if options.json:
        print(json.dumps({"projects": found.rows}, default=str))
    return 0


def _show(options: argparse.Namespace) -> int:
    from headway.overview import project

    found = project(options.project, find_root())
    terminal = _terminal(options)
    for line in found.lines:
        terminal.line(line)
    terminal.table(found.rows, found.empty)
    if options.json:
        print(json.dumps({"project": options.project, "champion": found.champion, "runs": found.rows}, default=str))
    return 0


def _seeds(options: argparse.Namespace) -> int:
    from headway import seeds

    terminal = _terminal(options)
    with terminal.stage("seeds"):
        told = seeds.train_many(
            options.project, find_root(), options.settings, options.count, options.rates, options.decays, terminal
        )
    terminal.table(seeds.table(told), "nothing was measured")
    if options.json:
        print(json.dumps(told))
    return 0


def _effect(options: argparse.Namespace) -> int:
    from headway import effects

    root, terminal = find_root(), _terminal(options)
    signal.signal(signal.SIGTERM, _terminate)
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
        print(json.dumps({"project": options.project, "run_directory": str(run.path), **found}))
    return 0


def _sample(options: argparse.Namespace) -> int:
    from headway.overview import sample

    shape = {"tokens": options.tokens, "temperature": options.temperature, "seed": options.seed}
    print(options.prompt + sample(options.project, find_root(), options.prompt, **shape))
    return 0


def _sync(options: argparse.Namespace) -> int:
    from headway.overview import deliver

    print(deliver(options.run, find_root()))
    return 0


def _up(options: argparse.Namespace) -> int:
    from headway.up import up

    for ending in (signal.SIGINT, signal.SIGTERM):  # a script's background job is born deaf to SIGINT
        signal.signal(ending, _terminate)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it is meant to end
        up(find_root(), options.prefect_port, options.mlflow_port, lambda text: print(text, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
