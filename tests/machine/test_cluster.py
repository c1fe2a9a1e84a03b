"""A Ray cluster of two nodes on this machine: the same results as by threads, also when a node dies on the way."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.data.chunks import Chunk
from headway.data.opening import open_table
from headway.data.passes import run
from headway.data.source import Table
from headway.data.split import Division
from headway.data.storing import make_store
from headway.errors import ConfigError, DataError
from headway.machine.pool import connected, open_pool, using
from headway.pipeline.validation import examine
from headway.project import Project
from headway.run.report import Silent
from headway.serve.bundle import Predictor
from headway.serve.cluster import ClusterWorkers
from headway.serve.workers import ALONE
from tests.serve.bundles import CLASSES, bundle_of, rows

ROWS = 60_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One with a node that stays, and room for another."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for name in ALONE:
            patch.setenv(name, "1")
        cluster = Cluster(initialize_head=True, head_node_args=_node(2))
        patch.setenv("RAY_ADDRESS", cluster.address)
        ray = connected()
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def _node(number: int) -> dict[str, Any]:
    """On an address of its own of this machine, which no other can reach. Ray takes 127.0.0.1 for the machine's own address."""
    return {
        "num_cpus": 1,
        "object_store_memory": 200 << 20,
        "include_dashboard": False,
        "node_ip_address": f"127.0.0.{number}",
    }


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """A second node, which a test may kill."""
    node = cluster.add_node(**_node(3))
    cluster.wait_for_nodes()
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node, allow_graceful=True)


class Dying:
    """A pass that has a node killed while blocks are worked on, and adds up a column."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.total, self.nodes, self.blocks = str(folder), 0.0, set[str](), 0

    def columns_of(self, file: int) -> list[str]:
        return ["a"]

    def block(self, chunk: Chunk) -> tuple[float, str]:
        import time

        import ray

        node = ray.get_runtime_context().get_node_id()
        Path(self.folder, node).touch()
        time.sleep(0.1)
        return float(chunk.batch.column("a").to_numpy().sum()), node

    def add(self, partial: tuple[float, str]) -> None:
        self.total += partial[0]
        self.nodes.add(partial[1])
        self.blocks += 1


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_an_error_on_a_node_is_the_one_that_was_raised_there() -> None:
    def refuse(number: int) -> None:
        raise DataError(f"row {number} must be a number, but is not")

    with using("ray"), open_pool() as pool:
        answer = pool.for_work(refuse)(7)
        with pytest.raises(DataError, match="^row 7 must be a number, but is not$"):
            answer.result()


@pytest.mark.slow
def test_blocks_of_a_node_that_dies_are_worked_on_by_another(cluster: Any, second: Any, tmp_path: Path) -> None:
    table, marks = _table(tmp_path), tmp_path / "marks"
    marks.mkdir()
    ours = Dying(marks)

    def kill() -> None:
        while not Path(marks, second.node_id).exists():
            pass
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    with using("ray"):
        assert run(table, [ours], block_rows=1000) == ROWS
    killer.join(30)
    assert ours.blocks == ROWS // 1000
    values = np.concatenate([chunk.batch.column("a").to_numpy() for chunk in table.chunks(["a"], 1000)])
    assert ours.total == pytest.approx(values.sum(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.usefixtures("second")
def test_a_cluster_validates_and_prepares_as_threads_do(tmp_path: Path) -> None:
    table, project = _table(tmp_path), _project(tmp_path)
    answers = {}
    for engine in ("local", "ray"):
        with using(engine):
            examined = examine(project, table, Silent())
            division = Division(table, project.split)
            store, _ = make_store(tmp_path / engine, division, project.data, project.prepare)
        files = {str(path.relative_to(store.path)): path.read_bytes() for path in sorted(store.path.rglob("*.npy"))}
        answers[engine] = (examined.profile.to_json(), examined.validation.to_json(), store.path.name, files)
    assert answers["ray"] == answers["local"]
    assert len(answers["local"][3]) > 9


@pytest.mark.slow
def test_a_cluster_predicts_as_one_process_does_when_a_node_dies(cluster: Any, second: Any, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", CLASSES)
    batches = [rows(500, n) for n in range(60)]
    wrong = pa.RecordBatch.from_pydict({"x": ["one", "2"], "k": ["p", "q"]})
    alone = Predictor.load(bundle)
    with ClusterWorkers(bundle) as workers:
        assert workers.count == 2
        answers = [workers.submit(batch) for batch in batches[:30]]
        answers[1].result()
        cluster.remove_node(second, allow_graceful=False)
        answers += [workers.submit(batch) for batch in batches[30:]]
        for batch, answer in zip(batches, answers, strict=True):
            np.testing.assert_allclose(answer.result(), alone.predict(batch), rtol=1e-5, atol=1e-6)
        with pytest.raises(DataError) as error:
            alone.predict(wrong)
        with pytest.raises(DataError) as refusal:
            workers.submit(wrong).result()
    assert str(refusal.value) == str(error.value)


def _table(root: Path) -> Table:
    project = _project(root)
    return open_table(project.data, project.task, root)


def _project(root: Path) -> Project:
    """Three files of numbers, categories, dates and texts."""
    if not (root / "rows").exists():
        (root / "rows").mkdir()
        random = np.random.default_rng(3)
        for number in range(3):
            count = ROWS // 3
            a, c = random.normal(size=count), random.choice(["p", "q", "r"], count)
            frame = pd.DataFrame(
                {
                    "a": a,
                    "b": np.where(random.random(count) < 0.1, np.nan, random.lognormal(size=count)),
                    "c": c,
                    "d": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 500, count), "D"),
                    "y": np.where(a + (c == "p") + random.normal(size=count) > 0.5, "yes", "no"),
                }
            )
            frame.to_parquet(root / "rows" / f"part{number}.parquet")
    features = {"a": "numeric", "b": "numeric", "c": "categorical", "d": "date"}
    expectations = [
        {"expect": "column_values_to_be_between", "column": "a", "min_value": -3, "max_value": 3, "severity": "warn"},
        {"expect": "column_values_to_be_in_set", "column": "c", "value_set": ["p", "q", "r"]},
        {"expect": "column_median_to_be_between", "column": "b", "min_value": 0.5, "max_value": 2},
    ]
    values = {
        "name": "rows",
        "task": "classification",
        "data": {"source": str(root / "rows"), "target": "y", "features": features},
        "validation": {"expectations": expectations},
    }
    return Project.parse(values, "conf/rows.yaml")


def test_without_a_cluster_one_line_says_how_to_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def none(*_: object, **__: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", none)
    for address, fact in (("", "this machine belongs to none"), ("127.0.0.1:9", "127.0.0.1:9 does not answer")):
        monkeypatch.setenv("RAY_ADDRESS", address)
        line = f"^engine: ray needs a Ray cluster, but {fact}; start one with `ray start --head`"
        with pytest.raises(ConfigError, match=line):
            connected()


def test_without_the_package_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with using("ray"), pytest.raises(ConfigError, match=r'pip install "headway\[ray\]"'), open_pool():
        pass
