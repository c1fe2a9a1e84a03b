"""Twenty `headway run` at the same time in one folder on SQLite: nothing is lost, locked or doubled. `make bench NAME=crowd`.

Ten projects, two runs of each. Counts are kept as shares of what there is, with the goal 0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.side_by_side import Ratio, tell

PROJECTS, EACH, ROWS = 10, 2, 3000
HEADWAY = [sys.executable, "-m", "headway.cli"]
YAML = """
description: A flower, one of a crowd.
task: classification
data: {{source: flowers.csv, target: opens, features: {{height: numeric, width: numeric}}}}
model: {{name: mlp, width: 16, depth: 2}}
train: {{epochs: 3, batch_size: 256, threads: 1, seed: {seed}}}
evaluate: {{baselines: [trivial], resamples: 100}}
"""


def make_projects(root: Path, count: int) -> list[str]:
    """``count`` small projects on one table."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, 2))
    opens = rng.random(ROWS) < 1 / (1 + np.exp(-3 * values[:, 0] * values[:, 1]))
    lines = [f"{a:.5f},{b:.5f},{'yes' if c else 'no'}" for (a, b), c in zip(values, opens, strict=True)]
    (root / "conf").mkdir()
    (root / "flowers.csv").write_text("height,width,opens\n" + "\n".join(lines) + "\n")
    names = [f"crowd{number}" for number in range(count)]
    for seed, name in enumerate(names):
        (root / "conf" / f"{name}.yaml").write_text(YAML.format(seed=seed))
    return names


def run_all(root: Path, names: list[str]) -> tuple[list[dict[str, Any]], int, str]:
    """Start one run for each name, together; what each said at the end, the most temporary servers at once, all output."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    running = []
    for number, name in enumerate(names):
        with open(root / f"said-{number}.txt", "wb") as said_here:
            words = [*HEADWAY, "run", name, "--force", "--json"]
            running.append(
                subprocess.Popen(words, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=said_here, text=True)
            )
    most, end = [0], threading.Event()

    def count() -> None:
        import psutil

        while not end.wait(0.5):
            words = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
            most[0] = max(most[0], sum("headway.server.temporary" in w and str(root) in w for w in words))

    watcher = threading.Thread(target=count)
    watcher.start()
    reports = [one.communicate()[0] for one in running]
    end.set()
    watcher.join()
    output = "".join(path.read_text(errors="replace") for path in root.glob("said-*.txt"))
    return [json.loads(text.splitlines()[-1]) if text.strip() else {} for text in reports], most[0], output


def lost_metrics(root: Path, reports: list[dict[str, Any]]) -> tuple[int, int]:
    """Values of the journals that MLflow lacks, and all of them."""
    from headway.run.directory import RunDirectory
    from headway.tracking import open_store

    client = open_store(root)
    lost = total = 0
    for one in reports:
        counts: dict[str, int] = {}
        for event in RunDirectory(Path(one["run_directory"])).events():
            for key in event.metrics:
                counts[key] = counts.get(key, 0) + 1
        for key, count in counts.items():
            total += count
            lost += count - len(client.get_metric_history(one["run_id"], key))
    return lost, total


def champions_missing(root: Path, names: list[str]) -> int:
    """Projects without exactly one champion."""
    from headway.tracking import open_store

    client = open_store(root)
    return sum("champion" not in client.get_registered_model(name).aliases for name in names)


def main() -> None:
    """Run the crowd and keep the shares of what went wrong."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = make_projects(root, PROJECTS)
        reports, servers, output = run_all(root, names * EACH)
        failed = [one for one in reports if "decision" not in one or not one["decision"]]
        for one in failed:
            print("failed:", one)
        if failed:
            print(output[-3000:])
        whole = [one for one in reports if one not in failed]
        lost, total = lost_metrics(root, whole)
        runs = PROJECTS * EACH
        counts = {
            f"{runs} runs at once: share that failed": len(failed) / runs,
            f"{runs} runs at once: 'database is locked' said, per run": output.count("database is locked") / runs,
            f"{runs} runs at once: share of {total} metric values lost": lost / max(total, 1),
            f"{PROJECTS} projects: share without one champion": champions_missing(root, names) / PROJECTS,
            "temporary Prefect servers at once beyond one": float(max(0, servers - 1)),
        }
    print(f"{time.perf_counter() - start:.0f} s", counts)
    tell("crowd", {label: Ratio(value, value, value, goal=0.0) for label, value in counts.items()})


if __name__ == "__main__":
    main()
