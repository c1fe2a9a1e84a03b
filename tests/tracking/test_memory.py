"""What an alias stands for is looked up without MLflow until its database changes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from headway import tracking
from headway.errors import DamagedError
from headway.run.directory import RunDirectory
from headway.tracking import registry
from headway.tracking.memory import SETTLED_SECONDS
from tests.support.deciding import decide
from tests.tracking.tracked import PLAN, pretend_bundle

FIRST = {"promoted": True, "reason": "first"}


def charge(root: Path, run: RunDirectory) -> str:
    """A run's bundle as the champion."""
    pretend_bundle(run)
    tracking.begin(run, root, {}, "mlp", "")
    version = tracking.register(run, root, "loans", pd.DataFrame({"age": [30], "job": ["cook"]}))
    decide(root, "loans", version, FIRST)
    time.sleep(2 * SETTLED_SECONDS)
    return version


def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "reading", lambda *_: pytest.fail("MLflow was asked"))


def test_the_champion_is_known_without_mlflow_after_it_was_looked_up_and_in_a_moved_folder(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert charge(tmp_path, run) == "1"
    version = tracking.version_of(tmp_path, "loans")
    without_mlflow(monkeypatch)
    assert tracking.version_of(tmp_path, "loans") == version
    with pytest.raises(pytest.fail.Exception, match="MLflow was asked"):
        tracking.version_of(tmp_path, "loans", "1")
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(tmp_path / "mlruns", moved)
    shutil.move(tmp_path / "data", moved)
    assert tracking.version_of(moved, "loans").bundle == moved / version.bundle.relative_to(tmp_path)


def test_a_new_champion_is_seen_at_once(run: RunDirectory, tmp_path: Path) -> None:
    charge(tmp_path, run)
    tracking.remember_champion(tmp_path, "loans")
    charge(tmp_path, RunDirectory.create(tmp_path, "loans", PLAN))
    assert tracking.version_of(tmp_path, "loans").version == "2"
    tracking.open_store(tmp_path).set_registered_model_alias("loans", "champion", "1")  # by hand, in MLflow
    assert tracking.version_of(tmp_path, "loans").version == "1"


def test_a_bundle_that_was_damaged_since_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    charge(tmp_path, run)
    bundle = tracking.version_of(tmp_path, "loans").bundle
    (bundle / "bundle.json").unlink()
    with pytest.raises(DamagedError, match="loans version 1 must be undamaged"):
        tracking.version_of(tmp_path, "loans")


def test_a_decision_that_is_being_carried_out_is_not_kept(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(tmp_path, run)
    monkeypatch.setattr(registry.intent, "intent_of", lambda _: object())
    monkeypatch.setattr(registry.intent, "recover", lambda *_: None)
    tracking.version_of(tmp_path, "loans")
    without_mlflow(monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="MLflow was asked"):
        tracking.version_of(tmp_path, "loans")
