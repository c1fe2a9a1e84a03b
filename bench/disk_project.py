"""For `bench/disk.py`: a file system of its own, a project on it that has run, and the commands that are given there.

A command is a child that is forked after all imports, which are eight seconds of a core. Only what starts servers is a process from its
beginning.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.machine.processes import free_port
from headway.project import load_project

PLENTY = "400m"
SECONDS = 240
IMPORTS = (
    "mlflow",
    "great_expectations",
    "flows.retrain",
    "headway.pipeline.effects",
    "headway.pipeline.seeds",
    "headway.pipeline.watching",
)
ROWS = """
task: classification
data:
  source: data/raw/rows.csv
  target: y
  features: {a: numeric, c: categorical}
model: {name: mlp, width: 8, depth: 1}
train: {epochs: 3, batch_size: 128, learning_rate: 0.01, threads: 1}
evaluate: {resamples: 100, baselines: [trivial]}
gate: {margin: 1}
retention: {runs_days: 0, checkpoints_days: 0, prepared_days: 0, artifacts_days: 0, keep_last: 0}
"""
LETTERS = """
task: language
data: {source: texts}
split: {test: 0.2, validation: 0.2}
prepare: {tokens: {tokenizer: characters}}
model: {name: gpt, layers: 1, heads: 2, width: 32, context: 16}
train: {batch_size: 16, epochs: 2, learning_rate: 0.01, threads: 1}
evaluate: {resamples: 100, prompts: ["the "]}
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Disk:
    """A file system in memory at ``root``, always the same place: a project that lies elsewhere is a copy, and says so."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran = root.with_name("ran")
        self.archive = root.with_name("kept.tar")

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """Mounted and empty, for the time of the block."""
        self.root.mkdir(parents=True, exist_ok=True)
        if self.root.is_mount():  # of a benchmark that was killed
            subprocess.run(["umount", "-l", str(self.root)], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", str(self.root)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(self.root)], check=True)

    def leave(self, room_kb: int | None) -> None:
        """Take all room but so many kilobytes; None gives it back."""
        size = PLENTY if room_kb is None else f"{shutil.disk_usage(self.root).used // 1024 + room_kb}k"
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.root)], check=True)

    def fill(self, ran: bool) -> None:
        """A project that never ran, or the one that did."""
        if ran:
            shutil.copytree(self.ran, self.root, dirs_exist_ok=True, symlinks=True)
        else:
            make_project(self.root)

    def make(self) -> None:
        """Let a project run, keep its folder, and a backup of it; nothing where they are there."""
        if self.archive.exists():
            return
        shutil.rmtree(self.ran, ignore_errors=True)
        with self.mounted():
            make_project(self.root)
            for seed in ("0", "1"):
                _whole(self.root, ("run", "rows", "--force", "--set", f"train.seed={seed}"))
            _whole(self.root, interrupted)
            _whole(self.root, ("list",))  # which closes that run
            shutil.copytree(self.root, self.ran, symlinks=True)
            _whole(self.root, ("backup", "--to", str(self.archive)))


def make_project(root: Path) -> None:
    """A small table, a few texts, and the YAML of both."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    a = rng.normal(size=3000)
    rows = {"a": a, "c": rng.choice(list("xyz"), 3000), "y": np.where(a + rng.normal(size=3000) > 0, "yes", "no")}
    (root / "data" / "raw").mkdir(parents=True)
    pd.DataFrame(rows).to_csv(root / "data" / "raw" / "rows.csv", index=False)
    (root / "texts").mkdir()
    words = random.Random(0)
    for number in range(80):
        lines = [f"the {words.choice(['cat', 'dog'])} sees the {words.choice(['bird', 'fish'])}." for _ in range(4)]
        (root / "texts" / f"{number}.txt").write_text("\n".join([*lines, f"number {number}"]))
    (root / "conf").mkdir()
    (root / "conf" / "rows.yaml").write_text(ROWS)
    (root / "conf" / "letters.yaml").write_text(LETTERS)


def interrupted() -> int:
    """A run whose process dies when it has trained."""
    from headway.pipeline import runs, stages
    from headway.run.report import Silent

    run, root = runs.start(load_project("rows", Path.cwd()), Path.cwd()), Path.cwd()
    runs.track(run, root)
    for stage in (stages.validate, stages.prepare, stages.train):
        stage(run, root, Silent())
    return 0


def make_store() -> int:
    """MLflow's database of the current folder, without runs."""
    from headway import tracking

    tracking.open_store(Path.cwd())
    return 0


def newest_run(root: Path) -> str:
    """The name of the newest run's folder: the interrupted one."""
    runs = sorted((root / "data" / "runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    return runs[-1].parent.name


def _whole(root: Path, words: Sequence[str] | Callable[[], int]) -> None:
    outcome = give(root, words)
    if outcome.code != 0:
        raise RuntimeError(f"{words}: {outcome.err}")


def give(root: Path, words: Sequence[str] | Callable[[], int]) -> Ended:
    """Give a command in ``root``, or call a function there. Raises TimeoutError where it hangs."""
    for name in IMPORTS:
        importlib.import_module(name)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            _become(root, words, out.fileno(), err.fileno())
        code = _wait(child)
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read(), err.read())


def _become(root: Path, words: Sequence[str] | Callable[[], int], out: int, err: int) -> None:
    """Be the command, and end."""
    from headway.cli import commands as cli

    code = 1
    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(root)
        code = words() if callable(words) else cli.main(words)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _wait(child: int) -> int:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, 9)
    os.waitpid(child, 0)
    raise TimeoutError(f"a command must end within {SECONDS} s")


def start(root: Path, words: Sequence[str]) -> Ended:
    """The same as a process from its beginning, with a Prefect server of its own."""
    line = [sys.executable, "-m", "headway.cli", *words]
    outcome = subprocess.run(line, cwd=root, env=_environment(), capture_output=True, text=True, timeout=SECONDS)
    return Ended(outcome.returncode, outcome.stdout, outcome.stderr)


def serve(root: Path) -> Ended:
    """`headway up`, stopped once it serves, which is an end as it should be."""
    ports = ("--prefect-port", str(free_port()), "--mlflow-port", str(free_port()))
    line = [sys.executable, "-m", "headway.cli", "up", *ports]
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(line, cwd=root, env=_environment(), stdout=out, stderr=err) as up,
    ):
        until, text = time.monotonic() + SECONDS, ""
        while up.poll() is None and "Ctrl-C stops" not in text and time.monotonic() < until:
            time.sleep(0.5)
            out.seek(0)
            text = out.read()
        serves = up.poll() is None
        up.terminate()
        code = up.wait(60)
        err.seek(0)
        return Ended(0 if serves else code, text, err.read())


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "HEADWAY_"))}
