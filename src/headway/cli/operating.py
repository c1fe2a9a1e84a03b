"""The commands of an operator: servers, deployments, disk."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from functools import partial

from headway.cli.answers import answer
from headway.config import find_root
from headway.machine.processes import hangup, interrupt_on
from headway.pipeline.terminal import terminal_of


def up(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from headway.pipeline.zombies import close_dead
    from headway.server.up import UpOptions, up

    interrupt_on(signal.SIGINT, signal.SIGTERM, *hangup())
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the normal end
        up_options = UpOptions(options.prefect_port, options.mlflow_port, options.host, options.only)
        up(find_root(), up_options, partial(print, flush=True), close_dead, partial(answer, options))
    return 0


def status(options: argparse.Namespace) -> int:
    """What runs here, and whether it answers."""
    from headway.server.status import lines, status

    state = status(find_root())
    terminal = terminal_of(options)
    for line in lines(state):
        terminal.line(line)
    answer(options, state.to_json())
    return 0


def down(options: argparse.Namespace) -> int:
    """Stop this folder's `headway up`."""
    from headway.server.status import down

    pids = down(find_root())
    texts = [f"headway up (process {pid}) has stopped" for pid in pids] or ["headway up does not run here"]
    terminal = terminal_of(options)
    for text in texts:
        terminal.line(text)
    answer(options, {"stopped": pids})
    return 0


def backup(options: argparse.Namespace) -> int:
    """Databases and artifacts into one file."""
    from headway.server.backup import backup

    result = backup(find_root(), options.to)
    terminal_of(options).line(f"wrote {result.file} ({result.bytes / 1e6:.1f} MB): {result.what}; verified")
    answer(options, result.to_json())
    return 0


def restore(options: argparse.Namespace) -> int:
    """A backup into an empty folder."""
    from headway.server.restore import empty_root, restore

    result = restore(options.file, empty_root())
    terminal_of(options).line(f"restored {result.what} into {result.root}")
    answer(options, result.to_json())
    return 0


def deploy(options: argparse.Namespace) -> int:
    """Write prefect.yaml."""
    from headway.server.local import environment

    root = find_root()
    os.environ.update(environment(root))
    from flows.production import write

    path, count, problems = write(root)
    for text in problems:
        print(f"headway: left out: {text}", file=sys.stderr)
    print(f"wrote {path.relative_to(root)}: {count} deployments for the work pool headway; next: prefect deploy --all")
    answer(options, {"path": str(path), "deployments": count, "problems": problems})
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Show what is damaged, half-done or left behind; with --apply, repair it."""
    from headway.doctor.main import Report, examine, mend
    from headway.errors import DamagedError

    root, terminal = find_root(), terminal_of(options)
    report = mend(root) if options.apply else Report((), tuple(examine(root)))
    for one in report.mended:
        terminal.line(f"repaired: {one.line(root)}")
    for one in report.left:
        terminal.line(one.line(root))
    terminal.line(report.sentence(options.apply))
    answer(options, report.to_json(root))
    return DamagedError.exit_code if report.left else 0


def gc(options: argparse.Namespace) -> int:
    """Remove what is past its limit, or show what would be removed."""
    from headway.pipeline import retention

    result = retention.collect(find_root(), options.projects, options.apply)
    terminal = terminal_of(options)
    terminal.table(retention.table(result), "nothing is past its limit")
    terminal.line(retention.line(result))
    answer(options, result.to_json())
    return 0
