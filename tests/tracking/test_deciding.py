"""Who may take charge: only from the version that was compared with, one decider at a time, and for one purpose."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway import tracking
from headway.errors import ConfigError
from headway.evaluate.decision import Decision
from headway.files.atomic import read_json, write_json
from headway.pipeline import resuming, zombies
from headway.run.directory import RunDirectory
from headway.tracking import Holder, intent, lock
from tests.support.deciding import decide
from tests.support.dying import die
from tests.tracking.test_registry import ROWS, another, registered
from tests.tracking.tracked import PLAN, PROJECT, pretend_bundle

BETTER: dict[str, Any] = {
    "promoted": True,
    "reason": "promoted: better",
    "metric": "auc",
    "difference": 0.1,
    "low": 0.05,
    "high": 0.15,
}
GATE = Decision(**BETTER)


def test_candidates_that_decide_at_once_each_meet_the_one_that_took_charge_before(
    run: RunDirectory, tmp_path: Path
) -> None:
    first = registered(run, tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    client = tracking.open_store(tmp_path)
    model = client.get_model_version("loans", first)
    versions = [str(client.create_model_version("loans", model.source, model.run_id).version) for _ in range(5)]
    met: dict[str, str] = {}
    inside = threading.Semaphore(1)

    def settle(version: str) -> None:
        def again(holder: Holder | None) -> Decision:
            assert holder is not None
            assert inside.acquire(blocking=False), "two compare again at the same moment"
            met[version] = holder.version
            inside.release()
            return GATE

        tracking.settle(tmp_path, "loans", version, first, GATE, again)

    with ThreadPoolExecutor(5) as pool:  # a lock of the kernel keeps threads apart as it does processes
        list(pool.map(settle, versions))
    history = tracking.history(tmp_path, "loans")
    assert len(met) == 4, "all but the quickest are compared again"
    assert [one.before for one in history[1:]] == [one.after for one in history[:-1]]
    assert all(met.get(one.version, first) == one.before for one in history[1:])


def test_a_version_that_the_gate_has_decided_about_is_not_decided_about_again(
    run: RunDirectory, tmp_path: Path
) -> None:
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})

    def never(_: Holder | None) -> Decision:
        raise AssertionError

    assert tracking.settle(tmp_path, "loans", second, first, GATE, never) == GATE
    tracking.rollback(tmp_path, "loans", reason="complaints")
    assert tracking.settle(tmp_path, "loans", second, first, GATE, never) == GATE
    assert tracking.version_of(tmp_path, "loans").version == first, "the rollback stands"
    assert len(tracking.history(tmp_path, "loans")) == 3


def test_an_alias_that_is_moved_while_a_decision_is_written_down_is_not_moved_back(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine does that no lock reaches: one on a server by http."""
    from mlflow import MlflowClient

    first, second, third = registered(run, tmp_path), *(registered(another(tmp_path), tmp_path) for _ in range(2))
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    real = MlflowClient.set_registered_model_tag

    def moved(self: MlflowClient, name: str, key: str, value: str) -> None:
        real(self, name, key, value)
        if key == intent.TAG:
            self.set_registered_model_alias("loans", "champion", third)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_registered_model_tag", moved)
        with pytest.raises(ConfigError, match="another does so now; try again"):
            decide(tmp_path, "loans", second, BETTER)
    assert tracking.version_of(tmp_path, "loans").version == third
    assert intent.TAG not in tracking.open_store(tmp_path).get_registered_model("loans").tags


