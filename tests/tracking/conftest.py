from __future__ import annotations

from pathlib import Path

import pytest
from tracked import PLAN

from headway.base import write_json
from headway.run import RunDirectory


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = RunDirectory.create(tmp_path, "loans", PLAN)
    write_json(made.path / "data.json", {"digest": "d" * 64, "rows": 1000, "files": ["loans.parquet"]})
    return made
