"""The measurements of a study, each on disk at once: a study that was killed resumes and measures nothing twice.

effect.jsonl, one line a finding: {"what": "session" | "failure" | "answer", "key", ..., "seconds"}. A key names a comparison
(`technique/bf16`, `stack`, `without/fused optimizer`) or a question (`breakdown`, `curve/baseline/3`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from headway.effect.contention import Contention
from headway.effect.lab import Session
from headway.effect.station import Answer

Line = Mapping[str, Any]
"""A line as it is in the file."""

T = TypeVar("T")


@dataclass
class Notebook:
    """All lines so far, and the end where the next is added."""

    path: Path

    def __post_init__(self) -> None:
        self._lines: list[Line] = []
        if self.path.exists():
            content = self.path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):  # a line that was being written when the study was killed
                with open(self.path, "r+b") as file:
                    file.truncate(whole)
            self._lines = [line for text in content[:whole].splitlines() if (line := _line(text)) is not None]

    def _add(self, **line: object) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines.append(line)

    @property
    def version(self) -> int:
        """The number of lines, which identifies the notebook's state."""
        return len(self._lines)

    @property
    def seconds(self) -> float:
        """Seconds of measuring so far."""
        return float(sum(line["seconds"] for line in self._lines))

    def add_session(self, key: str, session: Session) -> None:
        """Keep a session."""
        self._add(
            what="session",
            key=key,
            blocks=[[float(f"{v:.6g}") for v in block] for block in session.blocks],
            startup=session.startup,
            peak=session.peak,
            joules=session.joules,
            seconds=session.seconds,
            contention=None if session.contention is None else session.contention.to_json(),
        )

    def add_failure(self, key: str, reason: str, seconds: float) -> None:
        """Keep the reason why something cannot be measured."""
        self._add(what="failure", key=key, reason=reason, seconds=seconds)

    def add_answer(self, key: str, answer: Answer, seconds: float) -> None:
        """Keep an answer."""
        self._add(what="answer", key=key, answer=answer, seconds=seconds)

    def sessions(self, key: str) -> list[Session]:
        """The sessions of a comparison, in their order."""
        return [
            Session(
                np.array(line["blocks"]),
                tuple(line["startup"]),
                None if line["peak"] is None else tuple(line["peak"]),
                None if line["joules"] is None else tuple(line["joules"]),
                line["seconds"],
                Contention(**line["contention"]) if line.get("contention") else None,
            )
            for line in self._of("session", key)
        ]

    def comparisons(self) -> list[str]:
        """The keys of all comparisons that have a session, in the order of their first."""
        return list(dict.fromkeys(line["key"] for line in self._lines if line["what"] == "session"))

    def blocks(self, key: str) -> np.ndarray:
        """(N, 4) over all sessions."""
        return np.concatenate([np.empty((0, 4)), *(session.blocks for session in self.sessions(key))])

    def failure(self, key: str) -> str | None:
        """Why it cannot be measured."""
        lines = self._of("failure", key)
        return lines[-1]["reason"] if lines else None

    def answer(self, key: str) -> Answer | None:
        """The answer to a question."""
        lines = self._of("answer", key)
        return lines[-1]["answer"] if lines else None

    def answers(self, start: str) -> dict[str, Answer]:
        """All answers whose key begins so, by the rest of it."""
        return {
            line["key"].removeprefix(start): line["answer"]
            for line in self._lines
            if line["what"] == "answer" and line["key"].startswith(start)
        }

    def _of(self, what: str, key: str) -> list[Line]:
        return [line for line in self._lines if line["what"] == what and line["key"] == key]


class Memory:
    """Values computed once for a state of a notebook: verdicts need them after every pair, once a technique."""

    def __init__(self, book: Notebook) -> None:
        self._book = book
        self._values: dict[str, tuple[int, Any]] = {}

    def of(self, name: str, work: Callable[[], T]) -> T:
        """The value of ``work``, as long as the notebook has no further line."""
        version, value = self._values.get(name, (-1, None))
        if version != self._book.version:
            value = work()
            self._values[name] = self._book.version, value
        return value


def _line(text: bytes) -> Line | None:
    """A line of the file; None where it is damaged, so that it is measured again."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and {"what", "key", "seconds"} <= line.keys() else None
