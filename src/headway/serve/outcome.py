"""rehearsal.json: how bundles fared that a fresh process let predict the test rows."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.errors import DamagedError, TrainingError
from headway.files.atomic import read_json, write_json
from headway.files.records import Record, plain
from headway.run.directory import RunDirectory


@dataclass(frozen=True)
class Outcome(Record):
    """How one bundle fared. ``problem``: why it did not predict; ``damaged``: because its files are."""

    size_bytes: int = 0
    latency_ms: float = 0.0
    classes: tuple[str, ...] = ()
    problem: str | None = None
    damaged: bool = False

    @classmethod
    def of_problem(cls, error: Exception) -> Outcome:
        """Of a bundle that did not predict."""
        return cls(problem=str(error), damaged=isinstance(error, DamagedError))


def write_outcomes(folder: Path, done: Sequence[Outcome]) -> None:
    """Write rehearsal.json: how the first bundles fared."""
    write_json(folder / "rehearsal.json", plain(done))


def outcomes(run: RunDirectory, code: int) -> list[Outcome]:
    """What a rehearsal that ended with this exit code told of the candidate and, where there is one, of the champion.

    Raises TrainingError where the candidate did not predict; a champion that did not has a problem.
    """
    folder = run.path / "rehearsal"
    told = _told(folder)
    if code != 0:
        if not told:
            raise TrainingError(f"the bundle must predict in a fresh process, but that failed: {_last_line(folder)}")
        told = told if len(told) > 1 else [told[0], _ended(folder)]
    if told[0].problem is not None:
        raise TrainingError(f"the bundle must predict in a fresh process, but: {told[0].problem}")
    return told


def outcome_of(folder: Path) -> Outcome:
    """What a rehearsal in ``folder`` told of its one bundle."""
    told = _told(folder)
    return told[0] if told else _ended(folder)


def await_end(child: subprocess.Popen[bytes]) -> int:
    """The exit code of a rehearsal; it ends with us where we are interrupted."""
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _told(folder: Path) -> list[Outcome]:
    path = folder / "rehearsal.json"
    return [Outcome.from_json(one, path) for one in read_json(path, list)] if path.exists() else []


def _ended(folder: Path) -> Outcome:
    return Outcome(problem=f"predicting with it ended the process: {_last_line(folder)}")


def _last_line(folder: Path) -> str:
    log = folder.with_name(f"{folder.name}.log")
    return (log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"])[0]
