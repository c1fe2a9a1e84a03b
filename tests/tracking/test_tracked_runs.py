from __future__ import annotations

import concurrent.futures
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headway import tracking
from headway.errors import ConfigError
from headway.evaluate.result import BaselineResult, Estimate, Evaluation
from headway.evaluate.standing import Standing
from headway.files.atomic import read_json, write_json
from headway.run.directory import RunDirectory
from headway.run.result import Result
from headway.tracking.condition import find_again
from headway.tracking.contents import MOST_METRICS, is_final
from tests.tracking.tracked import histories, journal, run_id_of

METRICS = {
    "test/auc": 0.9,
    "test/auc_low": 0.88,
    "test/auc_high": 0.92,
    "training/rows_per_second": 1000.0,
    "training/epochs": 3.0,
    "timing/train": 12.5,
    "versus/linear/auc": 0.85,
}
DEAD = "http://127.0.0.1:9"  # the discard port: nothing listens


def begin(run: RunDirectory, root: Path) -> str | None:
    return tracking.begin(
        run, root, {"model.width": 64, "train.epochs": 3}, "mlp · 2026-11-23 14:05 · seed 0", "a: 1\n"
    )


def test_a_run_shows_its_parameters_data_metrics_files_and_end(run: RunDirectory, tmp_path: Path) -> None:
    write_json(run.path / "flow.json", {"flow_run_id": "f1", "url": "http://127.0.0.1:4200/runs/flow-run/f1"})
    assert begin(run, tmp_path) is None
    journal(run, 5)
    tracking.Forwarder(run).poll()
    nothing = {"model": {"auc": "no row has the class yes"}}
    standing = Standing.of("mlp", "linear", "AUC 0.9 against 0.8", 0.1, 0.05, 0.15)
    Evaluation(earns_its_keep=standing, undefined=nothing).write(run.path / "evaluation.json")
    write_json(run.path / "decision.json", {"promoted": False, "reason": "not promoted: AUC .7 against .8; worse"})
    (run.path / "validation.html").write_text("<html></html>")
    (run.path / "report.html").write_text("<html>ä</html>")
    assert tracking.conclude(run, tmp_path, "FINISHED", METRICS) is None

    client = tracking.open_store(tmp_path)
    values = client.get_run(run_id_of(run))
    assert values.info.run_name == "mlp · 2026-11-23 14:05 · seed 0"
    assert values.info.status == "FINISHED"
    assert values.data.params == {"model.width": "64", "train.epochs": "3"}
    assert values.data.metrics["test/auc_low"] == 0.88
    assert values.data.metrics["versus/linear/auc"] == 0.85
    assert values.data.tags["prefect.flow_run_id"] == "f1"
    note = values.data.tags["mlflow.note.content"]
    assert f"{standing.text}\n\nundefined: auc (no row has the class yes)" in note
    assert "**Not promoted**: AUC .7 against .8; worse" in note
    assert "4200" in note
    assert values.data.tags["mlflow.source.git.commit"] == "a" * 40
    assert [(i.dataset.name, i.dataset.digest) for i in values.inputs.dataset_inputs] == [("loans", "d" * 12)]
    paths = [entry.path for entry in client.list_artifacts(values.info.run_id)]
    assert paths[0] == "Report.html", "the first in MLflow's list"
    assert Path(client.download_artifacts(values.info.run_id, paths[0])).read_text() == "<html>ä</html>"
    place = f"#/experiments/{values.info.experiment_id}/runs/{values.info.run_id}/artifacts/Report.html"
    assert f"({place}?workflowType=machine_learning)" in note
    files = {*paths}
    assert {"project.yaml", "run.json", "validation.html", "evaluation.json", "journal.jsonl"} <= files
    assert histories(tmp_path, values.info.run_id, "train/loss") == [(s, 1 / (s + 1)) for s in range(5)]
    assert all(math.isnan(value) for _, value in histories(tmp_path, values.info.run_id, "validation/loss"))


