from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from headway import tracking
from headway.cli.commands import main
from headway.columns.number import Number
from headway.data.prepare import Preparation
from headway.data.ready import in_use
from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import write_json
from headway.pipeline import retention
from headway.run.directory import RunDirectory
from headway.tasks import Target

YAML = """task: classification
data: {dataset: breast-cancer, features: {a: numeric}, target: y}
retention: {keep_last: 0}
"""
DAY = 86_400


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("MLFLOW_TRACKING_URI", "HEADWAY_DATABASE"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "loans.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def age(path: Path, days: float) -> None:
    when = time.time() - days * DAY
    for entry in [path, *path.rglob("*")]:
        os.utime(entry, (when, when))


def make(root: Path, days: float, project: str = "loans") -> RunDirectory:
    """A run with all its parts and a prepared store of its own."""
    plan = {"project": {"name": project, "model": {"name": "mlp"}}, "seed": 0}
    run = RunDirectory.create(root, project, plan)
    store = root / "data" / "prepared" / f"{run.path.name}-store"
    write_json(store / "store.json", {})
    write_json(run.path / "store.json", {"path": str(store)})
    for name in ("checkpoints", "bundle", "predictions"):
        (run.path / name).mkdir()
        (run.path / name / "big").write_bytes(b"x" * 1000)
    for path in (run.path, store):
        age(path, days)
    return run


def names(collection: retention.Collection) -> list[str]:
    return sorted(row.what for row in collection.items)


@pytest.mark.parametrize(
    ("days", "going"),
    [
        (1, []),
        (8, ["checkpoints"]),
        (20, ["checkpoints"]),
        (31, ["bundle", "checkpoints", "predictions", "prepared data"]),
    ],
)
def test_each_part_goes_past_its_own_limit_and_not_before(root: Path, days: float, going: list[str]) -> None:
    make(root, days)
    assert names(retention.collect(root, [], False)) == going


def test_a_dry_run_changes_nothing_and_applied_twice_is_as_once(root: Path) -> None:
    run = make(root, 40)
    before = sorted(root.rglob("*"))
    dry = retention.collect(root, [], False)
    assert sorted(root.rglob("*")) == before
    assert dry.bytes >= 3000
    applied = retention.collect(root, [], True)
    assert applied.items == dry.items
    after = sorted(root.rglob("*"))
    assert {p.name for p in run.path.iterdir()} == {"run.json", "store.json"}
    assert list((root / "data" / "prepared").iterdir()) == []
    assert retention.collect(root, [], True).items == ()
    assert sorted(root.rglob("*")) == after


def test_what_one_limit_removes_does_not_make_the_rest_look_new(root: Path) -> None:
    run = make(root, 20)
    retention.collect(root, [], True)
    age(run.bundle / "big", 31)
    for path in run.path.rglob("*"):
        if path.is_file():
            age(path, 31)
    assert "bundle" in names(retention.collect(root, [], False))


@pytest.mark.parametrize("lock", ["owner.lock", ".lock"])
def test_a_run_whose_process_lives_is_kept_with_its_store(root: Path, lock: str) -> None:
    run = make(root, 40)
    with locks.hold(run.path / lock):
        age(run.path / lock, 40)
        assert retention.collect(root, [], True).items == ()
    assert len(retention.collect(root, [], False).items) == 4


def test_the_last_hour_is_kept_even_with_limits_of_nothing(root: Path) -> None:
    zero = "{keep_last: 0, runs_days: 0, checkpoints_days: 0, prepared_days: 0}"
    (root / "conf" / "loans.yaml").write_text(YAML.replace("{keep_last: 0}", zero))
    make(root, 0.02)
    assert retention.collect(root, [], False).items == ()


def test_the_newest_runs_are_kept(root: Path) -> None:
    (root / "conf" / "loans.yaml").write_text(YAML.replace("keep_last: 0", "keep_last: 2"))
    runs = [make(root, days) for days in (60, 50, 40)]
    retention.collect(root, [], True)
    assert [run.bundle.exists() for run in runs] == [False, True, True]


def test_another_projects_runs_and_a_store_that_it_needs_are_left_alone(root: Path) -> None:
    (root / "conf" / "other.yaml").write_text(YAML)
    mine, theirs = make(root, 40), make(root, 40, "other")
    write_json(mine.path / "store.json", {"path": str(root / "data" / "prepared" / f"{theirs.path.name}-store")})
    age(mine.path, 40)
    retention.collect(root, ["loans"], True)
    assert theirs.bundle.exists()
    assert not mine.bundle.exists()
    assert (root / "data" / "prepared" / f"{theirs.path.name}-store").exists()


def test_leftovers_of_a_kill_go(root: Path) -> None:
    run = make(root, 1)
    trash = run.path / ".bundle.trash"
    trash.mkdir()
    nobody = "99999999"  # more than any process's number
    old, new = (root / "data" / "prepared" / f".{name}.{nobody}.partial" for name in "ab")
    for path, days in ((old, 2), (new, 0.5)):
        write_json(path / "x", {})
        age(path, days)
    sealing = (
        root / "mlruns" / "artifacts" / "loans" / "models" / "m-1" / "artifacts" / f".checksums.json.{nobody}.partial"
    )
    write_json(sealing, {})
    age(sealing, 2)
    retention.collect(root, [], True)
    assert (trash.exists(), old.exists(), new.exists(), sealing.exists()) == (False, False, True, False)


@pytest.mark.parametrize(("days", "is_held", "stays"), [(0.5, False, True), (2, True, True), (2, False, False)])
def test_the_parts_of_a_scoring_that_nobody_goes_on_with_go(
    root: Path, days: float, is_held: bool, stays: bool
) -> None:
    out = root / "data" / "scored" / "loans"
    part = out / ".parts" / "a.parquet.0123" / "0-10.parquet"
    write_json(part, {})
    age(part.parent, days)
    lock = locks.take(out / ".lock") if is_held else None
    retention.collect(root, [], True)
    assert part.exists() == stays
    if lock is not None:
        os.close(lock)


def test_a_run_of_an_unknown_mlflow_is_kept(root: Path) -> None:
    run = make(root, 40)
    write_json(run.path / "tracking.json", {"run_id": "elsewhere"})
    age(run.path, 40)
    assert retention.collect(root, [], False).items == ()


def test_what_a_registered_version_needs_stays_and_the_rest_goes(root: Path) -> None:
    runs = [make(root, 0) for _ in range(2)]
    described = {"format": 1, "task": "classification", "model": {"name": "mlp"}, "classes": ["no", "yes"]}
    preparation = Preparation((Number("age", "numeric", 0.0, 0.0, 1.0),), Target("y", "classification", ("no", "yes")))
    for run in runs:
        write_json(run.bundle / "preparation.json", preparation.to_json())
        write_json(run.bundle / "bundle.json", {**described, "features": {"age": "numeric"}})
        tracking.begin(run, root, {}, "mlp", "")
    tracking.register(runs[0], root, "loans", pd.DataFrame({"age": [1.0]}))
    client = tracking.open_store(root)
    for run in runs:
        run_id = json.loads((run.path / "tracking.json").read_text())["run_id"]
        client.set_terminated(run_id, "FINISHED", int((time.time() - 100 * DAY) * 1000))
        age(run.path, 100)
    collection = retention.collect(root, [], True)
    assert names(collection).count("MLflow artifacts") == 1
    assert runs[0].bundle.exists()
    assert not runs[1].bundle.exists()
    assert (tracking.version_of(root, "loans", "1").bundle / "bundle.json").exists()
    assert retention.collect(root, [], True).items == ()


def test_killed_in_the_middle_nothing_half_is_left_and_the_next_time_ends_it(root: Path) -> None:
    run = make(root, 40)
    code = (
        "import os, shutil, sys, pathlib\nfrom headway.pipeline import retention\n"
        "shutil.rmtree = lambda path: os._exit(9)\n"
        "retention.collect(pathlib.Path(sys.argv[1]), [], True)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(root)]).returncode == 9
    assert not run.checkpoints.exists()
    assert (run.path / ".checkpoints.trash" / "big").exists()
    assert run.bundle.exists()
    retention.collect(root, [], True)
    assert {p.name for p in run.path.iterdir()} == {"run.json", "store.json"}


def test_only_one_process_clears_up(root: Path) -> None:
    make(root, 40)
    with locks.hold(root / "data" / "gc.lock"), pytest.raises(ConfigError, match="another one runs"):
        retention.collect(root, [], True)


def test_the_command_says_what_would_go_and_refuses_what_it_does_not_know(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(root, 40)
    assert main(["gc", "loans", "--json"]) == 0
    collection = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (collection["applied"], len(collection["items"])) == (False, 4)
    assert main(["gc", "loan"]) == 2
    assert "did you mean loans?" in capsys.readouterr().err


def test_a_store_that_a_run_takes_up_meanwhile_is_kept(root: Path) -> None:
    make(root, 40)
    listed = retention.plan(root, retention.limits(root, []))
    (item,) = [item for item in listed if item.what == "prepared data"]
    assert in_use(item.path)
    assert not retention._remove(item)
    assert (item.path / "store.json").exists()
