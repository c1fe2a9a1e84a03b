"""The arguments of the command line: every command with its options, help and examples."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from headway import __version__
from headway.cli import examples
from headway.cli.keys import described
from headway.config import suggest
from headway.pipeline.layout import wrapped

EXIT_CODES = """exit codes:
  0    done
  1    an error that Headway does not expect
  2    a setting, a project's YAML or the environment is wrong
  3    the data was refused
  4    training failed
  5    a file that Headway wrote is damaged: headway doctor
  130  interrupted
"""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "start here": ("demo", "init", "run", "up"),
    "use the champion": ("score", "serve", "watch", "rollback", "explain", "sample"),
    "measure what helps": ("effect", "seeds"),
    "look": ("list", "show", "report", "check"),
    "operate": ("status", "down", "backup", "restore", "gc", "doctor", "resume", "sync", "deploy"),
}
"""The commands in the help, the first ones first."""

Command = Callable[[argparse.Namespace], int]


class WrongUsage(SystemExit):
    """The command line cannot be understood; ``text`` is one line that says why."""

    def __init__(self, text: str) -> None:
        super().__init__(2)
        self.text = text


class Parser(argparse.ArgumentParser):
    """Raises WrongUsage where argparse would print its usage, and end."""

    def error(self, message: str) -> NoReturn:
        """One line, with what may have been meant."""
        misspelt = re.match(r"argument COMMAND: invalid choice: '([^']*)'", message)
        if misspelt:
            names = [name for group in GROUPS.values() for name in group]
            near = suggest(misspelt[1], names) if len(misspelt[1]) > 1 else ""
            message = f"COMMAND must be one that headway --help lists, but is {misspelt[1]!r}"
            raise WrongUsage(message + (near if near.startswith("; did") else ""))
        raise WrongUsage(f"{message}; see {self.prog} --help")


class Shape(argparse.RawDescriptionHelpFormatter):
    """Descriptions as they stand; the sentences of options broken between words and commands."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(text, width)


def parser(do: Mapping[str, Command]) -> argparse.ArgumentParser:
    """All commands with their help; ``do``: the function of each, by name."""
    top = Parser(
        prog="headway",
        usage="headway COMMAND [...]",
        description="Retrain models on a schedule, and prove what each retraining and each\nspeed-up gained.",
        formatter_class=Shape,
    )
    top.add_argument("--version", action="version", version=f"headway {__version__}")
    commands = top.add_subparsers(prog="headway", metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    texts: dict[str, str] = {}

    def command(name: str, what: Command, text: str, more: str = "") -> argparse.ArgumentParser:
        texts[name] = text
        epilog = f"{more}\n\n{described(name)}" if more else described(name)
        subparser = commands.add_parser(name, description=text, epilog=epilog, formatter_class=Shape)
        subparser.set_defaults(do=what, command=name)
        _json(subparser)
        return subparser

    _run(command, do)
    check = command("check", do["check"], "Check a project's configuration and data in seconds; train nothing.")
    _project(check)
    _settings(check)
    _init_options(command("init", do["init"], "Draft a project's YAML from a table of your own.", examples.INIT))
    command("list", do["list"], "List the projects with their champions and newest runs.")
    show = command("show", do["show"], "Show a project's champion, versions, decisions and runs.")
    _project(show)
    show.add_argument(
        "--all", action="store_true", help="show all versions, decisions and runs, not only the newest ten of each"
    )
    report = command(
        "report", do["report"], "Open the report of a run: decision, metrics, data, cost.", examples.REPORT
    )
    _project(report)
    text = "the run's folder, or its name in data/runs/ (default: the newest retraining or effect study)"
    report.add_argument("run", nargs="?", metavar="RUN", help=text)
    _study(command, do)
    _use(command, do)
    sync = command(
        "sync",
        do["sync"],
        "Send a run's folder to MLflow: later, or from another machine.",
    )
    sync.add_argument("run", metavar="RUN", help="the run's folder, or its name in data/runs/")
    demo = command("demo", do["demo"], "See all of it in about five minutes.", examples.DEMO)
    text = "a new folder, or that of an earlier demo, which is replaced (default: headway-demo)"
    demo.add_argument("--folder", default="headway-demo", metavar="FOLDER", help=text)
    up = command("up", do["up"], "Serve Prefect's and MLflow's pages, and run what is started there.")
    for name, port in (("prefect", 4200), ("mlflow", 5000)):  # server.local has them, and imports too much for a help
        text = f"port of its server (default {port})"
        up.add_argument(f"--{name}-port", type=_port, default=port, metavar="N", help=text)
    _operate(command, do, up)
    top.epilog = "\n".join(
        [
            *_groups(texts),
            EXIT_CODES,
            "headway COMMAND --help explains a command. With --json, every command prints JSON.",
        ]
    )
    return top


def _groups(texts: Mapping[str, str]) -> list[str]:
    """The commands with one sentence each, in their groups."""
    lines: list[str] = []
    for title, names in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:8}  {texts[name]}" for name in names if name in texts), ""]
    return lines


