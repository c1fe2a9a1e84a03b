"""compose.yaml: every command exists, every service is watched, every secret comes from .env."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from headway.cli.arguments import parser
from headway.cli.commands import COMMANDS
from headway.server.access import named_hosts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])


def test_each_headway_command_is_one_that_the_command_line_takes(services: dict[str, Any]) -> None:
    commands = [s["command"].split() for s in services.values() if s.get("command", "").startswith("headway ")]
    requests = [parser(COMMANDS).parse_args(words[1:]) for words in commands]
    assert [(one.only, one.host) for one in requests] == [("prefect", "0.0.0.0"), ("mlflow", "0.0.0.0")]
    ports = [services["prefect"]["ports"][0].rsplit(":", 1)[1], services["mlflow"]["ports"][0].rsplit(":", 1)[1]]
    assert ports == [str(requests[0].prefect_port), str(requests[1].mlflow_port)]
    assert services["worker"]["command"] == "prefect worker start --pool headway --type process"


def test_every_service_is_watched_restarted_and_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", "prefect", "mlflow", "worker"}
    assert all(one["healthcheck"]["test"] and one["restart"] == "unless-stopped" for one in services.values())
    for one in services.values():
        assert all(need["condition"] == "service_healthy" for need in one.get("depends_on", {}).values())
    assert all("HEADWAY_AUTH" in services[name]["environment"] for name in ("prefect", "mlflow", "worker"))


def test_both_servers_go_by_the_name_under_which_the_worker_asks_them(services: dict[str, Any]) -> None:
    host = services["worker"]["environment"]["PREFECT_API_URL"].split("/")[2].split(":")[0]
    for name in ("prefect", "mlflow"):
        names = services[name]["environment"]["HEADWAY_HOSTS"].replace("${HEADWAY_HOSTS:-}", "")
        assert {host, name} <= named_hosts({"HEADWAY_HOSTS": names})


def test_every_volume_is_declared_and_every_secret_is_in_the_example() -> None:
    text = (ROOT / "compose.yaml").read_text()
    whole = yaml.safe_load(text)
    used = {v.split(":")[0] for s in whole["services"].values() for v in s["volumes"] if not v.startswith((".", "/"))}
    assert used == set(whole["volumes"])
    needed = set(re.findall(r"\$\{(\w+):\?", text))
    names = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert needed == names
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
