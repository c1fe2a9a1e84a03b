"""Whole runs at the same time: on SQLite with one temporary server, and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.crowd import champions_missing, lost_metrics, make_projects, run_all

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("on", ["sqlite", "postgresql"])
def test_runs_at_the_same_time_lose_nothing(
    on: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on == "postgresql":
        request.getfixturevalue("setting")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names = make_projects(tmp_path, 2)
    reports, servers, output = run_all(tmp_path, names)
    assert all(one.get("decision", {}).get("promoted") for one in reports), output
    assert servers == 1
    assert "database is locked" not in output
    lost, total = lost_metrics(tmp_path, reports)
    assert (lost, champions_missing(tmp_path, names)) == (0, 0)
    assert total > 0
    assert (tmp_path / "mlruns" / "mlflow.db").exists() == (on == "sqlite")
