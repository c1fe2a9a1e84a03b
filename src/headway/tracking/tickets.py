"""One deciding process at a time over an MLflow server, which has no locks: numbered tickets, as tags of the registered model.

MLflow has no transactions over HTTP, but each tag is written and read atomically. Lamport's bakery algorithm needs no more
(A New Solution of Dijkstra's Concurrent Programming Problem, 1974):

| tag | what it says |
|---|---|
| `deciding.<id>` | the lock file of a process that waits for the model, or has it. Written once; deleting it ends the ticket |
| `deciding.<id>.state` | the number, and how often the ticket was renewed; missing while a number is drawn |

The lowest number has the model. A ticket is renewed every RENEWAL_SECONDS. One that stays the same over LOOKS looks of another
process belongs to a machine that is down or suspended, and is deleted; no clocks are compared. A ticket of the lock file that this
process holds now is from a process that was killed, and is deleted at once.
"""

from __future__ import annotations

import contextlib
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import ConfigError
from headway.tracking.intent import registered_model
from headway.tracking.store import client_of, needing, problems

if TYPE_CHECKING:
    from mlflow import MlflowClient

RENEWAL_SECONDS = 5.0
LOOK_SECONDS = 0.5
LOOKS = 60  # at least 30 s without a renewal
_ENTRY = re.compile(r"deciding\.(\w+)")
_STATE = re.compile(r"(\d+) \d+")
_BOOT = Path("/proc/sys/kernel/random/boot_id")

Wait = Callable[[Callable[[], bool], Callable[[], bool], float], bool]
"""Calls the first function every so many seconds until it is true; False when the time is up and the second one is true."""


@dataclass(frozen=True, order=True)
class Ticket:
    """A ticket as the server has it; in the order of their turns, those that still draw a number first."""

    number: int
    ident: str
    state: str
    place: str


def tickets_of(tags: dict[str, str]) -> list[Ticket]:
    """A registered model's tickets, the one that has the model first."""
    entries = [(match[1], place) for key, place in tags.items() if (match := _ENTRY.fullmatch(key))]
    states = {ident: tags.get(f"deciding.{ident}.state", "") for ident, _ in entries}
    numbers = {ident: int(match[1]) for ident, state in states.items() if (match := _STATE.fullmatch(state))}
    return sorted(Ticket(numbers.get(ident, 0), ident, states[ident], place) for ident, place in entries)


@contextlib.contextmanager
def hold(uri: str, name: str, file: Path, wait: Wait) -> Iterator[Callable[[], None] | None]:
    """Hold the model for the block: a function that raises ConfigError where it was lost, or None where ``wait`` gave up.

    ``file``: the lock file that the caller holds. A model that does not exist yet is not held.
    """
    queue = _Queue(client_of(uri), name, _place(file))
    try:
        with needing(uri):
            is_ours = not queue.enter() or wait(queue.is_our_turn, queue.is_other_alive, LOOK_SECONDS)
        yield queue.check if is_ours else None
    finally:
        with contextlib.suppress(*problems()):
            queue.leave()


def _place(file: Path) -> str:
    """The id of the kernel's lock: a boot of a machine, a device and an inode. Where the boot is hidden, a unique name."""
    about = file.stat()
    with contextlib.suppress(OSError):
        return f"{_BOOT.read_text().strip()}.{about.st_dev}.{about.st_ino}"
    return uuid.uuid4().hex


@dataclass
class _Queue:
    """The tickets of a model, and our own among them."""

    client: MlflowClient
    name: str
    place: str
    ident: str = field(default_factory=lambda: uuid.uuid4().hex)
    number: int = 0
    is_in: bool = False
    looks: dict[Ticket, int] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    end: threading.Event = field(default_factory=threading.Event)
    renewing: threading.Thread | None = None

    def enter(self) -> bool:
        """Draw a number; False where there is no such model."""
        if registered_model(self.client, self.name) is None:
            return False
        self.is_in = True
        self._set("", self.place)
        for ticket in self._tickets():
            if ticket.place == self.place and ticket.ident != self.ident:
                self._delete(ticket.ident)
        self.number = 1 + max((ticket.number for ticket in self._tickets()), default=0)
        self._set(".state", f"{self.number} 0")
        self.renewing = threading.Thread(target=self._renew, name="headway-ticket", daemon=True)
        self.renewing.start()
        return True

    def is_our_turn(self) -> bool:
        """Look once. Tickets ahead that are not renewed are deleted."""
        tickets = self._tickets()
        if self.ident not in [ticket.ident for ticket in tickets]:
            raise self._loss_error()
        ahead = tickets[: [ticket.ident for ticket in tickets].index(self.ident)]
        self.alive |= {new.ident for new in ahead for old in self.looks if old.ident == new.ident and old != new}
        self.looks = {ticket: self.looks.get(ticket, 0) + 1 for ticket in ahead}
        for ticket, looks in self.looks.items():
            if looks > LOOKS:
                self._delete(ticket.ident)
        return not ahead

    def is_other_alive(self) -> bool:
        """Whether a process ahead has renewed its ticket: then it is alive, and finishes its decision."""
        return any(ticket.ident in self.alive for ticket in self.looks)

    def check(self) -> None:
        """Raise ConfigError where our ticket was deleted. While it exists, later processes have higher numbers and wait."""
        if self.ident not in [ticket.ident for ticket in self._tickets()]:
            raise self._loss_error()

    def leave(self) -> None:
        """Delete our ticket, and remains of others."""
        self.end.set()
        if self.renewing is not None:
            self.renewing.join()
        if self.is_in:
            self._delete(self.ident)
            tags = self.client.get_registered_model(self.name).tags
            for key in tags:
                if key.startswith("deciding.") and key.endswith(".state") and key.removesuffix(".state") not in tags:
                    self.client.delete_registered_model_tag(self.name, key)

    def _renew(self) -> None:
        count = 0
        while not self.end.wait(RENEWAL_SECONDS):
            count += 1
            with contextlib.suppress(*problems()):  # the next renewal may succeed; `check` notices where it is too late
                self._set(".state", f"{self.number} {count}")

    def _tickets(self) -> list[Ticket]:
        return tickets_of(self.client.get_registered_model(self.name).tags)

    def _set(self, end: str, value: str) -> None:
        self.client.set_registered_model_tag(self.name, f"deciding.{self.ident}{end}", value)

    def _delete(self, ident: str) -> None:
        self.client.delete_registered_model_tag(self.name, f"deciding.{ident}")
        self.client.delete_registered_model_tag(self.name, f"deciding.{ident}.state")

    def _loss_error(self) -> ConfigError:
        return ConfigError(
            f"only one process at a time may decide about {self.name}, but this one paused for so long that another one took "
            "its turn; repeat the command"
        )
