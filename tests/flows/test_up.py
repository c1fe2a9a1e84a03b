"""`headway up`: servers, deployments, and nothing left behind."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from headway.files.atomic import read_json
from headway.machine.processes import free_port
from tests.support.serving import ask, lines_until, outside

YAML = """
description: Whether a flower opens tomorrow.
task: classification
data: {source: flowers.csv, target: opens, features: {height: numeric}}
train: {epochs: 7}
"""


def begin_retraining(root: Path, prefect: str) -> None:
    """Start a run as the form does, and wait until its process looks after it."""
    (deployment,) = (
        one for one in ask(f"{prefect}/api/deployments/filter", {}) if one["entrypoint"].endswith("retrain")
    )
    address = f"{prefect}/api/deployments/{deployment['id']}/create_flow_run"
    ask(address, {"parameters": {"force": True}, "state": {"type": "SCHEDULED"}})
    until = time.monotonic() + 90
    while not list((root / "data" / "runs").glob("*/tracking.json")):
        assert time.monotonic() < until, "no run began"
        time.sleep(0.1)


def one_of_two(pair: list[subprocess.Popen[str]]) -> tuple[subprocess.Popen[str], str]:
    """Of two that were started together: the one that goes on, and what the other said at its end."""
    until = time.monotonic() + 60
    while all(one.poll() is None for one in pair):
        assert time.monotonic() < until, "both go on"
        time.sleep(0.05)
    dead = next(one for one in pair if one.poll() is not None)
    assert dead.returncode == 2
    return next(one for one in pair if one is not dead), dead.communicate()[0]


def rows(database: Path, query: str) -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.slow
def test_up_serves_every_yaml_that_loads_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Started twice, one is refused. No process, and no run that either page shows as running for ever."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "flowers.yaml").write_text(YAML)
    (tmp_path / "flowers.csv").write_text("height,opens\n" + "".join(f"{n},{n % 2}\n" for n in range(2000)))
    (tmp_path / "conf" / "broken.yaml").write_text("task: [")
    prefect, mlflow = free_port(), free_port()
    command = [sys.executable, "-m", "headway.cli", "up", "--prefect-port", str(prefect), "--mlflow-port", str(mlflow)]
    environment = outside()
    pair = [
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    up, refused = one_of_two(pair)
    assert refused.startswith("headway: headway up must run once for a folder, but it runs already (process ")
    assert len(refused.splitlines()) == 1
    with up:
        try:
            text = lines_until(up.stdout, "Ctrl-C")
            family = psutil.Process(up.pid).children(recursive=True)
            result = ask(f"http://127.0.0.1:{prefect}/api/deployments/filter", {})
            state = read_json(tmp_path / ".prefect" / "up.json")
            begin_retraining(tmp_path, f"http://127.0.0.1:{prefect}")
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
    assert any(line.startswith("left out: ") and "broken.yaml must be YAML" in line for line in text)
    assert (state["pid"], state["prefect"]) == (up.pid, f"http://127.0.0.1:{prefect}")
    verbs = ("retrain", "study", "score", "watch", "roll back")
    assert {one["name"] for one in result} == {f"{verb} flowers" for verb in verbs}
    flows = {one["entrypoint"].rsplit(".", 1)[-1] for one in result}
    assert {"retrain", "effect", "score", "watch"} <= flows
    result = [one for one in result if one["entrypoint"].endswith("retrain")]
    assert (result[0]["parameters"]["epochs"], result[0]["paused"]) == (7, False)
    assert result[0]["description"].startswith("Whether a flower opens tomorrow.\n\nStart here")
    assert result[0]["parameter_openapi_schema"]["properties"]["project"]["enum"] == ["flowers"]
    assert up.returncode == 0
    assert rows(tmp_path / "mlruns" / "mlflow.db", "SELECT status FROM runs") == [("KILLED",)]
    states = "SELECT state_type FROM flow_run UNION ALL SELECT state_type FROM task_run"
    assert {state for (state,) in rows(tmp_path / ".prefect" / "prefect.db", states)} <= {"CRASHED", "COMPLETED"}
    assert rows(tmp_path / ".prefect" / "prefect.db", "SELECT state_type FROM flow_run") == [("CRASHED",)]
    assert len(family) >= 6
    assert not psutil.wait_procs(family, timeout=20)[1]
    assert not (tmp_path / ".prefect" / "up.json").exists()


def test_a_mistake_at_the_start_leaves_no_server_behind(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "mlruns").write_text("not a folder")
    command = [sys.executable, "-m", "headway.cli", "up", "--prefect-port", str(free_port())]
    start = time.time()
    output = subprocess.run(
        [*command, "--mlflow-port", str(free_port())], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert output.returncode == 2
    assert output.stderr.startswith("headway: ")
    assert "mlruns" in output.stderr
    assert "Traceback" not in output.stderr
    servers = [p for p in psutil.process_iter(["create_time", "cmdline"]) if p.info["create_time"] >= start]
    assert not [p for p in servers if str(tmp_path) in " ".join(p.info["cmdline"] or ())]
