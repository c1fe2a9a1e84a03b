"""10,000 random rows with columns of every type, by every road: one prediction for a row, or one line everywhere."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import uvicorn
from safetensors.torch import save_file

from headway import tracking
from headway.columns.config import PrepareConfig
from headway.data.config import DataConfig, SplitConfig
from headway.data.opening import open_table
from headway.data.prepare import Preparation
from headway.data.split import Division
from headway.data.storing import make_store
from headway.errors import DataError
from headway.machine.processes import free_port
from headway.models.mlp import MLP
from headway.pipeline import scoring
from headway.pipeline.scoring import score
from headway.run.report import Silent
from headway.serve.app import application
from headway.serve.body import CSV, JSON, PARQUET
from headway.serve.bundle import Predictor, complete_bundle
from headway.serve.config import ServeConfig
from headway.serve.workers import InProcess
from tests.serve.bundles import loaded, promoted
from tests.serve.typed_rows import Column, Rows, every_type, random_rows

ROWS, TRAINING_ROWS = 5_000, 3_000
COLUMNS = every_type(np.random.default_rng(0))
IDS = 2**53 + 1
CHAMPIONS = [("classification", "parquet"), ("regression", "csv")]
TARGETS = {
    "classification": Column("categorical", pa.array(["no", "yes"])),
    "regression": Column("numeric", pa.array(np.random.default_rng(1).normal(size=100), pa.float32())),
}


@dataclass(frozen=True)
class Roads:
    """A champion, and each way to it. ``exact``: it learnt from texts, of which 0.100 and 0.1 are two."""

    root: Path
    answer: str
    exact: bool
    model: Any
    port: int

    def by_pandas(self, frame: pd.DataFrame) -> np.ndarray:
        """Raises DataError."""
        return self.model.predict(frame)[self.answer].to_numpy()

    def by_http(self, body: bytes, kind: str) -> np.ndarray:
        """Raises DataError with the line of a 400."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/invocations", body, {"Content-Type": kind})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                return np.array([row[self.answer] for row in json.load(answer)["predictions"]])
        except urllib.error.HTTPError as error:
            raise DataError(json.load(error)["message"] if error.code == 400 else str(error)) from None


@pytest.fixture(scope="module", params=CHAMPIONS, ids="-".join)
def roads(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roads]:
    """A champion prepared from a file with types or from one of texts, and its server."""
    task, form = request.param
    root = tmp_path_factory.mktemp(task)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        rng = np.random.default_rng(2)
        rows = random_rows({**COLUMNS, "y": TARGETS[task]}, TRAINING_ROWS, rng)
        rows.places["y"][:] = rng.integers(0, len(TARGETS[task].pool), TRAINING_ROWS)
        _learn(root, task, form, rows)
        model = loaded(root, "roads")
        answer = "prediction" if task == "regression" else "probability_yes"
        with _served(Predictor.load(tracking.version_of(root, "roads").bundle)) as port:
            yield Roads(root, answer, form == "csv", model, port)


def _learn(root: Path, task: str, form: str, rows: Rows) -> None:
    """A network with random weights behind a fitted preparation. The quantile scale has jumps, so that it shows every difference."""
    source, prepare = root / f"rows.{form}", {"bins": 0, "words": 8, "scale": "quantile"}
    if form == "csv":
        rows.csv(source, np.random.default_rng(3), exact=True)
    else:
        pq.write_table(rows.table(), source)
    kinds = {name: column.kind for name, column in COLUMNS.items()}
    settings = {"source": source.name, "target": "y", "features": kinds, "keys": ["id"]}
    data = DataConfig.parse({**settings, "keys": []}, "data")
    division = Division(open_table(data, task, root), SplitConfig(by="random"))  # pyrefly: ignore
    store, _ = make_store(root / "prepared", division, data, PrepareConfig.parse(prepare, "prepare"))
    text = json.dumps({"task": task, "data": settings, "prepare": prepare})
    example = store.raw_test(list(kinds)).slice(0, 5).to_pandas()
    promoted(root, "roads", text, task, lambda folder: _bundle(folder, store.preparation), example)


def _bundle(folder: Path, preparation: Preparation) -> None:
    torch.manual_seed(0)
    model = MLP(width=64, depth=2, dropout=0.0)
    folder.mkdir()
    save_file(model.build(preparation.inputs()).state_dict(), folder / "weights.safetensors")
    complete_bundle(folder, preparation, model, "name: x\n")


@contextlib.contextmanager
def _served(predictor: Predictor) -> Iterator[int]:
    """The scoring server's application, in a thread."""
    port = free_port()
    app = application(predictor, ServeConfig(body_megabytes=64))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.05)
        yield port
    finally:
        server.should_exit = True
        thread.join()


def _with_ids(rows: Rows, count: int) -> Rows:
    ids = Column("key", pa.array(range(IDS, IDS + count)))
    return Rows({"id": ids, **rows.columns}, {"id": np.arange(count), **rows.places})


