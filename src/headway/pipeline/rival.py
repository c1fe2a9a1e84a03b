"""Whom a candidate is compared with: the champion, and where that one is damaged, the newest whole one before.

A champion that cannot be compared (another task, target or classes, columns that the data no longer has, damaged files with
no earlier version beside them) is a rival all the same: it stays the champion, unless a person wants it replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.data.learnt_rows import LearntRows
from headway.errors import ConfigError, DamagedError, HeadwayError
from headway.evaluate.gate import replacing
from headway.evaluate.result import Evaluation
from headway.models.description import Description
from headway.run.directory import RunDirectory
from headway.tracking.purpose import Purpose

if TYPE_CHECKING:
    from headway.serve.outcome import Outcome
    from headway.tracking import Holder

UNREADABLE = (HeadwayError, OSError, ValueError, KeyError, TypeError)
"""What comes of reading a bundle whose files are damaged."""


@dataclass(frozen=True)
class Attempt:
    """What came of letting a version predict the candidate's test rows: the file, and what it learnt from; or the ``problem``.

    ``remark``: what people must know of the comparison.
    """

    predictions: Path | None = None
    learnt: LearntRows | None = None
    problem: str | None = None
    damaged: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Rival:
    """``in_charge``: the champion, None where there is none. ``version``: the one that the candidate is compared with, None
    where none can be. ``problem``: why the champion is not it. ``remark``: what people must know of the comparison.
    """

    in_charge: str | None
    version: str | None = None
    predictions: Path | None = None
    learnt: LearntRows | None = None
    problem: str | None = None
    remark: str = ""

    @property
    def warning(self) -> str:
        """One line where the champion cannot be compared, or there is a remark; otherwise empty."""
        if self.problem is None:
            return self.remark
        text = f"the champion, version {self.in_charge}, cannot be compared: {self.problem}"
        instead = (
            ""
            if self.version is None
            else f"compared with version {self.version}, the newest undamaged version before it"
        )
        return "; ".join(part for part in (text, instead, self.remark) if part)


def meet(root: Path, name: str, holder: Holder | None, attempt: Callable[[Holder], Attempt]) -> Rival:
    """The rival, ``holder`` being the champion. ``attempt`` lets a version predict the candidate's test rows."""
    from headway import tracking

    if holder is None:
        return Rival(None)
    own = attempt(holder)
    if own.problem is None:
        return Rival(holder.version, holder.version, own.predictions, own.learnt, remark=own.remark)
    if own.damaged:
        for before in tracking.earlier(root, name, holder.version):
            other = attempt(before)
            if other.problem is None:
                return Rival(holder.version, before.version, other.predictions, other.learnt, own.problem, other.remark)
            if not other.damaged:
                break
    return Rival(holder.version, problem=own.problem)


def attempting(
    project: Mapping[str, Any],
    holder: Holder | None,
    before: Callable[[Path], Attempt] | None,
    now: Callable[[str, Path], Attempt],
) -> Callable[[Holder], Attempt]:
    """What lets a version of ``project`` predict, unless something speaks against it, for `meet`.

    ``before``: how the champion, ``holder``, fared where it has predicted already. ``now`` lets a version with its bundle predict.
    """

    def attempt(one: Holder) -> Attempt:
        against = look(one, project)
        if against is not None:
            return against
        assert one.bundle is not None
        return before(one.bundle) if one is holder and before is not None else now(one.version, one.bundle)

    return attempt


def look(holder: Holder, project: Mapping[str, Any]) -> Attempt | None:
    """What speaks against a version before it predicts: damaged files, or that it predicts something else. None where nothing does."""
    if holder.bundle is None:
        return Attempt(problem=holder.problem, damaged=True)
    try:
        other, own = Purpose.of_bundle(Description.of(holder.bundle)), Purpose.of(project)
    except (OSError, DamagedError) as error:
        return damaged(holder.bundle, error)
    except ConfigError as error:
        return Attempt(problem=str(error), damaged=not (holder.bundle / "bundle.json").exists())
    if own.differs(other):
        return Attempt(problem=f"it predicts {other.text}, the candidate {own.text}")
    return None


def attempted(bundle: Path, predictions: Path, outcome: Outcome) -> Attempt:
    """What came of it, ``outcome`` being what the fresh process said."""
    if outcome.problem is not None:
        return Attempt(problem=outcome.problem, damaged=outcome.damaged)
    try:
        return Attempt(predictions, LearntRows.read(bundle))
    except UNREADABLE as error:
        return damaged(bundle, error)


def damaged(bundle: Path, error: Exception) -> Attempt:
    """A version whose files cannot be read."""
    own = isinstance(error, HeadwayError)
    problem = str(error) if own else f"its files in {bundle} are damaged ({type(error).__name__}: {error})"
    return Attempt(problem=problem.splitlines()[0], damaged=True)


def without_champion(evaluation: Evaluation, rival: Rival) -> Evaluation:
    """With which version is the champion, before the rival is measured."""
    undefined = {name: reasons for name, reasons in evaluation.undefined.items() if name != "champion"}
    return replace(
        evaluation,
        undefined=undefined,
        champion=None,
        in_charge=rival.in_charge,
        champion_problem=rival.problem,
        rival=rival.warning,
    )


def compared(evaluation: Evaluation) -> Evaluation:
    """The evaluation, with no champion where an earlier version of this code made it: then the comparison is made again."""
    return evaluation if evaluation.rival is not None else without_champion(evaluation, Rival(None))


def overtaken(before: str | None, holder: Holder | None) -> str:
    """Said where another version is the champion than the one that was compared with."""
    first = "no version was champion" if before is None else f"version {before} was champion"
    now = (
        "none is now: judged as a first model" if holder is None else f"version {holder.version} is now: compared again"
    )
    return f"when this model was evaluated, {first}, and {now}"


def is_barred(run: RunDirectory, evaluation: Evaluation) -> bool:
    """Whether the champion cannot be compared, without a request to replace it (`--replace-champion`, kept in run.json)."""
    incomparable = evaluation.in_charge is not None and evaluation.champion is None
    return incomparable and not run.plan.get("replace_champion", False)


def note_of(evaluation: Evaluation) -> str:
    """What a decision says beside its numbers: which rows were left out, and which version could not be compared."""
    if evaluation.champion is None:
        return replacing(evaluation.in_charge, evaluation.champion_problem)
    return "; ".join(text for text in (evaluation.champion.why, evaluation.rival) if text)
