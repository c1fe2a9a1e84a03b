"""Look at everything in a project's folder, and mend what can be mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.doctor import databases, leftovers, models, runs, stores
from headway.doctor.finding import Finding
from headway.errors import HeadwayError
from headway.files.disk import disk_error

CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (
    databases.examine,
    leftovers.examine,
    models.examine,
    runs.examine,
    stores.examine,
)
"""In this order: what MLflow keeps can mend what lies in the runs, and needs its database."""

ROUNDS = 6
"""One thing mended may show, or make possible, the next: a database before the models in it."""


@dataclass(frozen=True)
class Report:
    """What was mended, each with its finding, and what is still wrong."""

    mended: tuple[Finding, ...]
    left: tuple[Finding, ...]

    def sentence(self, is_applied: bool) -> str:
        """The sum, and what to do next."""
        if not self.left:
            return f"mended {len(self.mended)}; nothing else is wrong" if self.mended else "nothing is wrong"
        if is_applied:
            return f"mended {len(self.mended)}; {len(self.left)} left, which only a person can mend"
        can = sum(one.mend is not None for one in self.left)
        return f"{len(self.left)} found; nothing was changed: headway doctor --apply mends {can} of them"

    def to_json(self, root: Path) -> dict[str, list[dict[str, str]]]:
        """As `headway doctor --json` prints it."""

        def rows(findings: Sequence[Finding]) -> list[dict[str, str]]:
            return [
                {"where": str(one.where), "what": one.what, "fix": one.fix, "line": one.line(root)} for one in findings
            ]

        return {"mended": rows(self.mended), "left": rows(self.left)}


def examine(root: Path) -> list[Finding]:
    """All that is wrong. Nothing is changed. A part that cannot be looked at is a finding, too."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings.extend(check(root))
        except Exception as error:  # one damage that nobody thought of must not hide all the others
            findings.append(Finding(f"cannot be examined: {_first(error, root)}", root, "mend that first"))
    return list({(one.where, one.what): one for one in findings}.values())


def mend(root: Path) -> Report:
    """Mend what can be mended, until nothing more comes up."""
    mended: dict[tuple[Path, str], Finding] = {}
    failed: dict[tuple[Path, str], Finding] = {}
    for _ in range(ROUNDS):
        findings = examine(root)
        todo = [one for one in findings if one.mend is not None and (one.where, one.what) not in failed]
        if not todo:
            break
        for one in [one for one in todo if one.is_first] or todo:
            key = one.where, one.what
            problem = _mend(one)
            if problem is None and key not in mended:
                mended[key] = one
            else:  # done, and found again: doing it once more would not help
                said = f"could not be mended: {problem}" if problem else "is found again after it was mended"
                failed[key] = Finding(one.what, one.where, said)
    else:
        findings = examine(root)
    left = tuple(failed.get((one.where, one.what), one) for one in findings)
    return Report(tuple(one for key, one in mended.items() if key not in failed), left)


def _mend(one: Finding) -> str | None:
    """Why it did not work; None where it did."""
    assert one.mend is not None
    try:
        one.mend()
    except Exception as error:
        return _first(error, one.where)
    return None


def _first(error: Exception, where: Path) -> str:
    error = disk_error(error, where) or error
    kind = "" if isinstance(error, HeadwayError | OSError) else f"{type(error).__name__}: "
    return kind + next(iter(str(error).splitlines()), type(error).__name__)
