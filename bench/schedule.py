"""Retraining unattended: every minute, on new data, with the servers killed in between. `make bench NAME=schedule`. About six minutes.

`headway up` serves a project whose YAML says every minute and whose source is a folder. After each retraining one more file arrives, and
something is killed: after the first both servers, which `up` must start again, after the second `up` itself, which is then started by hand.
No run is started by hand. Counts are kept as shares of what there is, with the goal 0.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.crowd import lost_metrics
from bench.side_by_side import Ratio, tell
from headway.files.atomic import read_json
from headway.machine.processes import free_port

RETRAININGS, ROWS = 3, 2000
WAIT_SECONDS, GRACE_SECONDS = 300.0, 90.0
YAML = """
description: A flower, looked at every minute.
task: classification
schedule: {cron: "* * * * *", timezone: Europe/Berlin}
data: {source: flowers, target: opens, features: {height: numeric, width: numeric}}
model: {name: mlp, width: 16, depth: 2}
train: {epochs: 3, batch_size: 256}
evaluate: {baselines: [trivial], resamples: 100}
"""


def add_file(root: Path, number: int) -> None:
    """One more file for the source, whole at once."""
    rng = np.random.default_rng(number)
    values = rng.normal(size=(ROWS, 2))
    opens = rng.random(ROWS) < 1 / (1 + np.exp(-3 * values[:, 0] * values[:, 1]))
    lines = [f"{a:.5f},{b:.5f},{'yes' if c else 'no'}" for (a, b), c in zip(values, opens, strict=True)]
    path = root / "flowers" / f"2026-{number + 1:02d}.csv"
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".new").write_text("height,width,opens\n" + "\n".join(lines) + "\n")
    path.with_suffix(".new").rename(path)


@contextlib.contextmanager
def served(root: Path, ports: tuple[int, int]) -> Iterator[subprocess.Popen[bytes]]:
    """`headway up`, ended in the end if it still is there."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    words = [sys.executable, "-m", "headway.cli", "up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    with open(root / "up.txt", "ab") as output:
        up = subprocess.Popen(words, cwd=root, env=environment, stdout=output, stderr=output)
        try:
            yield up
        finally:
            if up.poll() is None:
                up.send_signal(signal.SIGINT)
                up.wait(90)


def decided(root: Path) -> list[Path]:
    """The run directories that came to a decision, oldest first."""
    return sorted(
        (path.parent for path in (root / "data" / "runs").glob("flowers-*/decision.json")),
        key=lambda run: (run / "decision.json").stat().st_mtime,
    )


def await_decision(root: Path, count: int) -> None:
    """Until ``count`` runs have decided. Raises TimeoutError with what `up` said."""
    until = time.monotonic() + WAIT_SECONDS
    while len(decided(root)) < count:
        if time.monotonic() > until:
            raise TimeoutError((root / "up.txt").read_text(errors="replace")[-3000:])
        time.sleep(0.5)


def kill_servers(up: subprocess.Popen[bytes]) -> int:
    """SIGKILL to every process of both servers; how many there were."""
    import psutil

    family = psutil.Process(up.pid).children(recursive=True)
    servers = [p for p in family if any(word in " ".join(p.cmdline()) for word in ("prefect.server", "tracking_app"))]
    for process in servers:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return len(servers)


def kill_up(up: subprocess.Popen[bytes]) -> None:
    """SIGKILL to `headway up`, as a machine that goes down would; its children notice by themselves."""
    up.kill()
    up.wait()


def flow_runs(prefect: int) -> list[dict[str, Any]]:
    """Prefect's own account of the deployment's runs that are not in the future."""
    import httpx

    body = {"flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
    answer = httpx.post(f"http://127.0.0.1:{prefect}/api/flow_runs/filter", json=body, trust_env=False)
    return list(answer.raise_for_status().json())


def main() -> None:
    """Let it retrain three times and keep the shares of what went wrong."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "conf").mkdir()
        (root / "conf" / "flowers.yaml").write_text(YAML)
        add_file(root, 0)
        ports = free_port(), free_port()
        with served(root, ports) as up:
            await_decision(root, 1)
            print(
                f"{time.perf_counter() - start:.0f} s: first; killed {kill_servers(up)} processes of the servers",
                flush=True,
            )
            add_file(root, 1)
            await_decision(root, 2)
            print(f"{time.perf_counter() - start:.0f} s: second; killed `headway up`", flush=True)
            kill_up(up)
        add_file(root, 2)
        time.sleep(5)  # starting it again takes as long
        with served(root, ports):
            await_decision(root, 3)
            print(f"{time.perf_counter() - start:.0f} s: third", flush=True)
            counts = judged(root, ports)
    print(f"{time.perf_counter() - start:.0f} s", counts)
    tell("schedule", {label: Ratio(value, value, value, goal=0.0) for label, value in counts.items()})


def judged(root: Path, ports: tuple[int, int]) -> dict[str, float]:
    """What went wrong, as shares."""
    from headway.tracking import open_store

    until = time.monotonic() + GRACE_SECONDS
    while (lost := lost_metrics(root, _reports(root)))[0] and time.monotonic() < until:
        time.sleep(1)
    runs = decided(root)[:RETRAININGS]
    decisions = [read_json(run / "decision.json") for run in runs]
    compared = ["champion" in read_json(run / "evaluation.json") for run in runs[1:]]
    store = open_store(root)
    states = [store.get_run(one["run_id"]).info.status for one in _reports(root)]
    stuck = [
        run for run in flow_runs(ports[0]) if run["state"]["type"] not in ("COMPLETED", "CRASHED", "RUNNING", "PENDING")
    ]
    for run in stuck:
        print("not completed:", run["name"], run["state"]["name"], run["state"]["message"])
    files = [len(read_json(run / "data.json")["files"]) for run in runs]
    print("decisions:", [one["reason"] for one in decisions], "files:", files)
    return {
        "retrainings missing of 3": (RETRAININGS - len(runs)) / RETRAININGS,
        "second and third not compared with the champion": compared.count(False) / len(compared),
        "runs that MLflow does not call finished": sum(status != "FINISHED" for status in states) / len(states),
        f"share of {lost[1]} metric values lost": lost[0] / max(lost[1], 1),
        "share of Prefect's runs that failed": len(stuck) / max(len(flow_runs(ports[0])), 1),
    }


def _reports(root: Path) -> list[dict[str, Any]]:
    runs = decided(root)[:RETRAININGS]
    return [{"run_directory": str(run), "run_id": read_json(run / "tracking.json")["run_id"]} for run in runs]


if __name__ == "__main__":
    main()