def test_a_row_gets_one_prediction_by_every_road(roads: Roads, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = _with_ids(random_rows(COLUMNS, ROWS, rng), ROWS)
    folder = tmp_path / "in"
    folder.mkdir()
    comma = rows.csv(folder / "a.csv", rng, roads.exact).read_bytes()
    pq.write_table(rows.table(), folder / "b.parquet", row_group_size=2000)
    (folder / "c.jsonl").write_text("\n".join(rows.json_lines(rng, roads.exact, left_out=0.5)))
    lines = rows.json_lines(rng, roads.exact, left_out=0)
    with pa.OSFile(str(folder / "d.arrow"), "wb") as sink, pa.ipc.new_file(sink, rows.table().schema) as writer:
        writer.write_table(rows.table())
    outcome = score("roads", roads.root, Silent(), str(folder), tmp_path / "out")
    assert (outcome.scored, outcome.refused) == (4 * ROWS, 0)
    predictions: dict[str, np.ndarray] = {}
    for name in ("b.parquet", "a.csv.parquet", "c.jsonl.parquet", "d.arrow.parquet"):
        scored = pd.read_parquet(tmp_path / "out" / name)
        assert scored["id"].astype(str).tolist() == [str(IDS + i) for i in range(ROWS)]
        predictions[name] = scored[roads.answer].to_numpy()
    for i in range(3):
        predictions[f"pandas {i}"] = roads.by_pandas(rows.frame(rng, roads.exact))
    body = f'{{"inputs": [{",".join(lines)}]}}'.encode()
    predictions["JSON by HTTP"] = roads.by_http(body, JSON)
    predictions["CSV by HTTP"] = roads.by_http(comma, CSV)
    predictions["Parquet by HTTP"] = roads.by_http((folder / "b.parquet").read_bytes(), PARQUET)
    for name, values in predictions.items():
        np.testing.assert_allclose(values, predictions["b.parquet"], rtol=0, atol=1e-6, err_msg=name)
    _every_column_must_matter(roads, rows)


def _every_column_must_matter(roads: Roads, rows: Rows) -> None:
    """Else it would not be seen that a road reads one otherwise."""
    few = 20
    table = rows.table().slice(0, few)
    places = {name: table.column_names.index(name) for name in COLUMNS}
    without = [table.set_column(i, name, pa.nulls(few, table.column(i).type)) for name, i in places.items()]
    predictions = roads.by_pandas(pa.concat_tables([table, *without]).to_pandas(types_mapper=pd.ArrowDtype))
    whole, *others = predictions.reshape(-1, few)
    for name, values in zip(COLUMNS, others, strict=True):
        differences = np.abs(values - whole)[table.column(name).is_valid().to_numpy()]
        assert (differences > 1e-5).mean() > 0.3, name


INFINITE, MOMENT = float("inf"), datetime(2024, 12, 31, 8)
UNFIT: Mapping[str, tuple[str, pa.Array]] = {
    "infinity in 64 bits": ("float64 numeric", pa.array([INFINITE])),
    "infinity in 32 bits": ("float32 numeric", pa.array([-INFINITE], pa.float32())),
    "infinity as a text": ("string numeric", pa.array(["inf"])),
    "a word": ("int64 numeric", pa.array(["six"])),
    "a word in a dictionary": ("dictionary numeric", pa.array(["six"]).dictionary_encode()),
    "a moment as a number": ("float64 numeric", pa.array([MOMENT])),
    "a moment of a zone as a number": ("decimal128 numeric", pa.array([MOMENT], pa.timestamp("ns", "UTC"))),
    "a day as a number": ("bool numeric", pa.array([date(2024, 12, 31)])),
    "a time as a number": ("uint8 numeric", pa.array([time(8)])),
    "a time as a date": ("date32 date", pa.array([time(8)])),
    "true as a date": ("date32 date", pa.array([True])),
    "a fraction as a date": ("timestamp[ns] date", pa.array([1.5])),
    "a small number as a date": ("int32 date", pa.array([7], pa.uint64())),
    "a word as a date": ("string_view date", pa.array(["yesterday"], pa.string_view())),
}


@pytest.mark.parametrize("roads", CHAMPIONS[:1], indirect=True, ids="-".join, scope="module")
@pytest.mark.parametrize("name", UNFIT)
def test_a_value_that_one_road_refuses_every_road_refuses_in_one_line(
    roads: Roads, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "Workers", InProcess)
    column, values = UNFIT[name]
    table = _with_ids(random_rows(COLUMNS, 2, np.random.default_rng(5)), 2).table()
    table = table.set_column(table.column_names.index(column), column, _and_null(values))
    texts = {key: value[0] if value[0] is None else str(value[0]) for key, value in table.to_pydict().items()}
    frame = pd.DataFrame([texts])
    sink = io.BytesIO()
    pq.write_table(table, sink)
    bodies = {
        CSV: frame.to_csv(index=False).encode(),
        PARQUET: sink.getvalue(),
        JSON: json.dumps({"inputs": [texts]}).encode(),
    }
    lines = [_refusal(lambda body=body, kind=kind: roads.by_http(body, kind)) for kind, body in bodies.items()]
    frames = [table.to_pandas(), table.to_pandas(types_mapper=pd.ArrowDtype), frame]
    lines += [_refusal(lambda one=one: roads.by_pandas(one)) for one in frames]
    for line in lines:
        assert line.startswith(f"rows to predict: column {column} must be "), line
        assert "\n" not in line
    for ending, kind in (("csv", CSV), ("parquet", PARQUET)):
        file = tmp_path / f"a.{ending}"
        file.write_bytes(bodies[kind])
        reason = _set_aside(roads, file, tmp_path / ending)
        assert f"{column} must be " in reason, reason
        assert "\n" not in reason


def _and_null(values: pa.Array) -> pa.Array:
    return pa.concat_arrays([values, pa.nulls(1, values.type)])


def _refusal(ask: Any) -> str:
    with pytest.raises(DataError) as error:
        ask()
    return str(error.value)


def _set_aside(roads: Roads, file: Path, out: Path) -> str:
    """Why `headway score` refuses the file's first row, or the file."""
    try:
        scoring_outcome = score("roads", roads.root, Silent(), str(file), out)
    except DataError as error:
        return str(error)
    assert scoring_outcome.refused == 1
    return str(pd.read_parquet(next(out.glob("*.refused.parquet")))["reason"][0])
