"""What `headway up` tells about runs: each that starts, and how it ends, also where another person started it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from headway.machine.clock import moment
from headway.server.prefect_api import newest_runs

LOOK_SECONDS = 2.0
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
MOST_STATES = 10_000
"""That are remembered: the oldest are forgotten first."""


class News:
    """The runs on the Prefect server at ``address`` that start from now on."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._since = datetime.now(UTC).isoformat()
        self._states: dict[str, str] = {}
        self._looked = 0.0

    def lines(self) -> list[str]:
        """One line for each run that started or ended since the last call; none while Prefect does not answer."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return []
        self._looked = time.monotonic()
        with contextlib.suppress(Exception):  # the servers go on, whatever Prefect answers
            return self._news(self.runs())
        return []

    def runs(self) -> list[Mapping[str, Any]]:
        """The runs that started since this was made, as Prefect describes them. Raises what urllib raises."""
        return newest_runs(f"{self._address}/api", self._since)

    def _news(self, runs: list[Mapping[str, Any]]) -> list[str]:
        lines = []
        running = [run for run in runs if run["start_time"] is not None]  # one that was only just asked for has none
        for run in sorted(running, key=lambda run: run["start_time"]):
            state, before = run["state"], self._states.pop(run["id"], None)
            is_end = state["type"] in ENDED
            self._states[run["id"]] = state["type"]
            if before is None:
                lines.append(f"{moment(_seconds(run['start_time']))}  {run['name']}: started, {self._page(run)}")
            if is_end and before not in ENDED:
                lines.append(f"{moment()}  {run['name']}: {_ending(state)}")
        while len(self._states) > MOST_STATES:
            del self._states[next(iter(self._states))]
        return lines

    def _page(self, run: Mapping[str, Any]) -> str:
        return f"{self._address}/runs/flow-run/{run['id']}"


def _ending(state: Mapping[str, Any]) -> str:
    """How a run ended: its state and its message on one line, where the message does not begin with the state itself."""
    message = " ".join(str(state.get("message") or "").split())
    name = str(state["name"]).lower()
    if not message:
        return name
    return message if name == "completed" or message.startswith(name) else f"{name}: {message}"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
