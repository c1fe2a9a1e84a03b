"""A disk that fills up anywhere in a command: `make bench NAME=disk`. About half an hour on two cores; `--minutes 5` tries a part.
As root, who may mount the small file systems that it fills.

Each trial gives a command a disk with so much room and no more: a project that never ran, and one that did. Counted, and allowed none: a
command that does not end with one clear line, or names neither file nor folder; and one that, given room again, does not succeed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.samples import Samples, options
from bench.side_by_side import Ratio, tell
from headway.processes import free_port

PLENTY = "400m"
ROOMS_KB = (0, 4, 40, 150, 400, 700, 1000, 1400, 1900, 2500, 3200, 4000, 5000, 6500, 8000, 10_000)
YAML = """
task: classification
data:
  source: data/raw/rows.csv
  target: y
  features: {a: numeric, c: categorical}
model: {name: mlp, width: 8, depth: 1}
train: {epochs: 2, threads: 1}
evaluate: {resamples: 100, baselines: [trivial]}
"""
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "rows", "--force"),
    "check": ("check", "rows"),
    "deploy": ("deploy",),
    "init": ("init", "--data", "data/raw/rows.csv", "--target", "y", "--name", "fresh"),
    "effect": ("effect", "rows", "--budget", "5s", "--seeds", "2", "--techniques", "fused optimizer", "--new"),
    "up": ("up",),
}
SECONDS = 240


@dataclass(frozen=True)
class Trial:
    """A command with so many kilobytes of room, in a project that never ran or in one that did."""

    command: str
    room_kb: int
    ran: bool

    @property
    def label(self) -> str:
        """What its sample is called."""
        return f"{self.command}, {self.room_kb} kB, {'ran' if self.ran else 'new'}"


def trials() -> list[Trial]:
    """The shortest commands with the fewest rooms, for what they write is little."""
    made = [
        Trial(command, room, ran) for room in (0, 4) for ran in (False, True) for command in ("check", "deploy", "init")
    ]
    made += [Trial("run", room, ran) for room in ROOMS_KB for ran in (False, True)]
    made += [Trial("up", room, ran) for room in (0, 400, 1900, 4000) for ran in (False, True)]
    return made + [Trial("effect", room, True) for room in (0, 40, 400, 1000, 1900)]


def main() -> None:
    """Take the trials that are still missing, and tell the counts."""
    chosen = options()
    samples, deadline = Samples("disk", fresh=chosen.fresh), chosen.deadline()
    planned = trials()
    with tempfile.TemporaryDirectory() as name:
        ran = _project_that_ran(Path(name) / "ran")
        for trial in planned:
            if not samples.of(trial.label) and time.monotonic() < deadline:
                problems = attempt(trial, Path(name), ran)
                print(f"{trial.label}: {'; '.join(problems) or 'as it should be'}", flush=True)
                samples.add(trial.label, len(problems))
    counts = [samples.of(trial.label) for trial in planned]
    done = [count[0] for count in counts if count]
    print(f"{len(done)} of {len(planned)} trials")
    if len(done) == len(planned):
        wrong = float(sum(count > 0 for count in done))
        label = f"of {len(planned)} commands on a disk that fills up: no clear line, or no success with room again"
        tell("disk", {label: Ratio(wrong, wrong, wrong, goal=0.0)})


def make_project(root: Path) -> None:
    """A small table and its YAML."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    a = rng.normal(size=3000)
    rows = {"a": a, "c": rng.choice(list("xyz"), 3000), "y": np.where(a + rng.normal(size=3000) > 0, "yes", "no")}
    (root / "data" / "raw").mkdir(parents=True)
    pd.DataFrame(rows).to_csv(root / "data" / "raw" / "rows.csv", index=False)
    (root / "conf").mkdir()
    (root / "conf" / "rows.yaml").write_text(YAML)


def _project_that_ran(root: Path) -> Path:
    make_project(root)
    ended = command(root, COMMANDS["run"])
    assert ended.returncode == 0, ended.stderr
    return root


def attempt(trial: Trial, folder: Path, ran: Path) -> list[str]:
    """What was wrong with one trial."""
    with disk(folder / "disk") as root:
        if trial.ran:
            shutil.copytree(ran, root, dirs_exist_ok=True)
        else:
            make_project(root)
        used = shutil.disk_usage(root).used
        _resize(root, f"{used // 1024 + trial.room_kb}k")
        ended = perform(trial.command, root)
        problems = complaints(ended, root)
        _resize(root, PLENTY)
        if ended.returncode != 0:
            again = perform(trial.command, root)
            if again.returncode != 0:
                problems.append(f"with room again: {again.stderr.strip()[-300:]}")
        return problems


def complaints(ended: subprocess.CompletedProcess[str], root: Path) -> list[str]:
    """What a user would hold against the end of a command that had too little room."""
    if ended.returncode == 0:
        return []
    lines = [line for line in ended.stderr.splitlines() if line.startswith("headway: ")]
    problems = []
    if "Traceback" in ended.stderr + ended.stdout:
        problems.append(f"a traceback: {ended.stderr.strip()[-300:]}")
    if len(lines) != 1 + sum("this folder is a copy" in line for line in lines):
        problems.append(f"{len(lines)} lines: {ended.stderr.strip()[-300:]}")
    elif str(root) not in lines[-1]:
        problems.append(f"no file is named: {lines[-1]}")
    elif not any(word in lines[-1].lower() for word in ("space left", "room", "disk is full")):
        problems.append(f"the disk is not named: {lines[-1]}")
    if ended.returncode not in (2, 3, 4):
        problems.append(f"exit code {ended.returncode}")
    return problems


def perform(name: str, root: Path) -> subprocess.CompletedProcess[str]:
    """The command's end; servers are stopped once they answer, which is an end as it should be."""
    if name == "init":
        (root / "conf" / "fresh.yaml").unlink(missing_ok=True)
    return _serve(root) if name == "up" else command(root, COMMANDS[name])


def command(root: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run one command of headway in ``root``. Raises TimeoutExpired where it hangs."""
    line = [sys.executable, "-m", "headway.cli", *words]
    return subprocess.run(line, cwd=root, env=_environment(), capture_output=True, text=True, timeout=SECONDS)


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "HEADWAY_DATABASE"))}


def _serve(root: Path) -> subprocess.CompletedProcess[str]:
    ports = ("--prefect-port", str(free_port()), "--mlflow-port", str(free_port()))
    line = [sys.executable, "-m", "headway.cli", *COMMANDS["up"], *ports]
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(line, cwd=root, env=_environment(), stdout=out, stderr=err) as up,
    ):
        until = time.monotonic() + SECONDS
        said = ""
        while up.poll() is None and "Ctrl-C stops" not in said and time.monotonic() < until:
            time.sleep(0.5)
            out.seek(0)
            said = out.read()
        serves = up.poll() is None
        up.terminate()
        code = up.wait(60)
        err.seek(0)
        return subprocess.CompletedProcess(line, 0 if serves else code, said, err.read())


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A file system in memory, for the time of the block."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _resize(root: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(root)], check=True)


if __name__ == "__main__":
    main()
