"""Ctrl-C, SIGTERM, a closed terminal and a closed pipe end a run as KILLED, except after its decision.

From the gate on, a run is `undisturbed`: an interruption is recorded, and the run is finished first. So the run of a new champion is
never shown as killed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_pending_reasons: list[str] | None = None


class Interrupted(KeyboardInterrupt):
    """An interruption ends the command; the text names it."""


class ReaderLeft(Interrupted):
    """The reader of the command's output has closed it."""


def reader_left() -> None:
    """Raises ReaderLeft; within `undisturbed`, records it for later."""
    problem = ReaderLeft("the output is no longer read")
    if _pending_reasons is None:
        raise problem
    _pending_reasons.append(str(problem))


@contextlib.contextmanager
def undisturbed() -> Iterator[list[str]]:
    """Interruptions do not end the block; the list has those that came."""
    global _pending_reasons
    before, reasons = _pending_reasons, []
    _pending_reasons = reasons

    def keep(number: int, _frame: FrameType | None) -> None:
        reasons.append(f"{signal.Signals(number).name} came")

    here = threading.current_thread() is threading.main_thread()  # only the main thread gets signals
    handlers = {one: signal.getsignal(one) for one in SIGNALS} if here else {}
    # nohup and a script's background jobs ignore the signal already
    handlers = {one: handler for one, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for one in handlers:
        signal.signal(one, keep)
    try:
        yield reasons
    finally:
        _pending_reasons = before
        for one, handler in handlers.items():
            signal.signal(one, handler)