def test_a_restarted_process_continues_the_same_run(run: RunDirectory, tmp_path: Path) -> None:
    begin(run, tmp_path)
    first = run_id_of(run)
    begin(run, tmp_path)
    assert run_id_of(run) == first
    forgotten = {**read_json(run.path / "tracking.json"), "run_id": None}
    write_json(run.path / "tracking.json", forgotten)  # died between creating the run and writing its id
    begin(run, tmp_path)
    assert run_id_of(run) == first
    assert len(tracking.list_runs(tmp_path, "loans")) == 1


def test_a_run_that_ends_twice_tells_each_result_once_and_the_last_value_counts(
    run: RunDirectory, tmp_path: Path
) -> None:
    """Killed after its evaluation and closed as killed, then resumed: first what was measured again the same, then what changed."""
    begin(run, tmp_path)
    tracking.conclude(
        run,
        tmp_path,
        "KILLED",
        {key: value for key, value in METRICS.items() if key.startswith(("test/", "training/"))},
    )
    for better in (0.9, 0.9, 0.95, 0.95):
        begin(run, tmp_path)
        tracking.conclude(run, tmp_path, "FINISHED", {**METRICS, "test/auc": better})
    assert histories(tmp_path, run_id_of(run), "test/auc") == [(0, 0.9), (0, 0.95)]
    assert histories(tmp_path, run_id_of(run), "test/auc_low") == [(0, 0.88)]
    assert histories(tmp_path, run_id_of(run), "timing/train") == [(0, 12.5)]
    state = tracking.open_store(tmp_path).get_run(run_id_of(run))
    assert (state.info.status, state.data.metrics["test/auc"]) == ("FINISHED", 0.95)


@pytest.mark.parametrize("of_today", [True, False])
def test_a_run_whose_tracking_is_lost_is_the_same_run_and_tells_nothing_twice(
    run: RunDirectory, tmp_path: Path, of_today: bool
) -> None:
    if not of_today:  # earlier versions wrote no key into run.json
        plan = read_json(run.path / "run.json")
        write_json(run.path / "run.json", {key: value for key, value in plan.items() if key != "key"})
    begin(run, tmp_path)
    journal(run, 3)
    tracking.conclude(run, tmp_path, "KILLED", METRICS)
    first = run_id_of(run)
    (run.path / "tracking.json").unlink()
    assert tracking.sync(run, tmp_path) == first
    (run.path / "tracking.json").write_text("{")
    assert find_again(tmp_path, run)
    begin(run, tmp_path)
    tracking.conclude(run, tmp_path, "FINISHED", METRICS)
    assert run_id_of(run) == first
    assert len(tracking.list_runs(tmp_path, "loans")) == 1
    assert histories(tmp_path, first, "test/auc") == [(0, 0.9)]
    assert histories(tmp_path, first, "train/loss") == [(s, 1 / (s + 1)) for s in range(3)]


