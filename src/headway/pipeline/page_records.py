"""The records of a run's folder, as its page needs them. What is missing or damaged is left out, and named."""

from __future__ import annotations

import calendar
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headway.columns import column_types
from headway.evaluate.decision import Decision
from headway.evaluate.result import Evaluation
from headway.files.atomic import read_or_empty
from headway.files.records import Record
from headway.pipeline.runs import Prepared
from headway.pipeline.validation import Source
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.run.result import Result
from headway.tracking.record import Tracking

LARGEST_PROFILE = 16 << 20
"""Bytes of a profile that is read for the period of the rows; of wide tables it takes longer than all the rest."""


@dataclass(frozen=True)
class _Verdict(Record):
    name: str
    sentence: str
    passed: bool
    severity: str = "stop"


@dataclass(frozen=True)
class _Verdicts(Record):
    results: tuple[_Verdict, ...] = ()


@dataclass(frozen=True)
class Checks(Record):
    """validation.json without what only programs need; ``expectations`` is empty where none are stated."""

    summary: str = ""
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    expectations: _Verdicts | tuple[()] = ()
    bytes: int | None = None

    @property
    def verdicts(self) -> tuple[_Verdict, ...]:
        """Those on the expectations."""
        return self.expectations.results if isinstance(self.expectations, _Verdicts) else ()


@dataclass(frozen=True)
class Records:
    """``stages``: seconds of each; ``problem``: why the run ended without a decision, and ``status`` how: FAILED or KILLED.

    ``missing``: one line for each record that a finished stage should have left.
    """

    run: RunDirectory
    plan: Mapping[str, Any]
    started: float
    stages: Mapping[str, float]
    checks: Checks | None
    source: Source | None
    prepared: Prepared | None
    result: Result | None
    evaluation: Evaluation | None
    decision: Decision | None
    status: str
    problem: str
    links: Mapping[str, str]
    missing: tuple[str, ...] = ()

    @property
    def project(self) -> Mapping[str, Any]:
        """The resolved project."""
        return self.plan["project"]

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the project; empty where the run's version had none."""
        return self.project.get(name) or {}


def records_of(run: RunDirectory, problem: str = "", status: str = "FAILED") -> Records:
    """What a run's folder holds. ``problem``: of a run that ends now; otherwise it is read.

    Raises OSError or DamagedError where there is no run.json: nothing can be said of the run.
    """
    plan = run.plan
    tracking = Tracking.read_if_whole(run.path / "tracking.json")
    ending = None if tracking is None else tracking.ending
    if not problem and ending is not None and ending.problem:
        problem, status = ending.problem, ending.status
    elif not problem:
        status = "RUNNING" if lifetime.lives(run.path) else ""
    records = Records(
        run=run,
        plan=plan,
        started=tracking.opening.time if tracking is not None else _started(run),
        stages={k: float(v) for k, v in read_or_empty(run.path / "stages.json").items() if isinstance(v, int | float)},
        checks=Checks.read_if_whole(run.path / "validation.json"),
        source=Source.read_if_whole(run.path / "data.json"),
        prepared=Prepared.read_if_whole(run.path / "store.json"),
        result=run.result,
        evaluation=Evaluation.read_if_whole(run.path / "evaluation.json"),
        decision=Decision.read_if_whole(run.path / "decision.json"),
        status=status,
        problem=problem,
        links=_links(run, tracking),
    )
    return replace(records, missing=tuple(_missing(records)))


def _started(run: RunDirectory) -> float:
    """By the time in the folder's name, otherwise by the age of run.json."""
    with contextlib.suppress(ValueError):
        stamp = "-".join(run.path.name.split("-")[-2:])
        return float(calendar.timegm(time.strptime(stamp, "%Y%m%d-%H%M%SZ")))
    return (run.path / "run.json").stat().st_mtime


def _links(run: RunDirectory, tracking: Tracking | None) -> dict[str, str]:
    """The pages of the run that have an address of their own."""
    addresses = {
        "the run in MLflow": None if tracking is None else tracking.ui,
        "the run in Prefect": read_or_empty(run.path / "flow.json").get("url"),
    }
    return {name: str(address) for name, address in addresses.items() if address}


def _missing(records: Records) -> list[str]:
    """What later stages show must have been there."""
    needs: Mapping[str, tuple[object, bool]] = {
        "validation.json": (records.checks, "validate" in records.stages and not records.problem),
        "data.json": (records.source, "prepare" in records.stages),
        "store.json": (records.prepared, "train" in records.stages),
        "result.json": (records.result, "evaluate" in records.stages),
        "evaluation.json": (records.evaluation, "register" in records.stages),
        "stages.json": (records.stages or None, records.decision is not None),
    }
    names = [name for name, (record, is_due) in needs.items() if record is None and is_due]
    return [f"{', '.join(names)} missing or damaged, so this page does not show everything"] if names else []


def period_of(records: Records) -> tuple[float, float] | None:
    """The first and the last moment of the date columns in the profile, in seconds since 1970; None where there are none."""
    moments = {name for name, one in column_types().items() if one.is_time}
    dates = [name for name, kind in (records.section("data").get("features") or {}).items() if kind in moments]
    path = records.run.path / "profile.json"
    if not dates or not path.exists() or path.stat().st_size > LARGEST_PROFILE:
        return None
    columns = read_or_empty(path).get("columns", {})
    split = records.section("split").get("column")
    names = [name for name in ([split] if split in dates else dates) if name in columns]
    ends = [(columns[name].get("min"), columns[name].get("max")) for name in names]
    whole = [(low, high) for low, high in ends if isinstance(low, int | float) and isinstance(high, int | float)]
    return (min(low for low, _ in whole), max(high for _, high in whole)) if whole else None
