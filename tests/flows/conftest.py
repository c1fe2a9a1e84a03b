"""Prefect's own test server, once for all flow tests; stages that only pretend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from headway.pipeline import runs, stages
from tests.flows.pretended import Pretended

YAML = """
description: Whether a flower opens tomorrow.
task: classification
data: {source: flowers.csv, target: opens, features: {height: numeric}}
train: {epochs: 7}
"""


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder, which is also the current one."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "flowers.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    parts = Pretended()
    for module, names in ((stages, "validate prepare train evaluate register"), (runs, "start track conclude summary")):
        for name in names.split():
            monkeypatch.setattr(module, name, getattr(parts, name))
    return parts
