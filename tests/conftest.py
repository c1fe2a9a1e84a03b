"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.machine.cores import spin_briefly

spin_briefly()  # before any library is loaded: tests run beside other processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: files are dealt to processes in this order, and none waits at the end for one that began last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None and item.get_closest_marker("browser") is None)


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """What a test leaves in the environment, no later test sees: MLflow writes the store in use there."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The mirror of public data sets."""
    folder = os.environ.get("HEADWAY_DATASETS", "")
    if not Path(folder or "/nowhere").is_dir():
        pytest.skip("skipped: reads real public data sets, and HEADWAY_DATASETS does not name a folder of them")
    return Path(folder)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root folder of an empty project."""
    (tmp_path / "conf").mkdir()
    return tmp_path
