from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from headway import tracking
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from tests.tracking.tracked import PLAN


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised database: making one takes seconds, copying it does not."""
    root = tmp_path_factory.mktemp("empty")
    tracking.open_store(root)
    database = root / "mlruns" / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database


@pytest.fixture
def run(tmp_path: Path, empty_store: Path) -> RunDirectory:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    own = RunDirectory.create(tmp_path, "loans", PLAN)
    write_json(own.path / "data.json", {"digest": "d" * 64, "rows": 1000, "files": ["loans.parquet"]})
    return own
