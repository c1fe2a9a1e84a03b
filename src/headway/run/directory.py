"""The run directory: the interface between the flow that starts a training and the process that trains.

run.json            what to do: the resolved project, the seed, where the store lies, digests of code, data, environment
journal.jsonl       what happened: one line an event, appended, numbered from 1
checkpoints/        the newest ones
bundle/             the trained model, ready to be registered
predictions/        <split>.npy: (N, classes) probabilities or (N,) values, rows in the store's order
result.json         written last, atomically: where it exists, the training is done
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from headway.config import suggest
from headway.errors import ConfigError, DamagedError
from headway.files import locks
from headway.files.atomic import named_error, naming, read_json, write_json
from headway.machine.clock import stamp
from headway.run.result import Result

EventKind = Literal["stage", "metric", "progress", "warning", "checkpoint"]


@dataclass(frozen=True)
class Event:
    """One line of a journal: ``n`` counts from 1 without gaps; ``time`` is seconds since the epoch."""

    n: int
    time: float
    kind: EventKind
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The event's optimizer step; 0 before the first."""
        return int(self.fields.get("step", 0))

    @property
    def metrics(self) -> dict[str, float]:
        """The named values of a metric event; empty for the others."""
        return self.fields.get("values", {}) if self.kind == "metric" else {}


