"""Where the two web pages show a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headway.files.atomic import write_json
from headway.server import addresses
from headway.server.addresses import Addresses, addresses_of
from headway.server.local import Servers

FLOW = "0b0e2f2c-6a3c-4b59-9f0e-0d3f6f5b8f11"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of the terminal, which had a temporary Prefect server, and MLflow's own file."""
    for name in ("PREFECT_API_URL", "HEADWAY_TEMPORARY_SERVER", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "data" / "runs" / "loans-1"
    folder.mkdir(parents=True)
    write_json(folder / "flow.json", {"flow_run_id": FLOW, "url": None})
    write_json(folder / "tracking.json", {"run_id": "abc", "experiment_id": "7", "ui": None})
    return folder


def up(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers(os.getpid(), "http://127.0.0.1:4321", "http://127.0.0.1:5678")
    monkeypatch.setattr(addresses, "running", lambda _: servers)


def test_without_servers_the_addresses_are_those_that_headway_up_will_serve(run: Path, tmp_path: Path) -> None:
    pages = addresses_of(run, tmp_path)
    assert pages.to_json() == {
        "prefect": f"http://127.0.0.1:4200/runs/flow-run/{FLOW}",
        "mlflow": "http://127.0.0.1:5000/#/experiments/7/runs/abc?workflowType=machine_learning",
        "served": False,
    }
    assert pages.lines()[0] == ("pages", "headway up serves this run's pages at:")
    assert [url for _, url in pages.lines()[1:]] == [pages.prefect, pages.mlflow]


def test_with_servers_up_the_addresses_are_theirs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    up(monkeypatch)
    pages = addresses_of(run, tmp_path)
    assert pages.lines() == [
        ("Prefect", f"http://127.0.0.1:4321/runs/flow-run/{FLOW}"),
        ("MLflow", "http://127.0.0.1:5678/#/experiments/7/runs/abc?workflowType=machine_learning"),
    ]


def test_the_default_ports_are_those_of_the_command_line() -> None:
    from headway.cli.arguments import parser
    from headway.cli.commands import COMMANDS

    options = parser(COMMANDS).parse_args(["up"])
    assert (options.prefect_port, options.mlflow_port) == (addresses.PREFECT_PORT, addresses.MLFLOW_PORT)


def test_a_run_of_ones_own_servers_has_their_addresses(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.example.com/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")
    write_json(run / "flow.json", {"flow_run_id": FLOW, "url": "https://prefect.example.com/runs/1"})
    write_json(run / "tracking.json", {"run_id": "abc", "experiment_id": "7", "ui": "https://mlflow.example.com/#/abc"})
    pages = addresses_of(run, tmp_path)
    assert pages == Addresses("https://prefect.example.com/runs/1", "https://mlflow.example.com/#/abc", served=True)


def test_a_run_that_neither_server_knows_has_no_page(run: Path, tmp_path: Path) -> None:
    for path in run.iterdir():
        path.unlink()
    pages = addresses_of(run, tmp_path)
    assert pages == Addresses(None, None, served=False)
    assert pages.lines() == [("pages", "headway up serves the two web pages")]
