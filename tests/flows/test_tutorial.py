"""The tutorial, block by block in its order: every command as a person types it, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from headway.machine.processes import free_port
from headway.project import load_project
from tests.support.pages import page
from tests.support.serving import ask, headway_up, outside

PAGE = page("docs/tutorial.md")
SECONDS = 600


def shell(line: str, folder: Path) -> str:
    """What a line prints, with `python` and `headway` as those of this environment."""
    environment = {**outside(), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("COLUMNS", None)  # lines as they are
    outcome = subprocess.run(
        line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert outcome.returncode == 0, f"{line}\n{outcome.stdout}{outcome.stderr}"
    return outcome.stdout


def serve(folder: Path) -> None:
    """Both pages are up, and Prefect has the project's forms."""
    prefect, mlflow = free_port(), free_port()
    with headway_up(folder, ["--prefect-port", str(prefect), "--mlflow-port", str(mlflow)]) as (up, _):
        deployments = ask(f"http://127.0.0.1:{prefect}/api/deployments/filter", {})
        assert len(deployments) >= 4
        assert up.poll() is None
        up.send_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    folder, printed = tmp_path, dict[str, list[str]]()
    for language, block in PAGE.blocks:
        if language == "python":
            (folder / "customers.py").write_text(block)
        elif language == "yaml":
            with open(folder / "conf" / "customers.yaml", "a") as file:
                file.write(block)
        for line in block.splitlines() if not language else ():
            if line.startswith("cd "):
                folder /= line.removeprefix("cd ")
            elif line == "headway up":
                serve(folder)
            else:
                printed.setdefault(line, []).append(shell(line, folder))

    drafted = yaml.safe_load((folder / "conf" / "customers.yaml").read_text())
    assert drafted["data"]["keys"] == ["customer"]
    assert drafted["data"]["features"]["price"] == "numeric"
    first, second = printed["headway run customers"]
    assert "the first model" in first
    assert "promoted: " in second
    assert "not promoted: " not in second
    (calm, changed) = printed["headway watch customers"]
    assert "no drift" in calm
    assert "drift: " in changed
    assert "price" in changed.partition("drift: ")[2].splitlines()[0]
    (scores,) = (folder / "scores").glob("march*.parquet")
    assert len(pd.read_parquet(scores)) == 4000
    before, after = printed["headway show customers"]
    assert "champion: version 1" in before
    assert "complaints since Monday" in after
    schedule = load_project("customers", folder).schedule
    assert schedule is not None
    assert schedule.timezone == "Europe/Berlin"
