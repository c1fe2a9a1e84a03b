"""The first stage: everything that must be true of the rows before anything is trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from headway.data.checks import Finding, check_columns, check_leaks, check_overlap, check_shares
from headway.data.documents import Examined as Looked
from headway.data.documents import check_documents
from headway.data.known import profile_known
from headway.data.profile import Profile, profile_table
from headway.data.source import Table
from headway.data.split import Division
from headway.files.records import Record
from headway.pipeline.runs import documents_of
from headway.project import Project
from headway.quality import judge as quality
from headway.quality.page import page
from headway.run.report import Reporter


@dataclass(frozen=True)
class Source(Record):
    """data.json: which rows, or documents, these were."""

    digest: str
    rows: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Validation(Record):
    """validation.json: what was found. ``expectations``: the verdicts on them, None where there can be none; ``bytes``: of documents."""

    summary: str
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    source: Source
    expectations: quality.Verdict | None = None
    bytes: int | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing stops the run."""
        return not self.failures

    def to_json(self) -> dict[str, object]:
        """With the source's fields among its own."""
        kept = {name: value for name, value in super().to_json().items() if name != "source"}
        return {"passed": self.passed, **kept, "expectations": kept["expectations"] or [], **self.source.to_json()}


@dataclass(frozen=True)
class Examined:
    """What was found, in people's words and as files."""

    project: str
    table: Table
    profile: Profile
    findings: tuple[Finding, ...]
    verdict: quality.Verdict
    documents: Looked | None = None

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
        held, count = sum(r.passed for r in self.verdict.results), len(self.verdict.results)
        every = "its expectation holds" if count == 1 else f"all {count} expectations hold"
        holding = "" if not count else f", {every}" if held == count else f", {held} of {count} expectations hold"
        if self.documents is None:
            return f"{self.profile.rows:,} rows, {len(self.table.kinds)} features{holding}"
        number, size = self.documents.count, self.documents.bytes
        return f"{number:,} document{'s' if number != 1 else ''}, {size / 1e6:,.1f} MB of text{holding}"

    def page(self) -> str:
        """The rules and what is found beside them, as a page that needs no network."""
        findings = [
            {"passed": False, "severity": f.severity, "sentence": f.text, "name": f.column or "rows"}
            for f in self.findings
        ]
        return page(
            f"Validation of {self.project}", [*findings, *(result.to_json() for result in self.verdict.results)]
        )

    @property
    def validation(self) -> Validation:
        """What validation.json holds."""
        files = tuple(PurePath(file).name for file in self.table.files)
        source = Source(self.table.digest, self.profile.rows, files)
        size = None if self.documents is None else self.documents.bytes
        return Validation(self.summary, tuple(self.failures), tuple(self.warnings), source, self.verdict, size)


def examine(project: Project, table: Table, report: Reporter, root: Path | None = None) -> Examined:
    """Look at the rows in a few streaming passes. Raises DataError where they cannot even be read.

    With ``root``, files that were profiled before are not profiled again, and the new ones' profiles are kept.
    """
    quality.check(project.validation.expectations, table.present)
    report.progress(0.05, "profiling")
    alone = root is None or table.is_text  # a profile a file would be a file a document
    profile = profile_table(table) if alone else profile_known(table, root, root / "data" / "prepared" / "profiles")
    findings, documents = check_columns(profile, table, project.data, project.task), None
    if not any(f.severity == "stop" for f in findings):
        report.progress(0.4, "looking for leaks and overlap")
        if table.targets:
            findings += _of_rows(project, table)
        else:
            characters = project.prepare.tokens.tokenizer == "characters"
            documents = check_documents(documents_of(project, table), project.validation, characters)
            findings += documents.findings
    report.progress(0.6, "judging the expectations")
    verdict = quality.judge(project.validation.expectations, table, project.name)
    return Examined(project.name, table, profile, tuple(findings), verdict, documents)


def _of_rows(project: Project, table: Table) -> list[Finding]:
    """Leaks, test rows among training rows, and parts of other sizes than was asked for."""
    division = Division(table, project.split)
    findings = check_leaks(table, division.parts, project.validation)
    if not division.equal_rows_stay_together:
        findings += check_overlap(table, division.parts, project.validation)
    return findings + check_shares(division)
