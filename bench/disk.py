"""A disk that fills up anywhere in a command: `make bench NAME=disk`. About half an hour on two cores; `--minutes 5` tries a part.
As root, who may mount the small file system that it fills.

Each trial gives a command a disk with so much room and no more: in a project that never ran, and in one that did. Counted, and allowed
none: a command that does not end with one clear line, or names neither file nor folder; one that, given room again, does not succeed; and
a folder in which `headway doctor` then finds anything.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.disk_project import Disk, Ended, give, make_store, newest_run, serve, start
from bench.samples import FOLDER, Samples, options
from bench.side_by_side import Ratio, tell
from headway.server.local import reach_prefect

FEW_KB = (0, 4, 20, 60, 150, 400, 1000, 2500)
"""Rooms of commands that take a second or two."""

ARCHIVE_KB = (0, 60, 400, 2500, 6000, 6200, 6400, 7000, 9000)
"""Rooms of backup and restore, whose file has 6,300 kB."""

RUN_KB = (0, 150, 700, 1500, 2500, 3500)
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "rows", "--force"),
    "run letters": ("run", "letters", "--force"),
    "resume": ("resume", "NEWEST"),
    "check": ("check", "rows"),
    "deploy": ("deploy",),
    "init": ("init", "--data", "data/raw/rows.csv", "--target", "y", "--name", "fresh"),
    "effect": ("effect", "rows", "--budget", "5s", "--seeds", "2", "--techniques", "fused optimizer", "--new"),
    "seeds": ("seeds", "rows", "--count", "2"),
    "watch": ("watch", "rows", "--data", "data/raw/rows.csv"),
    "score": ("score", "rows", "--data", "data/raw/rows.csv"),
    "rollback": ("rollback", "rows"),
    "sync": ("sync", "NEWEST"),
    "list": ("list",),
    "backup": ("backup",),
    "restore": ("restore", "ARCHIVE"),
    "gc": ("gc", "--apply"),
    "doctor": ("doctor", "--apply"),
    "up": (),
}


@dataclass(frozen=True)
class Trial:
    """A command with so many kilobytes of room, in a project that never ran or in one that did."""

    command: str
    room_kb: int
    ran: bool = True
    own_server: bool = False

    @property
    def label(self) -> str:
        """What its sample is called."""
        server = ", own server" if self.own_server else ""
        return f"{self.command}, {self.room_kb} kB, {'ran' if self.ran else 'new'}{server}"


def trials() -> list[Trial]:
    """The longest with the fewest rooms."""
    every = [Trial(command, room, ran) for room in (0, 4) for ran in (False, True) for command in ("check", "deploy")]
    every += [Trial("init", room, ran=False) for room in (0, 4)]
    short = ("rollback", "sync", "list", "watch", "score", "gc", "doctor")
    every += [Trial(command, room) for command in ("backup", "restore") for room in ARCHIVE_KB]
    every += [Trial(command, room) for command in short for room in FEW_KB]
    every += [Trial("seeds", room) for room in (0, 20, 150, 400, 1000)]
    every += [Trial("resume", room) for room in (0, 20, 150, 400, 1000, 2500)]
    every += [Trial("run", room, ran) for room in RUN_KB for ran in (False, True)]
    every += [Trial("run letters", room, ran=False) for room in (0, 150, 700, 1900)]
    every += [Trial("effect", room) for room in (0, 40, 400, 1000)]
    every += [Trial("run", room, ran, own_server=True) for room, ran in ((0, True), (8500, False), (10_000, False))]
    return every + [Trial("up", room, ran) for room, ran in ((0, False), (0, True), (9000, False), (9000, True))]


def main() -> None:
    """Take the trials that are still missing, and tell the counts."""
    settings = options()
    samples, deadline, folder = Samples("disk", fresh=settings.fresh), settings.deadline(), FOLDER / "disk"
    if settings.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    (folder / "server").mkdir(parents=True, exist_ok=True)
    reach_prefect(folder / "server")()  # one for all runs but those with their own
    disk = Disk(folder / "disk")
    disk.make()
    for trial in trials():
        if not samples.of(trial.label) and time.monotonic() < deadline:
            start = time.monotonic()
            problems = attempt(trial, disk)
            seconds = time.monotonic() - start
            print(f"{trial.label}: {'; '.join(problems) or 'as it should be'} ({seconds:.0f} s)", flush=True)
            samples.add(trial.label, len(problems))
    conclude(samples)


def conclude(samples: Samples) -> None:
    """Tell the counts, once all trials are there."""
    counts = [samples.of(trial.label) for trial in trials()]
    numbers = [count[0] for count in counts if count]
    print(f"{len(numbers)} of {len(counts)} trials")
    if len(numbers) == len(counts):
        wrong = float(sum(count > 0 for count in numbers))
        label = f"of {len(counts)} commands on a disk that fills up: no clear line, or no success with room again"
        tell("disk", {label: Ratio(wrong, wrong, wrong, goal=0.0)})


def attempt(trial: Trial, disk: Disk) -> list[str]:
    """What was wrong with one trial."""
    root = disk.root
    with disk.mounted():
        disk.fill(trial.ran)
        if trial.command in BEFORE:
            BEFORE[trial.command](root)
        disk.leave(trial.room_kb)
        outcome = perform(trial, disk)
        problems = complaints(outcome, root)
        disk.leave(None)
        if outcome.code != 0:
            again = perform(trial, disk)
            if again.code != 0:
                problems.append(f"with room again: {again.err.strip()[-600:]}")
        else:  # what it could not tell MLflow for want of room, the next command tells
            give(root, ("list",))
        findings = give(root, ("doctor",))
        if findings.code != 0:
            problems.append(f"the doctor finds: {findings.out.strip()[-600:]} {findings.err.strip()[-600:]}")
    return problems


def _with_damage(root: Path) -> None:
    """A champion's store cut off, a dead run without content, and a file half written by a process that is gone."""
    array = max((root / "data" / "prepared").rglob("*.npy"), key=lambda path: path.stat().st_size)
    os.truncate(array, array.stat().st_size // 2)
    (root / "data" / "runs" / newest_run(root) / "data.json").write_text("")
    (root / "data" / "rows.csv.999999999.partial").write_text("")


def _with_refuse(root: Path) -> None:
    """What a kill left of a removal, and all runs so old that what is not registered goes."""
    (root / "data" / ".old.trash").mkdir()
    (root / "data" / ".old.trash" / "rows.npy").write_bytes(bytes(10_000))
    for path in (root / "data").rglob("*"):
        os.utime(path, (time.time() - 1e6,) * 2)


def _from_another_machine(root: Path) -> None:
    """An MLflow without runs, and one run that another one tracked."""
    name = newest_run(root)
    (root / "data" / "runs" / name).rename(root / name)
    for folder in (root / "data" / "runs", root / "mlruns"):
        shutil.rmtree(folder)
    give(root, make_store)
    (root / "data" / "runs").mkdir()
    (root / name).rename(root / "data" / "runs" / name)


def _emptied(root: Path) -> None:
    """Nothing but the YAMLs, which a restore finds to be the same."""
    for path in root.iterdir():
        if path.name != "conf":
            shutil.rmtree(path)


BEFORE: dict[str, Callable[[Path], None]] = {
    "doctor": _with_damage,
    "gc": _with_refuse,
    "sync": _from_another_machine,
    "restore": _emptied,
}
"""What is done to the project before the disk is full."""


def perform(trial: Trial, disk: Disk) -> Ended:
    """The command's end."""
    root, places = disk.root, {"ARCHIVE": str(disk.archive)}
    if trial.ran and (root / "data" / "runs").exists():
        places["NEWEST"] = newest_run(root)
    if trial.command == "init":
        (root / "conf" / "fresh.yaml").unlink(missing_ok=True)
    if trial.command == "up":
        return serve(root)
    words = [places.get(word, word) for word in COMMANDS[trial.command]]
    return start(root, words) if trial.own_server else give(root, words)


def complaints(outcome: Ended, root: Path) -> list[str]:
    """What a user would hold against the end of a command that had too little room."""
    if "Traceback" in outcome.err + outcome.out:
        return [f"a traceback: {outcome.err.strip()[-600:]}"]
    if outcome.code == 0:
        return []
    if (
        outcome.code == 5 and "could not be repaired: " in outcome.out
    ):  # the doctor's report, which goes on after each failure
        lines = [line for line in outcome.out.splitlines() if "could not be repaired: " in line][-1:]
    else:
        lines = [line for line in outcome.err.splitlines() if line.startswith("headway: ")]
    problems = []
    if len(lines) != 1:
        problems.append(f"{len(lines)} lines: {outcome.err.strip()[-600:]}")
    elif str(root) not in lines[-1]:
        problems.append(f"no file is named: {lines[-1]}")
    elif not any(word in lines[-1].lower() for word in ("space left", "room", "disk is full")):
        problems.append(f"the disk is not named: {lines[-1]}")
    if outcome.code not in (2, 3, 4, 5):
        problems.append(f"exit code {outcome.code}")
    return problems


if __name__ == "__main__":
    main()
