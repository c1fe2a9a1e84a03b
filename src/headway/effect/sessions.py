"""Sessions of a study: which comparisons the budget allows, side by side, and what they give, kept in the notebook."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from headway.effect.lab import PAIR_SECONDS, WARM_UP_SECONDS, Bench
from headway.effect.looks import LOOKS, SESSION
from headway.effect.notebook import Notebook
from headway.effect.station import Answer, Unsupported
from headway.effect.together import Session, share_a_process, starts_slowly

READY_SHARE = 0.15
"""Share of the budget that a variant may take to be ready; compiling takes minutes."""

SLOW_SECONDS = {"step": 40.0, "prediction": 25.0}
"""About how long a first look at a compiled variant takes: a prediction has no backward pass."""


Say = Callable[[float, str], None]

Comparison = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Two variants."""


class Sessions:
    """Measures comparisons on a bench. ``budget``: the study's, in seconds; ``say`` is called with its share that is spent, and a text."""

    def __init__(self, bench: Bench, book: Notebook, budget: float, say: Say) -> None:
        self._bench, self._book, self._budget, self._say = bench, book, budget, say

    def over(self, share: float) -> bool:
        """Whether this share of the budget is spent."""
        return self._book.seconds >= share * self._budget

    def tell(self, text: str) -> None:
        """Say with what the study is occupied."""
        self._say(min(1.0, self._book.seconds / self._budget), text)

    def ask(self, key: str, variant: Mapping[str, Any], what: str, **values: Any) -> Answer | None:
        """An answer, from the notebook or, where it has none, from a process; None where the variant fails."""
        if self._book.answer(key) is None and self._book.failure(key) is None:
            self.tell(key)
            start = time.perf_counter()
            try:
                answer = self._bench.ask(variant, what, **values)
            except Unsupported as error:
                self._book.add_failure(key, str(error), time.perf_counter() - start)
            else:
                self._book.add_answer(key, answer, time.perf_counter() - start)
        return self._book.answer(key)

    def look(self, comparisons: Mapping[str, Comparison], look: int, share: float) -> None:
        """Bring comparisons to a look, a session of each in turn, until ``share`` of the budget is spent.

        A session of each in turn, because the machine's other load changes from minute to minute, and some ratios with it.
        Where there is no time for all, the first are brought to the look: a few settled ones are worth more than all unsettled.
        """
        comparisons = self._affordable(comparisons, look, share)
        for number in range(LOOKS[look - 1] if look else 0, LOOKS[look]):
            missing = {key: pair for key, pair in comparisons.items() if len(self._book.sessions(key)) <= number}
            for together in sessions_of(missing):
                if self.over(share):
                    return
                self.session({key: missing[key] for key in together})

    def _affordable(self, comparisons: Mapping[str, Comparison], look: int, share: float) -> dict[str, Comparison]:
        """The first comparisons that can be brought to a look before ``share`` of the budget is spent. The very first is in any case among
        them, unless it starts slowly and others were measured."""
        rest, chosen_ones = share * self._budget - self._book.seconds, {}
        for key, comparison in comparisons.items():
            rest -= self.session_seconds(key, comparison[1]) * max(0, LOOKS[look] - len(self._book.sessions(key)))
            if rest < 0 and (chosen_ones or (starts_slowly(comparison[1]) and self._book.comparisons())):
                break
            chosen_ones[key] = comparison
        return chosen_ones

    def session_seconds(self, key: str, second: Mapping[str, Any]) -> float:
        """How long a session of a comparison takes: as its own earlier ones, or those of the others, or half of a pair's time."""
        own = self._book.sessions(key)
        if not own and starts_slowly(second):
            return SLOW_SECONDS.get(second["measure"], SLOW_SECONDS["step"]) / LOOKS[0]
        others = [session for other in self._book.comparisons() for session in self._book.sessions(other)]
        sessions = own[-2:] or others
        return sum(s.seconds for s in sessions) / len(sessions) if sessions else PAIR_SECONDS / 2 + WARM_UP_SECONDS

    def session(self, comparisons: Mapping[str, Comparison]) -> None:
        """One session of comparisons that have their first variant in common."""
        comparisons = {key: pair for key, pair in comparisons.items() if self._book.failure(key) is None}
        if not comparisons:
            return
        self.tell(next(iter(comparisons)) + (f" and {len(comparisons) - 1} more" if len(comparisons) > 1 else ""))
        start = time.perf_counter()
        swapped = len(self._book.sessions(next(iter(comparisons)))) % 2 == 1
        first = next(first for first, _ in comparisons.values())
        limit = max(20.0, READY_SHARE * self._budget)
        seconds = {key: second for key, (_, second) in comparisons.items()}
        answers: dict[str, Session | Unsupported]
        try:
            answers = self._bench.compare_all(first, seconds, SESSION, limit, swapped=swapped)
        except Unsupported as error:
            answers = dict.fromkeys(comparisons, error)
        overhead = time.perf_counter() - start - sum(s.seconds for s in answers.values() if isinstance(s, Session))
        for key, answer in answers.items():
            if isinstance(answer, Session):
                self._book.add_session(key, answer)
            else:
                self._book.add_failure(key, str(answer), max(0.0, overhead))
                overhead = 0.0


def sessions_of(comparisons: Mapping[str, Comparison]) -> list[list[str]]:
    """The keys of comparisons by session: those of one first variant that share its process, and those that do not.

    Variants with a process of their own are compared with a baseline that is alone, too: memory that companions leave in a process makes
    its steps faster. Those that start slowly have sessions of their own, so that the others do not wait.
    """
    groups: dict[str, list[str]] = {}
    for key, (first, second) in comparisons.items():
        slow = second["measure"] == "step" and starts_slowly(second)
        way = "shared" if share_a_process(first, second) else "slow" if slow else "own"
        groups.setdefault(json.dumps([first, way], sort_keys=True), []).append(key)
    return list(groups.values())