def test_whoever_only_looks_waits_for_no_decision(run: RunDirectory, tmp_path: Path) -> None:
    first = registered(run, tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    with lock.hold(tmp_path, "loans") as is_held:
        assert is_held is not None
        tracking.open_store(tmp_path).set_registered_model_tag("loans", intent.TAG, "{}")
        assert tracking.version_of(tmp_path, "loans").version == first
        with lock.hold(tmp_path, "loans", seconds=0) as second:
            assert second is None
        with lock.hold(tmp_path, "others", seconds=0) as other:
            assert other is not None


def of_target(root: Path, target: str, **more: Any) -> RunDirectory:
    project = {**PROJECT, "data": {**PROJECT["data"], "target": target}}  # type: ignore[dict-item]
    run = RunDirectory.create(root, "loans", {**PLAN, "project": project, **more})
    pretend_bundle(run)
    tracking.begin(run, root, {}, "mlp", "")
    return run


def test_a_registered_model_knows_what_it_is_for_and_refuses_what_is_for_something_else(
    run: RunDirectory, tmp_path: Path
) -> None:
    first = registered(run, tmp_path)
    client = tracking.open_store(tmp_path)
    purpose = {"project": "loans", "task": "classification", "target": "default"}
    assert purpose.items() <= client.get_registered_model("loans").tags.items()
    assert purpose.items() <= client.get_model_version("loans", first).tags.items()
    tracking.register(of_target(tmp_path, "amount"), tmp_path, "loans", ROWS)
    assert client.get_registered_model("loans").tags["target"] == "amount", "there is no champion: it may change"

    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    assert client.get_registered_model("loans").tags["target"] == "default", "as the champion"
    count = len(tracking.versions(tmp_path, "loans"))
    with pytest.raises(
        ConfigError, match=r"predicts default \(classification\), but conf/loans.yaml says amount"
    ) as no:
        tracking.register(of_target(tmp_path, "amount"), tmp_path, "loans", ROWS)
    assert len(str(no.value).splitlines()) == 1
    assert len(tracking.versions(tmp_path, "loans")) == count
    for key in purpose:
        client.delete_registered_model_tag("loans", key)
    champion = tracking.champion(tmp_path, "loans")
    assert champion is not None
    described = {"format": 1, "task": "classification", "target": "default"}
    write_json(champion.bundle / "bundle.json", described)
    with pytest.raises(ConfigError, match="but conf/loans.yaml says amount"):  # the champion's files know it
        tracking.register(of_target(tmp_path, "amount"), tmp_path, "loans", ROWS)

    replacement = tracking.register(of_target(tmp_path, "amount", replace_champion=True), tmp_path, "loans", ROWS)
    decide(tmp_path, "loans", replacement, {"promoted": True, "reason": "asked for"})
    assert client.get_registered_model("loans").tags["target"] == "amount"
    client.set_registered_model_tag("loans", "project", "credits")
    with pytest.raises(ConfigError, match="must be project loans's, but is project credits's"):
        tracking.check_purpose(tmp_path, PROJECT, replace=True)


def test_a_run_killed_between_its_promotion_and_its_own_note_of_it_is_finished_and_not_judged_again(
    run: RunDirectory, tmp_path: Path
) -> None:
    version = registered(run, tmp_path)
    write_json(run.path / "evaluation.json", {})
    decide(tmp_path, "loans", version, BETTER)
    other = another(tmp_path)
    registered(other, tmp_path)
    write_json(other.path / "evaluation.json", {})
    for one in (run, other):
        die(one)
    lines = zombies.close_dead(tmp_path)
    assert [line.rpartition(" ")[2] for line in lines] == ["finished", "killed"]
    assert Decision.read(run.path / "decision.json") == replace(GATE, name="loans", version=version)
    assert not (other.path / "decision.json").exists(), "the gate has not decided about it"
    (run.path / "decision.json").unlink()
    assert resuming.unfinished(run.path.name, tmp_path).progress == "after its decision"
    assert resuming.remaining_stages(run) == ()


def test_a_version_that_a_person_registered_under_another_name_is_not_taken_for_the_projects(
    run: RunDirectory, tmp_path: Path
) -> None:
    version = registered(run, tmp_path)
    decide(tmp_path, "loans", version, BETTER)
    other = another(tmp_path)
    pretend_bundle(other)
    tracking.begin(other, tmp_path, {}, "mlp", "")
    client = tracking.open_store(tmp_path)
    client.create_registered_model("staging")
    run_id = str(read_json(other.path / "tracking.json")["run_id"])
    foreign = client.create_model_version("staging", client.get_model_version("loans", version).source, run_id)
    assert str(foreign.version) == version
    assert tracking.decision_of_run(tmp_path, "loans", run_id) is None
    assert tracking.register(other, tmp_path, "loans", ROWS) == "2"
