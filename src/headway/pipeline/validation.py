"""The first stage: the checks that the rows must pass before a model is trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from headway.data.checks import (
    Finding,
    check_classes,
    check_columns,
    check_leaks,
    check_overlap,
    check_shares,
    content_columns,
)
from headway.data.config import SPLITS
from headway.data.continuation import Continuation
from headway.data.documents import Examination as DocumentExamination
from headway.data.documents import check_documents
from headway.data.file_profiles import FileProfiles
from headway.data.measure import Metrics
from headway.data.passes import run
from headway.data.periods import ends_of_parts
from headway.data.profile import Profile, Profiler, kinds_of
from headway.data.sample import Sample, sample_rows
from headway.data.source import Table
from headway.data.split import Division
from headway.data.uneven import check_lines
from headway.errors import DataError
from headway.files.records import Record
from headway.pipeline.refusals import refuse_unfit
from headway.pipeline.runs import documents_of, row_cache, table_of
from headway.project import Project
from headway.quality import judge as quality
from headway.quality.page import Entry, page
from headway.quality.statement import columns_judged
from headway.run.report import Reporter


@dataclass(frozen=True)
class Source(Record):
    """data.json: which rows, or documents, were validated. ``periods``: the first and the last moment of each part, of a split by dates."""

    digest: str
    rows: int
    files: tuple[str, ...]
    periods: Mapping[str, tuple[str, str]] = field(default_factory=dict)


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
class Examination:
    """The result of a validation, in words and as files."""

    project: str
    table: Table
    profile: Profile
    findings: tuple[Finding, ...]
    verdict: quality.Verdict
    documents: DocumentExamination | None = None
    periods: Mapping[str, tuple[str, str]] = field(default_factory=dict)

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
        """The expectations and the other findings, as a page that needs no network."""
        findings = [Entry(False, f.severity, f.text, f.column or "rows") for f in self.findings]
        verdicts = [Entry(r.passed, r.severity, r.sentence, r.name) for r in self.verdict.results]
        return page(f"Validation of {self.project}", [*findings, *verdicts])

    @property
    def validation(self) -> Validation:
        """The content of validation.json."""
        files = tuple(PurePath(file).name for file in self.table.files)
        source = Source(self.table.digest, self.profile.rows, files, self.periods)
        size = None if self.documents is None else self.documents.bytes
        return Validation(self.summary, tuple(self.failures), tuple(self.warnings), source, self.verdict, size)


def examine(project: Project, table: Table, report: Reporter, root: Path | None = None) -> Examination:
    """Check the rows, most of it in one pass. Raises DataError where they cannot be read.

    With ``root``, files that were profiled before are not profiled again, and the new ones' profiles are kept.
    """
    quality.check(project.validation.expectations, table.present)
    table = table.carrying(columns_judged(project.validation.expectations))
    report.progress(0.05, "reading the rows")
    judgement = quality.Judgement(project.validation.expectations, table)
    if _size(table) > LARGE:
        judgement.prepare()
    rows = _RowPasses(project, table, root) if table.targets else None
    growing = (judgement.metrics, *(() if rows is None else (rows.sample,)))
    if root is None or table.is_text:  # for documents, a profile of each file would be useless
        profiler = Profiler(kinds_of(table))
        count = run(table, [profiler, *growing, *(() if rows is None else (rows.hashes,))])
        profile = profiler.profile()
    else:
        profile = _examine_new(table, root, growing, rows)
        count = profile.rows
    findings, documents = [*check_lines(table), *check_columns(profile, table, project.data, project.task)], None
    periods: Mapping[str, tuple[str, str]] = {}
    if not any(f.severity == "stop" for f in findings):
        report.progress(0.5, "looking for leaks and overlap")
        if rows is not None:
            findings += rows.findings()
            periods = rows.periods()
        else:
            characters = project.prepare.tokens.tokenizer == "characters"
            documents = check_documents(documents_of(project, table), project.validation, characters)
            findings += documents.findings
    report.progress(0.8, "judging the expectations")
    verdict = judgement.verdict(count, project.name)
    return Examination(project.name, table, profile, tuple(findings), verdict, documents, periods)


def _examine_new(table: Table, root: Path, growing: Sequence[Metrics | Sample], rows: _RowPasses | None) -> Profile:
    """Pass over the files that were not passed over before."""
    continuation = Continuation(table, row_cache(root))
    profiler = FileProfiles(table, root, root / "data" / "prepared" / "profiles", continuation)
    for one in growing:
        one.go_on(continuation)
    run(table, [profiler, *growing, *(() if rows is None else (rows.hashes,))], rows_of=profiler.rows_of)
    profile = profiler.profile()
    for one in (profiler, *growing):
        one.keep(continuation)
    return profile


def refuse(project: Project, root: Path) -> None:
    """Raise what `examine` raises, and DataError for what stops a run, without the expectations."""
    table = table_of(project, root)
    profiler, rows = Profiler(kinds_of(table)), _RowPasses(project, table)
    run(table, [profiler, rows.hashes, rows.sample])
    findings = check_columns(profiler.profile(), table, project.data, project.task)
    if not any(f.severity == "stop" for f in findings):
        findings += rows.findings()
    if failures := [f.text for f in findings if f.severity == "stop"]:
        raise DataError("\n".join(failures))


LARGE = 1 << 26
"""Bytes of files whose reading takes longer than to import Great Expectations, which is then done meanwhile."""


def _size(table: Table) -> int:
    return sum(path.stat().st_size for path in map(Path, table.files) if path.is_file())


class _RowPasses:
    """Leaks, test rows among training rows, and parts or classes of the wrong size, from what passes over the rows keep."""

    def __init__(self, project: Project, table: Table, root: Path | None = None) -> None:
        self._project, self._table = project, table
        plain = Division(table, project.split, cache=None if root is None else row_cache(root))
        content = [] if plain.equal_rows_stay_together else [content_columns(table)]
        self.hashes = plain.hashing(*content)
        self.sample = Sample([*table.kinds, table.target], 2 * sample_rows(len(table.kinds) + 1))
        self._division = Division(table, project.split, self.hashes)

    def findings(self) -> list[Finding]:
        """After the passes."""
        project, table, division = self._project, self._table, self._division
        target, values = refuse_unfit(project, table, division)
        moment = project.split.column if project.split.by == "time" else None
        harmless = (moment, *project.data.late)
        findings = check_leaks(table, division.parts, project.validation, harmless, self.sample)
        if not division.equal_rows_stay_together:
            findings += check_overlap(table, division.parts, project.validation, self.hashes.of(1))
        return findings + check_shares(division) + check_classes(division, target.classes, values)

    def periods(self) -> Mapping[str, tuple[str, str]]:
        """The first and the last moment of each part, after `findings`; none of a split that does not go by dates."""
        if self._project.split.by != "time":
            return {}
        return ends_of_parts(self._division.moments.values, self._division.parts, SPLITS)
