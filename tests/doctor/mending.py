"""What the tests of `headway doctor` share: its lines, a repair that leaves nothing, a database with nothing open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from headway.doctor import main as doctor
from headway.tracking.store import let_go
from tests.support.whole_project import WholeProject


def lines_of(project: WholeProject) -> list[str]:
    return [one.line(project.root) for one in doctor.examine(project.root)]


def assert_mended(project: WholeProject, name: str) -> doctor.Report:
    """The doctor names the damage, repairs it, and finds nothing afterwards."""
    assert any(name in line for line in lines_of(project)), lines_of(project)
    report = doctor.mend(project.root)
    assert report.left == (), [one.line(project.root) for one in report.left]
    return report


def settled(project: WholeProject) -> Path:
    """mlflow.db with everything in it, and nothing open."""
    let_go(project.root)
    path = project.root / "mlruns" / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path