def _study(command: Callable[..., argparse.ArgumentParser], do: Mapping[str, Command]) -> None:
    """The commands that train or sample without registering."""
    seeds = command("seeds", do["seeds"], "Train a project with many seeds, for error bars.", examples.SEEDS)
    _project(seeds)
    _settings(seeds)
    seeds.add_argument("--count", type=int, default=16, metavar="K", help="number of seeds (default 16)")
    seeds.add_argument("--rates", type=float, nargs="+", default=[], metavar="R", help="learning rates to compare")
    seeds.add_argument("--decays", type=float, nargs="+", default=[], metavar="D", help="weight decays to compare")
    _effect_options(
        command(
            "effect", do["effect"], "Measure what each efficiency technique gains, at equal quality.", examples.EFFECT
        )
    )
    _sample(command("sample", do["sample"], "Continue a prompt with a project's language model.", examples.SAMPLE))


def _sample(sample: argparse.ArgumentParser) -> None:
    """How a language model goes on with a text."""
    _project(sample)
    sample.add_argument("--prompt", default="\n", metavar="TEXT", help="the beginning of the text")
    sample.add_argument("--tokens", type=int, default=300, metavar="N", help="tokens to add (default 300)")
    sample.add_argument(
        "--temperature",
        type=float,
        default=0.8,
        metavar="T",
        help="0: always the likeliest token; higher: more variety (default 0.8)",
    )
    text = "draw from the K likeliest tokens (default 0: from all)"
    sample.add_argument("--top-k", type=int, default=0, metavar="K", help=text)
    text = "draw from the likeliest tokens that together have this chance (default 1: from all)"
    sample.add_argument("--top-p", type=float, default=1.0, metavar="P", help=text)
    text = "end before this text; may be given more than once"
    sample.add_argument("--stop", action="append", default=[], metavar="TEXT", help=text)
    sample.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the draw (default 0)")


def _run(command: Callable[..., argparse.ArgumentParser], do: Mapping[str, Command]) -> None:
    """The commands that retrain."""
    run = command("run", do["run"], "Retrain a project: validate, prepare, train, evaluate, register.", examples.RUN)
    _project(run)
    _settings(run)
    text = "use the recommended recipe of the project's effect study instead of its own"
    run.add_argument("--recipe", action="store_true", help=text)
    text = "retrain even if nothing has changed since the last version"
    run.add_argument("--force", action="store_true", help=text)
    text = "judge the new model as a first one, if the champion cannot be compared: damaged, or of another target, classes or columns"
    run.add_argument("--replace-champion", action="store_true", help=text)
    text = "continue the project's newest run if it was interrupted; start a new run if there is none"
    run.add_argument("--resume", action="store_true", help=text)
    resume = command("resume", do["resume"], "Continue a run that was interrupted, killed or failed.", examples.RESUME)
    resume.add_argument("run", metavar="RUN", help="the run's folder, or its name in data/runs/")


def _use(command: Callable[..., argparse.ArgumentParser], do: Mapping[str, Command]) -> None:
    """The commands that use a champion: predict with it, watch its rows."""
    _score_options(command("score", do["score"], "Predict rows with the champion, to Parquet.", examples.SCORE))
    _explain_options(
        command(
            "explain",
            do["explain"],
            "Show how much each column contributes to single predictions.",
            examples.EXPLAIN,
        )
    )
    serve = command("serve", do["serve"], "Answer requests for predictions over HTTP, until Ctrl-C.", examples.SERVE)
    _project(serve)
    _version(serve)
    serve.add_argument("--port", type=_port, default=5001, metavar="N", help="port to listen on (default 5001)")
    watch = command("watch", do["watch"], "Compare the newest rows with the champion's training.", examples.WATCH)
    _project(watch)
    text = "which rows: a file, a folder or a glob (default: the files that the champion was not trained on)"
    watch.add_argument("--data", metavar="FILE_OR_FOLDER", help=text)
    back = command(
        "rollback", do["rollback"], "Make the previous champion, or another version, the champion.", examples.ROLLBACK
    )
    _project(back)
    back.add_argument("--to", default="", metavar="VERSION", help="which version (default: the previous champion)")
    back.add_argument("--reason", default="", metavar="TEXT", help="the reason, which is kept in the model's history")


