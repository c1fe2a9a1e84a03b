"""Examine everything in a project's folder, and repair what can be repaired."""

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
"""In this order: MLflow's database comes before its models, and its copies of files before the runs that need them."""

ROUNDS = 6
"""Rounds of examining and repairing: a fault may be visible only after another is repaired, as a model's after its database's."""


@dataclass(frozen=True)
class Report:
    """The findings that were repaired, and those that are left."""

    mended: tuple[Finding, ...]
    left: tuple[Finding, ...]

    def sentence(self, is_applied: bool) -> str:
        """The counts, and what to do next."""
        if not self.left:
            return f"repaired {len(self.mended)}; nothing else is wrong" if self.mended else "nothing is wrong"
        if is_applied:
            return f"repaired {len(self.mended)}; {len(self.left)} left, which only a person can repair"
        can = sum(one.mend is not None for one in self.left)
        return f"{len(self.left)} found; nothing was changed: headway doctor --apply repairs {can} of them"

    def to_json(self, root: Path) -> dict[str, list[dict[str, str]]]:
        """The report of `headway doctor --json`."""

        def rows(findings: Sequence[Finding]) -> list[dict[str, str]]:
            return [
                {"where": str(one.where), "what": one.what, "fix": one.fix, "line": one.line(root)} for one in findings
            ]

        return {"mended": rows(self.mended), "left": rows(self.left)}


def examine(root: Path) -> list[Finding]:
    """All findings; changes nothing. A part that cannot be examined is a finding too."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings.extend(check(root))
        except Exception as error:  # an unexpected error must not hide the other findings
            findings.append(Finding(f"cannot be examined: {_first(error, root)}", root, "repair that first"))
    return list({(one.where, one.what): one for one in findings}.values())


def mend(root: Path) -> Report:
    """Repair what can be repaired, until there is nothing new."""
    repairs: dict[tuple[Path, str], Finding] = {}
    failures: dict[tuple[Path, str], Finding] = {}
    for _ in range(ROUNDS):
        findings = examine(root)
        todo = [one for one in findings if one.mend is not None and (one.where, one.what) not in failures]
        if not todo:
            break
        for one in [one for one in todo if one.is_first] or todo:
            key = one.where, one.what
            problem = _mend(one)
            if problem is None and key not in repairs:
                repairs[key] = one
            else:  # it failed, or is found again: another attempt would not help
                text = f"could not be repaired: {problem}" if problem else "it was repaired, but is damaged again"
                failures[key] = Finding(one.what, one.where, text)
    else:
        findings = examine(root)
    rest = tuple(failures.get((one.where, one.what), one) for one in findings)
    return Report(tuple(one for key, one in repairs.items() if key not in failures), rest)


def _mend(one: Finding) -> str | None:
    """Repair one finding; returns the problem, None where it worked."""
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
