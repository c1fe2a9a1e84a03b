"""How many threads trees grow with while other processes use the cores."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from headway.machine.cores import Use, Watch, allowed_cores
from headway.train.threads import Threads

LOOK_SECONDS = 0.2
"""Between two looks at how fast trees grow."""


class GrowingThreads:
    """The number of threads that trees grow with: the stated one, or for `auto` one a core or a single one, what is faster.

    Numbers in between cannot be had while trees grow (see `headway.models.boosting.Teams`).
    """

    def __init__(
        self,
        setting: int | Literal["auto"],
        *,
        use: Callable[[], Use | None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``use``: what the cores did since the last call; measured by default."""
        auto = setting in ("auto", 0)
        self.most = len(allowed_cores()) if auto else int(setting)
        self.count = self.most
        self._adapts = auto and self.most > 1
        self._use, self._clock = use or Watch().look, clock
        self._threads = Threads(2, self._apply, use=use, clock=clock)  # 2 stands for all
        self._due = clock() + LOOK_SECONDS
        self._looked = False

    def _apply(self, count: int) -> None:
        self.count = 1 if count == 1 else self.most

    def after(self, tree: int) -> int | None:
        """Another number from the next tree on; None where it stays."""
        now = self._clock()
        if not self._adapts or now < self._due:
            return None
        self._due = now + LOOK_SECONDS
        before = self.count
        if self._looked:
            self._threads.look(tree, now)
        else:
            self._begin()
        return self.count if self.count != before else None

    def _begin(self) -> None:
        """With one thread where others were busy while the rows were made ready: a trial beside them could take seconds."""
        self._looked = True
        use = self._use()
        if use is not None and use.contended:
            self._threads.begin(1)
            self._apply(1)