class Journal:
    """Writes a journal. Each event is one buffered write; ``flush`` makes the events so far visible to a reader."""

    def __init__(self, path: Path) -> None:
        self._n, self._path = _mend(path), path
        self._file = open(path, "a", encoding="utf-8", buffering=1 << 16)  # noqa: SIM115 - held open for the whole run

    def write(self, kind: EventKind, **fields: Any) -> None:
        """Append one event. Values must be JSON; non-finite floats are written as null."""
        self._n += 1
        record = {"n": self._n, "time": time.time(), "kind": kind, **_finite(fields)}
        try:  # no context manager, which costs a microsecond at every step
            self._file.write(json.dumps(record, separators=(",", ":")) + "\n")
        except OSError as error:
            raise named_error(error, self._path) from None

    def flush(self) -> None:
        """Write the buffer to the file, without syncing."""
        with naming(self._path):
            self._file.flush()

    def close(self) -> None:
        """Flush, sync and close."""
        with naming(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def _next_number(base: Path) -> int:
    """The number of a new run, from `data/run-number`; where that is missing, from the existing runs."""
    path = base.parent / "run-number"
    with naming(path), open(path, "a+", encoding="ascii", errors="replace") as file:
        locks.lock(file.fileno(), path, seconds=math.inf)
        file.seek(0)
        text = file.read().strip()
        last = int(text) if text.isdecimal() else max((RunDirectory(run).number for run in base.iterdir()), default=0)
        file.truncate(0)
        file.write(f"{last + 1}\n")
    return last + 1


def _new_folder(base: Path, name: str) -> Path:
    for attempt in range(1000):
        path = base / (name + (f"-{attempt}" if attempt else ""))
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise ConfigError(f"{base} must have room for a new run, but 1,000 started in this second")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return value


def event_of(line: bytes) -> Event | None:
    """The event of a journal's line; None for a damaged line: truncated, changed, or zeros after a power cut."""
    try:
        record = json.loads(line)
        return Event(int(record.pop("n")), float(record.pop("time")), record.pop("kind"), record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _mend(path: Path) -> int:
    """Cut off a partial line at the end, as a killed writer or a power cut leaves; return the last whole event's number.

    A damaged line before that stays: readers skip it.
    """
    if not path.exists():
        return 0
    content = path.read_bytes()
    end = len(content)
    event: Event | None = None
    while end and event is None:
        end = content.rfind(b"\n", 0, end) + 1
        event = event_of(content[content.rfind(b"\n", 0, max(0, end - 1)) + 1 : end])
        if event is None:
            end = max(0, end - 1)
    if end < len(content):
        with open(path, "r+b") as file:
            file.truncate(end)
    return 0 if event is None else event.n


class JournalReader:
    """Reads a journal: each ``poll`` returns the whole events since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def poll(self) -> list[Event]:
        """New events, oldest first. A last line still being written is read the next time; a damaged one is skipped."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [event for line in whole.splitlines() if (event := event_of(line)) is not None]


@dataclass(frozen=True)
class RunDirectory:
    """Paths and formats of one run. It has no state besides the folder."""

    path: Path

    @classmethod
    def create(cls, root: Path, project: str, plan: Mapping[str, Any]) -> RunDirectory:
        """A new folder `data/runs/<project>-<time in UTC>Z` with its run.json.

        Its key is unique. Raises ConfigError if the folder cannot be written.
        """
        base = root / "data" / "runs"
        try:
            base.mkdir(parents=True, exist_ok=True)
            number = _next_number(base)
            run = cls(_new_folder(base, f"{project}-{stamp()}"))
            try:
                write_json(run.path / "run.json", {**plan, "number": number, "key": uuid4().hex})
            except OSError:
                shutil.rmtree(run.path, ignore_errors=True)
                raise
        except OSError as error:
            raise ConfigError(f"{error.filename or base} must be writable, but: {error.strerror}") from None
        return run

    @property
    def root(self) -> Path:
        """The project's folder, whose `data/runs` has every run."""
        return self.path.parents[2]

    @property
    def number(self) -> int:
        """The run's number in the project's folder, from 1: their order, even where the clock was set back. 0 where unknown."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(self.plan["number"])
        return 0

    @property
    def plan(self) -> Mapping[str, Any]:
        """The content of run.json."""
        return read_json(self.path / "run.json")

    @property
    def store(self) -> Path:
        """The prepared data of store.json, relative to the project's folder, so that a moved or copied folder has its own."""
        path = Path(read_json(self.path / "store.json")["path"])
        own = self.root / "data" / "prepared" / path.name
        # An absolute path to data/prepared is of an earlier version, perhaps from before the folder was moved.
        earlier = path.is_absolute() and path.parent.parts[-2:] == own.parent.parts[-2:]
        return own if earlier and own.is_dir() else self.root / path

    def from_root(self, path: Path) -> str:
        """A path as the run's files name it: relative to the project's folder, where it lies within."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def bundle(self) -> Path:
        """Folder of the trained model, ready to be registered."""
        return self.path / "bundle"

    def predictions(self, split: str) -> Path:
        """File of the predictions for one split."""
        return self.path / "predictions" / f"{split}.npy"

    def journal(self) -> Journal:
        """Open the journal for appending; continues its numbers."""
        return Journal(self.path / "journal.jsonl")

    def events(self, after: int = 0) -> Iterator[Event]:
        """The whole events numbered above ``after``, oldest first; a last line still being written is left for later."""
        return (event for event in self.reader().poll() if event.n > after)

    def reader(self) -> JournalReader:
        """Open the journal for following it."""
        return JournalReader(self.path / "journal.jsonl")

    @property
    def result(self) -> Result | None:
        """The training's result.json; None before it is done.

        A damaged result counts as none: the training resumes from its last checkpoint, and writes it again.
        """
        try:
            return Result.read(self.path / "result.json")
        except (FileNotFoundError, DamagedError):
            return None

    def finish(self, result: Result) -> None:
        """Write result.json, which makes the training done."""
        result.write(self.path / "result.json")


def find_run(name: str, root: Path) -> RunDirectory:
    """A run by its folder, or by its name in data/runs/. Raises ConfigError where there is none."""
    for path in (Path(name), root / "data" / "runs" / name):
        if (path / "run.json").exists():
            return RunDirectory(path.resolve())
    folder = root / "data" / "runs"
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    raise ConfigError(f"a run must be a folder with a run.json, but {name} is none{suggest(name, names)}")
