"""Ctrl-C, SIGTERM, a closed terminal and a closed pipe end a run as KILLED, but never one that has come to its decision.

From the gate on, a run is `undisturbed`: what would end it is kept, and it is finished first. A model that took charge is never
the work of a run that is shown as killed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_kept: list[str] | None = None


class Interrupted(KeyboardInterrupt):
    """Something ends the command; its text says what."""


class ReaderLeft(Interrupted):
    """Whoever read our output has closed it."""


def reader_left() -> None:
    """Raises ReaderLeft, or keeps it for later within `undisturbed`."""
    problem = ReaderLeft("nobody reads the output any more")
    if _kept is None:
        raise problem
    _kept.append(str(problem))


@contextlib.contextmanager
def undisturbed() -> Iterator[list[str]]:
    """What would end the command waits until the block is over: the list says in the end what came."""
    global _kept
    before, kept = _kept, []
    _kept = kept

    def keep(number: int, _frame: FrameType | None) -> None:
        kept.append(f"{signal.Signals(number).name} came")

    here = threading.current_thread() is threading.main_thread()  # signals reach no other thread
    handlers = {one: signal.getsignal(one) for one in SIGNALS} if here else {}
    # nohup, and the background jobs of a script, are deaf already
    handlers = {one: handler for one, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for one in handlers:
        signal.signal(one, keep)
    try:
        yield kept
    finally:
        _kept = before
        for one, handler in handlers.items():
            signal.signal(one, handler)
