"""Predictions on every core: the same as one process's, in order, whatever happens to a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headway.errors import DataError, HeadwayError
from headway.serve.bundle import Predictor
from headway.serve.workers import Workers
from headway.tasks import Target
from tests.serve.bundles import CLASSES, VALUE, bundle_of, rows


@pytest.mark.parametrize("target", [CLASSES, VALUE])
def test_workers_answer_in_order_as_one_process_does(tmp_path: Path, target: Target) -> None:
    bundle = bundle_of(tmp_path / "bundle", target)
    batches = [rows(n, n) for n in (300, 1, 50, 299, 7, 1000, 2)]
    batches.insert(3, batches[0].select(["k", "x"]))  # another schema on the way
    alone = Predictor.load(bundle)
    with Workers(bundle, 2) as workers:
        answers = list(workers.predict(iter(batches)))
        again = list(workers.predict(batches[:2]))
    assert [len(f) for f in answers] == [b.num_rows for b in batches]
    for batch, one in zip(batches, answers, strict=True):
        truth = alone.predict(batch)
        assert (one.shape, one.dtype) == (truth.shape, truth.dtype)
        np.testing.assert_allclose(one, truth, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(again[0], answers[0])


def test_few_batches_are_in_memory_at_a_time(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", CLASSES)
    read = 0

    def source() -> Iterator[pa.RecordBatch]:
        nonlocal read
        for seed in range(40):
            read += 1
            yield rows(10, seed)

    with Workers(bundle, 2) as workers:
        answered = 0
        for _ in workers.predict(source()):
            answered += 1
            assert read - answered <= 4
    assert answered == 40


def test_refused_rows_are_refused_with_the_predictors_words_and_the_pool_goes_on(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", CLASSES)
    wrong = pa.RecordBatch.from_pydict({"x": ["one", "2"], "k": ["p", "q"]})
    with pytest.raises(DataError) as error:
        Predictor.load(bundle).predict(wrong)
    with Workers(bundle, 1) as workers:
        with pytest.raises(DataError) as refusal:
            list(workers.predict([rows(5, 0), wrong]))
        assert str(refusal.value) == str(error.value)
        assert len(next(workers.predict([rows(5, 0)]))) == 5


def test_a_killed_worker_is_told_of_in_one_line(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", CLASSES)
    with Workers(bundle, 1) as workers:
        list(workers.predict([rows(5, 0)]))
        workers._all[0].process.kill()
        with pytest.raises(HeadwayError, match=r"must keep running, but it ended \(signal 9\)"):
            list(workers.predict([rows(5, 0)]))


def test_no_bundle_ends_the_worker_and_says_so(tmp_path: Path) -> None:
    with Workers(tmp_path / "none", 1) as workers, pytest.raises(HeadwayError, match="must keep running, but it ended"):
        list(workers.predict([rows(5, 0)]))
