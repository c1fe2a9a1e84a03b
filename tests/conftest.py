"""What every test may ask for."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.machine.cores import spin_briefly
from tests.support.warm import WarmSubprocess

TESTS = itertools.count()
TESTS_FOLDER = Path(__file__).parent
LONG_ROOMS = {"doctor", "flows", "pipeline", "serve", "server", "tracking", "train", "watch"}

spin_briefly()  # before any library is loaded: tests run beside other processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: files are dealt to processes in this order, and none waits at the end for one that began last."""
    _skip_without_gpu(items)
    items.sort(key=_shortness)


def _shortness(item: pytest.Item) -> int:
    """Marked ones first, then those of rooms that start servers or retrain as a whole, of which one file may take minutes."""
    if item.get_closest_marker("slow") or item.get_closest_marker("browser"):
        return 0
    return 1 if _is_long(item) else 2


def _is_long(item: pytest.Item) -> bool:
    return bool(LONG_ROOMS & set(item.path.relative_to(TESTS_FOLDER).parts))


def _skip_without_gpu(items: list[pytest.Item]) -> None:
    """Tests that need a GPU are skipped where torch finds none."""
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if not needing:
        return
    import torch

    if not torch.cuda.is_available():
        for item in needing:
            item.add_marker(pytest.mark.skip(reason="skipped: needs an NVIDIA GPU that torch can use"))


@pytest.fixture(autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test leaves in the environment, no later test sees: MLflow writes the store in use there.

    On a GPU a test's trainings take turns among themselves, and wait for no other test's.
    """
    before = dict(os.environ)
    os.environ["HEADWAY_TURNS"] = str(tmp_path_factory.getbasetemp() / f"turns-{next(TESTS)}")
    yield
    for name in os.environ.keys() - before.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def copied_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow makes its tables once for a process of tests: its migrations take 3 s of a core, and a copy of the file none.

    Processes that tests start make theirs themselves.
    """
    store = sys.modules.get("headway.tracking.store")  # of the tests collected here; none of a model's needs it
    if store is None:
        yield
        return
    make = store._make_tables
    empty = tmp_path_factory.mktemp("empty") / "mlflow.db"

    def make_or_copy(path: Path) -> None:
        if not empty.exists():
            make(empty)
        shutil.copy(empty, path)
        with contextlib.closing(sqlite3.connect(path)) as database:  # MLflow takes the current folder, too
            database.execute("UPDATE experiments SET artifact_location = ?", (f"{Path.cwd()}/mlruns/0",))
            database.commit()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_make_tables", make_or_copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def warm_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Training, rehearsal and the measuring of new rows are processes that have loaded the libraries already."""
    if not any(_is_long(item) for item in request.session.items):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        subprocess = WarmSubprocess()
        for module in ("train.launch", "pipeline.exam", "pipeline.watching"):
            patch.setattr(importlib.import_module(f"headway.{module}"), "subprocess", subprocess)
        yield
        subprocess.close()


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
