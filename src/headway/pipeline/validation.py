"""The first stage: the checks that the rows must pass before a model is trained on them."""

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
from headway.errors import DataError
from headway.files.records import Record
from headway.pipeline.refusals import refuse_unfit
from headway.pipeline.runs import documents_of, table_of
from headway.project import Project
from headway.quality import judge as quality
from headway.quality.page import Entry, page
from headway.run.report import Reporter


@dataclass(frozen=True)
class Source(Record):
    """data.json: which rows, or documents, were validated."""

    digest: str
    rows: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Validation(Record):
    """validation.json: the findings. ``expectations``: their verdicts; ``bytes``: of documents."""

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
        values = {name: value for name, value in super().to_json().items() if name != "source"}
        return {"passed": self.passed, **values, "expectations": values["expectations"] or [], **self.source.to_json()}


@dataclass(frozen=True)
class Examined:
    """The result of a validation, in words and as files."""

    project: str
    table: Table
    profile: Profile
    findings: tuple[Finding, ...]
    verdict: quality.Verdict
    documents: Looked | None = None

    @property
    def failures(self) -> list[str]:
        """The findings that stop a run: one line each."""
        sentences = [r.sentence for r in self.verdict.results if not r.passed and r.severity == "stop"]
        return [f.text for f in self.findings if f.severity == "stop"] + sentences

    @property
    def warnings(self) -> list[str]:
        """The warnings: one line each."""
        sentences = [r.sentence for r in self.verdict.results if not r.passed and r.severity == "warn"]
        return [f.text for f in self.findings if f.severity == "warn"] + sentences

    @property
    def summary(self) -> str:
        """One line on data that passed."""
        successes, count = sum(r.passed for r in self.verdict.results), len(self.verdict.results)
        every = "its expectation holds" if count == 1 else f"all {count} expectations hold"
        suffix = (
            "" if not count else f", {every}" if successes == count else f", {successes} of {count} expectations hold"
        )
        if self.documents is None:
            return f"{self.profile.rows:,} rows, {len(self.table.kinds)} features{suffix}"
        number, size = self.documents.count, self.documents.bytes
        return f"{number:,} document{'s' if number != 1 else ''}, {size / 1e6:,.1f} MB of text{suffix}"

    def page(self) -> str:
        """The rules and the other findings, as a page that needs no network."""
        findings = [Entry(False, f.severity, f.text, f.column or "rows") for f in self.findings]
        rules = [Entry(r.passed, r.severity, r.sentence, r.name) for r in self.verdict.results]
        return page(f"Validation of {self.project}", [*findings, *rules])

    @property
    def validation(self) -> Validation:
        """The content of validation.json."""
        files = tuple(PurePath(file).name for file in self.table.files)
        source = Source(self.table.digest, self.profile.rows, files)
        size = None if self.documents is None else self.documents.bytes
        return Validation(self.summary, tuple(self.failures), tuple(self.warnings), source, self.verdict, size)


def examine(project: Project, table: Table, report: Reporter, root: Path | None = None) -> Examined:
    """Check the rows in a few streaming passes. Raises DataError where they cannot be read.

    With ``root``, files that were profiled before are not profiled again, and the new ones' profiles are kept.
    """
    quality.check(project.validation.expectations, table.present)
    report.progress(0.05, "profiling")
    alone = root is None or table.is_text  # for documents, a profile of each file would be useless
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


def refuse(project: Project, root: Path) -> None:
    """Raise what `examine` raises, and DataError for what stops a run, without the expectations."""
    table = table_of(project, root)
    findings = check_columns(profile_table(table), table, project.data, project.task)
    if not any(f.severity == "stop" for f in findings):
        findings += _of_rows(project, table)
    if failures := [f.text for f in findings if f.severity == "stop"]:
        raise DataError("\n".join(failures))


def _of_rows(project: Project, table: Table) -> list[Finding]:
    """Leaks, test rows among training rows, and parts of the wrong size."""
    division = Division(table, project.split)
    refuse_unfit(project, table, division)
    moment = project.split.column if project.split.by == "time" else None
    findings = check_leaks(table, division.parts, project.validation, (moment, *project.data.late))
    if not division.equal_rows_stay_together:
        findings += check_overlap(table, division.parts, project.validation)
    return findings + check_shares(division)