def _operate(command: Callable[..., argparse.ArgumentParser], do: Mapping[str, Command], up: Any) -> None:
    """The commands of an operator, and further options of `up`."""
    text = "address to bind to (default 127.0.0.1, this machine alone); any other needs HEADWAY_AUTH=user:password"
    up.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help=text)
    up.add_argument(
        "--only", choices=("prefect", "mlflow"), help="start only this server, for example in its own container"
    )
    command("deploy", do["deploy"], "Write prefect.yaml: all flows of all projects, for a work pool.", examples.DEPLOY)
    command("status", do["status"], "Show what runs here: servers, databases, newest runs, disk.")
    command("down", do["down"], "Stop the running headway up, and wait until it has ended.")
    backup = command("backup", do["backup"], "Save databases, artifacts and conf/ in one file.", examples.BACKUP)
    text = "a file, or a folder for a file named by the time (default: backups/)"
    backup.add_argument("--to", default="backups/", metavar="FILE_OR_FOLDER", help=text)
    restore = command("restore", do["restore"], "Restore a backup into an empty project.", examples.BACKUP)
    restore.add_argument("file", metavar="FILE", help="a file that headway backup wrote")
    text = "Find what is damaged, half-done or left behind; --apply repairs it."
    doctor = command("doctor", do["doctor"], text, examples.DOCTOR)
    doctor.add_argument("--apply", action="store_true", help="repair it; without this, nothing is changed")
    gc = command("gc", do["gc"], "List what is past its retention limit; --apply removes it.", examples.GC)
    gc.add_argument("projects", nargs="*", metavar="PROJECT", help="the projects (default: all)")
    gc.add_argument("--apply", action="store_true", help="remove it; without this, nothing is changed")


def _project(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="NAME", help="the project: a file conf/NAME.yaml")


def _settings(command: argparse.ArgumentParser) -> None:
    text = "change one setting of the YAML, for this command; can be repeated"
    command.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="settings", help=text
    )


def _json(command: argparse.ArgumentParser) -> None:
    text = "print one JSON object to standard output; all other output goes to standard error"
    command.add_argument("--json", action="store_true", help=text)


def _init_options(command: argparse.ArgumentParser) -> None:
    text = "a file, a folder or a glob of CSV, Parquet, JSON or Arrow"
    command.add_argument("--data", required=True, metavar="FILE_OR_FOLDER", help=text)
    command.add_argument("--target", required=True, action="append", metavar="COLUMN", help="the column to predict")
    command.add_argument("--name", metavar="NAME", help="the project's name (default: from the data's name)")
    text = "the files' format (default: by their content)"
    command.add_argument("--format", choices=("csv", "parquet", "jsonl", "arrow"), help=text)
    text = "the character encoding of CSV, for example cp1252 or utf-16 (default: by its content)"
    command.add_argument("--encoding", metavar="NAME", help=text)
    text = "what stands between the values of CSV: a character, tab, space, spaces, or signs such as :: (default: by its content)"
    command.add_argument("--delimiter", metavar="C", help=text)
    text = "the number of the line that holds the columns' names; or none; or the names themselves: a,b,c"
    command.add_argument("--header", metavar="N", help=text)
    text = "put a setting into the YAML; data.written.COLUMN and data.date_format say how values are written; can be repeated"
    command.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="settings", help=text
    )


def _version(command: argparse.ArgumentParser) -> None:
    text = "a version's number or an alias (default champion)"
    command.add_argument("--version", default="champion", metavar="N", help=text)


def _score_options(command: argparse.ArgumentParser) -> None:
    _project(command)
    text = "rows to predict: a file, folder, glob or URL (default: the project's own data)"
    command.add_argument("--data", metavar="FILE_OR_FOLDER", help=text)
    command.add_argument("--out", metavar="FOLDER", help="the folder for the predictions (default data/scored/NAME)")
    _version(command)


def _explain_options(command: argparse.ArgumentParser) -> None:
    _project(command)
    text = "rows to explain: a file, folder, glob or URL"
    command.add_argument("--rows", required=True, metavar="FILE", help=text)
    command.add_argument("--out", metavar="FOLDER", help="write Parquet there (default: show the first ten rows)")
    command.add_argument("--top", type=int, default=5, metavar="K", help="columns to name for each row (default 5)")
    _version(command)


def _effect_options(command: argparse.ArgumentParser) -> None:
    _project(command)
    _settings(command)
    text = "the techniques to measure (default: all)"
    command.add_argument("--techniques", nargs="+", default=[], metavar="T", help=text)
    command.add_argument(
        "--budget", default="30m", metavar="TIME", help="time to measure, such as 90s, 30m, 2h (default 30m)"
    )
    command.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings for each quality (default 5)")
    text = "quality to train to, in the metric's unit (default: the baseline's minus the margin)"
    command.add_argument("--target", type=float, metavar="Q", help=text)
    command.add_argument(
        "--new",
        action="store_true",
        help="start a new study, even if one like this was interrupted and could be resumed",
    )


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65_535:
        raise ValueError
    return number


_port.__name__ = "port"  # argparse says: invalid port value
