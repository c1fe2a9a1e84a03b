"""Backup and restore: what comes back is what was there, and nothing is overwritten."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path

import pytest
from mlflow import MlflowClient

from headway.errors import ConfigError
from headway.server.backup import backup
from headway.server.restore import restore
from headway.tracking.addresses import tracking_uri
from headway.tracking.experiments import experiment_of
from headway.tracking.store import open_store


@pytest.fixture
def full(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a run that has a metric and an artifact; Prefect's database is a stand-in."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (root / "conf" / "flowers.yaml").write_text("task: classification\n")
    client = open_store(root)
    run = client.create_run(experiment_of(client, root, "flowers")).info.run_id
    client.log_metric(run, "auc", 0.75)
    client.log_text(run, "hello", "note.txt")
    return root


def read_back(root: Path) -> tuple[float, str]:
    client = MlflowClient(tracking_uri(root))
    experiment = client.get_experiment_by_name("flowers")
    run = client.search_runs([experiment.experiment_id])[0]
    assert str(root) in run.info.artifact_uri
    return run.data.metrics["auc"], Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text()


def empty(tmp_path: Path) -> Path:
    other = tmp_path / "other"
    other.mkdir()
    return other


def test_a_backup_comes_back_in_another_folder(full: Path, tmp_path: Path) -> None:
    archive = backup(full, str(tmp_path / "kept") + "/")
    with tarfile.open(archive.file) as tar:
        names = tar.getnames()
        content = tar.extractfile("manifest.json")
        assert content is not None
        assert json.load(content)["database"] == "sqlite"
    assert {"manifest.json", "databases/mlflow.db", "conf/flowers.yaml"} < set(names)
    assert "not HEADWAY_AUTH" in archive.what
    assert Path(archive.file).stat().st_mode & 0o777 == 0o600
    other = empty(tmp_path)
    restore(archive.file, other)
    assert (other / "mlruns" / "mlflow.db").stat().st_mode & 0o777 == 0o600
    assert read_back(other) == (0.75, "hello")
    assert (other / "conf" / "flowers.yaml").read_text() == "task: classification\n"
    assert not list(other.glob(".headway*"))
    with pytest.raises(ConfigError, match=r"into an empty project, but .*mlflow.db exists"):
        restore(archive.file, other)


def test_a_backup_is_taken_while_somebody_writes(full: Path, tmp_path: Path) -> None:
    with sqlite3.connect(full / "mlruns" / "mlflow.db") as writer:
        writer.execute("UPDATE metrics SET value = 0.5")  # not committed yet
        archive = backup(full, str(tmp_path / "b.tar"))
        writer.rollback()
    writer.close()
    other = empty(tmp_path)
    restore(archive.file, other)
    assert read_back(other) == (0.75, "hello")


def test_what_cannot_be_kept_or_restored_is_one_line_and_changes_nothing(full: Path, tmp_path: Path) -> None:
    archive = backup(full, str(tmp_path / "b.tar"))
    with pytest.raises(ConfigError, match="must name a new file"):
        backup(full, archive.file)
    other = empty(tmp_path)
    with pytest.raises(ConfigError, match="nothing ran here yet"):
        backup(other, "backups/")
    content = Path(archive.file).read_bytes()
    for part, fact in (
        (content[: len(content) // 2], "must be (a whole backup|an undamaged file)"),
        (b"hello", "must be an undamaged file of headway backup"),
    ):
        (tmp_path / "bad.tar").write_bytes(part)
        with pytest.raises(ConfigError, match=fact):
            restore(str(tmp_path / "bad.tar"), other)
    (other / "conf").mkdir()
    (other / "conf" / "flowers.yaml").write_text("task: regression\n")
    with pytest.raises(ConfigError, match=r"flowers.yaml differs from the backup"):
        restore(archive.file, other)
    assert [p.name for p in other.rglob("*")] == ["conf", "flowers.yaml"]


@pytest.mark.usefixtures("setting")
def test_a_backup_of_postgresql_comes_back(
    root: Path, tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_store(root)
    run = client.create_run(experiment_of(client, root, "flowers")).info.run_id
    client.log_metric(run, "auc", 0.75)
    client.log_text(run, "hello", "note.txt")
    archive = backup(root, str(tmp_path / "b.tar"))
    other = empty(tmp_path)
    with pytest.raises(ConfigError, match="must be empty before a backup is restored"):
        restore(archive.file, other)
    monkeypatch.setenv("HEADWAY_DATABASE", f"{setting}_new")
    restore(archive.file, other)
    assert read_back(other) == (0.75, "hello")
    monkeypatch.delenv("HEADWAY_DATABASE")
    with pytest.raises(ConfigError, match="must be restored into postgresql, but this is sqlite"):
        restore(archive.file, other)
