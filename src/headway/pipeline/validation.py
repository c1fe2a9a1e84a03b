"""The first stage: everything that must be true of the rows before anything is trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from headway.data.checks import Finding, check_columns, check_leaks, check_overlap, check_shares
from headway.data.known import profile_known
from headway.data.profile import Profile, profile_table
from headway.data.source import Table
from headway.data.split import Division
from headway.project import Project
from headway.quality import judge as quality
from headway.run.report import Reporter


@dataclass(frozen=True)
class Examined:
    """What was found, in people's words and as files."""

    project: str
    table: Table
    profile: Profile
    findings: tuple[Finding, ...]
    verdict: quality.Verdict

    @property
    def failures(self) -> list[str]:
        """What stops a run: one line each."""
        judged = [r.sentence for r in self.verdict.results if not r.passed and r.severity == "stop"]
        return [f.text for f in self.findings if f.severity == "stop"] + judged

    @property
    def warnings(self) -> list[str]:
        """What is worth knowing: one line each."""
        judged = [r.sentence for r in self.verdict.results if not r.passed and r.severity == "warn"]
        return [f.text for f in self.findings if f.severity == "warn"] + judged

    @property
    def summary(self) -> str:
        """One line on data that passed."""
        held = sum(r.passed for r in self.verdict.results)
        count = len(self.verdict.results)
        holding = "" if not count else f", {'all ' if held == count else f'{held} of '}{count} expectations hold"
        return f"{self.profile.rows:,} rows, {len(self.table.kinds)} features{holding}"

    @property
    def data(self) -> dict[str, Any]:
        """Which rows these were."""
        files = [PurePath(file).name for file in self.table.files]
        return {"digest": self.table.digest, "rows": self.profile.rows, "files": files}

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "passed": not self.failures,
            "summary": self.summary,
            "failures": self.failures,
            "warnings": self.warnings,
            "expectations": self.verdict.to_json(),
            **self.data,
        }


def examine(project: Project, table: Table, report: Reporter, root: Path | None = None) -> Examined:
    """Look at the rows in a few streaming passes. Raises DataError where they cannot even be read.

    With ``root``, files that were profiled before are not profiled again, and the new ones' profiles are kept.
    """
    quality.check(project.validation.expectations, table.present)
    report.progress(0.05, "profiling")
    profile = (
        profile_table(table) if root is None else profile_known(table, root, root / "data" / "prepared" / "profiles")
    )
    findings = check_columns(profile, table, project.data, project.task)
    if not any(f.severity == "stop" for f in findings):
        report.progress(0.4, "looking for leaks and overlap")
        division = Division(table, project.split)
        findings = [*findings, *check_leaks(table, division.parts, project.validation)]
        if not division.equal_rows_stay_together:
            findings += check_overlap(table, division.parts, project.validation)
        findings += check_shares(division)
    report.progress(0.6, "judging the expectations")
    verdict = quality.judge(project.validation.expectations, table, project.name)
    return Examined(project.name, table, profile, tuple(findings), verdict)