def test_a_clock_that_was_set_back_before_a_resumption_leaves_the_last_value_the_newest(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(run, tmp_path)
    tracking.conclude(run, tmp_path, "KILLED", METRICS)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    begin(run, tmp_path)
    tracking.conclude(run, tmp_path, "FINISHED", {**METRICS, "test/auc": 0.95})
    assert tracking.open_store(tmp_path).get_run(run_id_of(run)).data.metrics["test/auc"] == 0.95


def test_a_batch_sent_twice_arrives_once(run: RunDirectory, tmp_path: Path) -> None:
    begin(run, tmp_path)
    journal(run, 700)  # 1,400 values: two batches
    tracking.Forwarder(run).poll()
    (run.path / "tracking-cursor.json").unlink()
    journal(run, 10)
    tracking.Forwarder(run).poll()
    assert histories(tmp_path, run_id_of(run), "train/loss") == [(s, 1 / (s + 1)) for s in range(710)]
    assert read_json(run.path / "tracking-cursor.json") == {"n": 1420}


def test_after_a_journal_was_cut_below_what_mlflow_has_every_later_event_arrives(
    run: RunDirectory, tmp_path: Path
) -> None:
    begin(run, tmp_path)
    journal(run, 5)
    tracking.Forwarder(run).poll()
    lines = (run.path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "journal.jsonl").write_bytes(b"".join(lines[:2]))  # the first step alone; MLflow has five
    forwarder = tracking.Forwarder(run)
    for _ in range(2):
        writer = run.journal()
        step = 10 + len(list(run.events()))
        writer.write("metric", step=step, values={"train/loss": 0.5})
        writer.close()
        forwarder.poll()
    steps = [step for step, _ in histories(tmp_path, run_id_of(run), "train/loss")]
    assert steps == [0, 1, 2, 3, 4, 12, 13]
    assert read_json(run.path / "tracking-cursor.json") == {"n": 4}


def test_a_forwarder_killed_at_any_moment_leaves_every_metric_exactly_once_after_sync(
    run: RunDirectory, tmp_path: Path
) -> None:
    begin(run, tmp_path)
    journal(run, 3000)
    code = (
        "import sys, pathlib, headway.tracking.forwarder as forwarder\n"
        "forwarder.BATCH = 20\n"
        "from headway.run.directory import RunDirectory\n"
        "forwarder.Forwarder(RunDirectory(pathlib.Path(sys.argv[1]))).poll()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(run.path)])
    cursor = run.path / "tracking-cursor.json"
    deadline = time.monotonic() + 60
    while not (cursor.exists() and read_json(cursor)["n"] > 500) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert read_json(cursor)["n"] < 5999, "it was not killed midway"
    tracking.sync(run, tmp_path)
    assert histories(tmp_path, run_id_of(run), "train/loss") == [(s, 1 / (s + 1)) for s in range(3000)]


def test_a_server_that_is_away_costs_nothing_but_lateness(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    warning = begin(run, tmp_path)
    assert warning is not None
    assert "headway sync" in warning
    journal(run, 4)
    tracking.Forwarder(run).poll()
    with tracking.system_metrics(run):
        pass
    assert "headway sync" in (tracking.conclude(run, tmp_path, "FINISHED", METRICS) or "")
    with pytest.raises(ConfigError, match="must answer"):
        tracking.sync(run, tmp_path)

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    run_id = tracking.sync(run, tmp_path)
    assert tracking.sync(run, tmp_path) == run_id
    row = tracking.list_runs(tmp_path, "loans")
    assert [(r.run_id, r.status) for r in row] == [(run_id, "FINISHED")]
    assert row[0].metrics["test/auc"] == 0.9
    assert histories(tmp_path, run_id, "train/loss") == [(s, 1 / (s + 1)) for s in range(4)]
    assert len(histories(tmp_path, run_id, "test/auc")) == 1


def test_a_server_lost_midway_is_one_warning_and_sync_delivers_the_rest(run: RunDirectory, tmp_path: Path) -> None:
    begin(run, tmp_path)
    there = read_json(run.path / "tracking.json")
    write_json(run.path / "tracking.json", {**there, "uri": DEAD})
    journal(run, 3)
    forwarder = tracking.Forwarder(run)
    began = time.monotonic()
    for _ in range(5):
        forwarder.poll()
    assert time.monotonic() - began < 10
    assert forwarder.warning is not None
    write_json(run.path / "tracking.json", there)
    tracking.sync(run, tmp_path)
    assert len(histories(tmp_path, there["run_id"], "train/loss")) == 3


def test_a_run_made_without_mlflow_is_delivered_whole(run: RunDirectory, tmp_path: Path) -> None:
    journal(run, 2)
    linear = BaselineResult({"auc": Estimate(0.65, 0.6, 0.7), "f1": Estimate(None)}, 0.5)
    evaluation = Evaluation(metrics={"auc": Estimate(0.7, 0.6, 0.8)}, baselines={"linear": linear})
    evaluation.write(run.path / "evaluation.json")
    write_json(run.path / "stages.json", {"train": 12.5})
    run.finish(Result(epochs=3, precision="fp32"))
    tracking.sync(run, tmp_path)
    (listed_run,) = tracking.list_runs(tmp_path, "loans")
    assert listed_run.status == "FINISHED"
    assert listed_run.params["model.width"] == "64"
    results = {"test/auc": 0.7, "versus/linear/auc": 0.65}
    results |= {"training/epochs": 3.0, "timing/train": 12.5}
    assert {name: value for name, value in listed_run.metrics.items() if is_final(name)} == results


def test_a_run_that_another_machine_tracked_is_delivered_whole(run: RunDirectory, tmp_path: Path) -> None:
    """Its id there is unknown here."""
    begin(run, tmp_path)
    journal(run, 2)
    assert tracking.conclude(run, tmp_path, "FINISHED", METRICS) is None
    here = tmp_path / "here"
    tracking.open_store(here)
    shutil.copytree(run.path, here / run.path.relative_to(tmp_path))
    copy = RunDirectory(here / run.path.relative_to(tmp_path))
    run_id = tracking.sync(copy, here)
    assert run_id == run_id_of(copy) != run_id_of(run)
    (row,) = tracking.list_runs(here, "loans")
    assert (row.run_id, row.status, row.metrics["test/auc"]) == (run_id, "FINISHED", 0.9)
    assert len(histories(here, run_id, "train/loss")) == 2


def test_a_failed_run_says_why(run: RunDirectory, tmp_path: Path) -> None:
    begin(run, tmp_path)
    tracking.conclude(run, tmp_path, "FAILED", {}, "column age must have no nulls, but 3 are")
    (row,) = tracking.list_runs(tmp_path, "loans")
    assert row.status == "FAILED"
    assert row.tags["problem"].startswith("column age")


def test_processes_that_start_at_once_make_one_store(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\nfrom headway import tracking\nfrom headway.tracking.experiments import experiment_of\n"
        "root = pathlib.Path(sys.argv[1])\nclient = tracking.open_store(root)\n"
        "run = client.create_run(experiment_of(client, root, 'loans'))\n"
        "for i in range(20): client.log_metric(run.info.run_id, 'a', i, step=i)\n"
    )

    def start(_: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        state = list(pool.map(start, range(3)))
    assert [(e.returncode, e.stderr) for e in state] == [(0, "")] * 3
    assert len(tracking.list_runs(tmp_path, "loans")) == 3


def test_system_metrics_reach_the_run_and_leave_no_thread(run: RunDirectory, tmp_path: Path) -> None:
    begin(run, tmp_path)
    before = set(threading.enumerate())
    with tracking.system_metrics(run):
        time.sleep(0.3)
    assert set(threading.enumerate()) == before
    (row,) = tracking.list_runs(tmp_path, "loans")
    assert "system/cpu_utilization_percentage" in row.metrics


def test_tracking_never_imports_torch(run: RunDirectory, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom headway import tracking\nfrom headway.run.directory import RunDirectory\n"
        "assert 'mlflow' not in sys.modules\n"
        "run, root = RunDirectory(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])\n"
        "tracking.begin(run, root, {}, 'n', '')\n"
        "with tracking.system_metrics(run): pass\n"
        "tracking.conclude(run, root, 'FINISHED', {})\n"
        "assert not {'torch', 'mlflow.pytorch', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(run.path), str(tmp_path)], check=True)


def test_an_unusable_store_is_one_clear_line(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    with pytest.raises(ConfigError, match="must be a database or a server"):
        begin(run, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    shutil.rmtree(tmp_path / "mlruns")
    (tmp_path / "mlruns").write_text("a file where a folder belongs")
    with pytest.raises(ConfigError, match="must be writable"):
        begin(run, tmp_path)
    (tmp_path / "mlruns").unlink()
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("")
    with pytest.raises(ConfigError, match="old file store"):
        begin(run, tmp_path)
    (tmp_path / "mlruns" / "0" / "meta.yaml").unlink()
    (tmp_path / "mlruns" / "mlflow.db").write_text("this is not a database " * 100)
    with pytest.raises(ConfigError, match="damaged"):
        begin(run, tmp_path)


def test_a_full_disk_is_one_clear_line(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(run, tmp_path)
    import sqlite3

    def refuse(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(ConfigError, match="disk is full; free some space"):
        tracking.open_store(tmp_path)


def test_metric_keys_are_capped(run: RunDirectory, tmp_path: Path) -> None:
    begin(run, tmp_path)
    tracking.conclude(run, tmp_path, "FINISHED", {f"test/metric{i:03d}": 0.5 for i in range(200)})
    metrics = tracking.open_store(tmp_path).get_run(run_id_of(run)).data.metrics
    assert len(metrics) == MOST_METRICS
    assert "test/metric000" in metrics, "the first are told"
