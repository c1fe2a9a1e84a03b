"""rehearsal.json: the results of bundles that predicted the test rows in a fresh process."""

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
    """The result of one bundle. ``problem``: why it did not predict; ``damaged``: whether its files are damaged."""

    size_bytes: int = 0
    latency_ms: float = 0.0
    classes: tuple[str, ...] = ()
    problem: str | None = None
    damaged: bool = False

    @classmethod
    def of_problem(cls, error: Exception) -> Outcome:
        """For a bundle that did not predict."""
        return cls(problem=str(error), damaged=isinstance(error, DamagedError))


def write_outcomes(folder: Path, results: Sequence[Outcome]) -> None:
    """Write rehearsal.json with the results so far."""
    write_json(folder / "rehearsal.json", plain(results))


def outcomes(run: RunDirectory, code: int) -> list[Outcome]:
    """The results of a rehearsal with this exit code: of the candidate and, if there is one, of the champion.

    Raises TrainingError where the candidate did not predict; a champion that did not has a problem.
    """
    folder = run.path / "rehearsal"
    results = _read_outcomes(folder)
    if code != 0:
        if not results:
            raise TrainingError(f"the bundle must predict in a fresh process, but that failed: {_last_line(folder)}")
        results = results if len(results) > 1 else [results[0], _failure(folder)]
    if results[0].problem is not None:
        raise TrainingError(f"the bundle must predict in a fresh process, but: {results[0].problem}")
    return results


def outcome_of(folder: Path) -> Outcome:
    """The result of a rehearsal of one bundle in ``folder``."""
    results = _read_outcomes(folder)
    return results[0] if results else _failure(folder)


def await_end(child: subprocess.Popen[bytes]) -> int:
    """The exit code of a rehearsal, which is killed where this process is interrupted."""
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _read_outcomes(folder: Path) -> list[Outcome]:
    path = folder / "rehearsal.json"
    return [Outcome.from_json(one, path) for one in read_json(path, list)] if path.exists() else []


def _failure(folder: Path) -> Outcome:
    return Outcome(problem=f"predicting with it ended the process: {_last_line(folder)}")


def _last_line(folder: Path) -> str:
    log = folder.with_name(f"{folder.name}.log")
    return (log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"])[0]
