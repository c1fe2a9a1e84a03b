"""Batches: every row once an epoch, one order whatever reads it, and any step to begin with."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headway.columns.ragged import Ragged
from headway.data import streamed
from headway.data.batches import Batch, Batches, ResidentBatches
from headway.data.loader import LoaderBatches
from headway.data.padded import NARROWER, PaddedRows
from headway.data.streamed import StreamedBatches

CPU = torch.device("cpu")
ROWS = 1003


def table(rows: int = ROWS) -> dict[str, torch.Tensor]:
    number = torch.arange(rows)
    return {
        "numeric": number[:, None] * torch.tensor([1.0, 10.0]),
        "categorical": torch.empty(rows, 0, dtype=torch.int32),
        "target": number,
    }


def make(kind: str, batch_size: int = 64, seed: int = 0, rows: int = ROWS) -> Batches:
    if kind == "loader":
        return LoaderBatches(table(rows), batch_size, seed, CPU)
    if kind == "resident":
        return ResidentBatches(table(rows), batch_size, seed)
    return StreamedBatches(table(rows), batch_size, seed, CPU, window_bytes=2048, blocks=8)


def targets(batches: Batches, epoch: int = 0, start: int = 0) -> list[list[int]]:
    return [batch["target"].tolist() for batch in batches.epoch(epoch, start)]


KINDS = pytest.mark.parametrize("kind", ["resident", "streamed", "loader"])


@KINDS
@pytest.mark.parametrize("batch_size", [1, 64, 1000, 1003, 5000])
def test_every_row_comes_once_an_epoch_in_full_batches_but_the_last(kind: str, batch_size: int) -> None:
    batches = make(kind, batch_size)
    result = targets(batches)
    assert sorted(itertools.chain(*result)) == list(range(ROWS))
    assert len(result) == batches.steps
    assert [len(batch) for batch in result] == [batches.count(step) for step in range(batches.steps)]
    assert all(len(batch) == batch_size for batch in result[:-1])


@KINDS
def test_the_columns_of_a_row_stay_together(kind: str) -> None:
    batch: Batch
    for batch in make(kind).epoch(0):
        assert torch.equal(batch["numeric"], batch["target"][:, None] * torch.tensor([1.0, 10.0]))
        assert batch["categorical"].shape == (len(batch["target"]), 0)


@KINDS
def test_seed_and_epoch_alone_decide_the_order(kind: str) -> None:
    assert targets(make(kind), 3) == targets(make(kind), 3)
    assert targets(make(kind), 3) != targets(make(kind), 4)
    assert targets(make(kind), 3) != targets(make(kind, seed=1), 3)


@KINDS
@pytest.mark.parametrize("start", [0, 1, 5, 15, 16])
def test_any_step_can_be_the_first(kind: str, start: int) -> None:
    batches = make(kind)
    assert targets(batches, 2, start) == targets(batches, 2)[start:]


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_the_number_of_readers_changes_nothing(workers: int) -> None:
    one = StreamedBatches(table(), 64, 0, CPU, workers=1, window_bytes=2048, blocks=8)
    many = StreamedBatches(table(), 64, 0, CPU, workers=workers, window_bytes=2048, blocks=8)
    assert targets(one) == targets(many)


def test_a_streamed_batch_mixes_rows_from_everywhere() -> None:
    batches = StreamedBatches(table(100_000), 512, 0, CPU, window_bytes=1 << 16, blocks=64)
    spread = [np.std(batch) / np.std(np.arange(100_000)) for batch in targets(batches)[:-1]]
    assert 0.8 < np.mean(spread) < 1.2
    neighbours = [float(np.mean(np.diff(np.sort(batch)) == 1)) for batch in targets(batches)[:-1]]
    assert np.mean(neighbours) < 0.35  # a window holds one row in forty of the table


def test_rows_are_read_from_a_mapped_file(tmp_path: Path) -> None:
    mapped = {}
    for name, tensor in table().items():
        np.save(tmp_path / f"{name}.npy", tensor.numpy())
        mapped[name] = torch.from_numpy(np.load(tmp_path / f"{name}.npy", mmap_mode="c"))
    read = StreamedBatches(mapped, 64, 0, CPU, workers=2, window_bytes=2048, blocks=8)
    assert targets(read) == targets(make("streamed"))


def test_the_system_reads_ahead_as_soon_as_rows_come_from_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that lie in memory already are only gathered."""
    batches = make("streamed")
    assert isinstance(batches, StreamedBatches)
    faults, gathered, hints = [0], [0], list[int]()
    gather = StreamedBatches._gather

    def counted(self: StreamedBatches, *parts: Any) -> torch.Tensor:
        gathered[0] += 1
        faults[0] += gathered[0] == 7  # within the third window of three tensors
        return gather(self, *parts)

    monkeypatch.setattr(StreamedBatches, "_gather", counted)
    monkeypatch.setattr(streamed, "_will_need", lambda *_: hints.append(gathered[0]))
    assert targets(batches) == targets(make("streamed"))
    assert hints == []
    gathered[0] = 0
    monkeypatch.setattr(streamed, "_faults", lambda: faults[0])
    assert targets(batches) == targets(make("streamed"))
    assert hints
    assert hints[:3] == [9, 9, 9]


def test_a_loop_that_ends_early_leaves_no_reader_behind() -> None:
    import threading

    before = threading.active_count()
    for _ in make("streamed").epoch(0):
        break
    assert threading.active_count() == before


def test_a_plain_loader_gives_the_resident_batches_and_draws_nothing_from_torchs_generator() -> None:
    before = torch.get_rng_state()
    assert targets(make("loader"), 2) == targets(make("resident"), 2)
    assert torch.equal(before, torch.get_rng_state())


def ragged(rows: int) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [rng.integers(1, 1000, rng.integers(0, 6)).tolist() for _ in range(rows)]


def with_tokens(kind: str, lists: list[list[int]], batch_size: int = 64) -> Batches:
    tensors = {**table(len(lists)), "tokens_0": PaddedRows.of(Ragged.of(lists))}
    if kind == "loader":
        return LoaderBatches(tensors, batch_size, 0, CPU)
    if kind == "resident":
        return ResidentBatches(tensors, batch_size, 0)
    return StreamedBatches(tensors, batch_size, 0, CPU, workers=2, window_bytes=2048, blocks=8)


def padded(row: list[int], width: int) -> list[int]:
    return (row + [0] * width)[:width]


@KINDS
@pytest.mark.parametrize("rows", [ROWS, 5, 1])
def test_ragged_rows_come_padded_beside_their_own_row(kind: str, rows: int) -> None:
    lists = ragged(rows)
    longest, come = max(1, *(len(row) for row in lists)), []
    for batch in with_tokens(kind, lists).epoch(1):
        numbers, width = batch["target"].tolist(), batch["tokens_0"].shape[1]
        assert batch["tokens_0"].dtype == torch.int32
        assert batch["tokens_0"].tolist() == [padded(lists[i], width) for i in numbers]
        assert max(len(lists[i]) for i in numbers) <= width <= longest
        assert kind != "streamed" or width == longest
        come += numbers
    assert sorted(come) == list(range(rows))


def test_batches_of_like_width_have_few_shapes_little_padding_and_every_row_in_a_full_batch() -> None:
    rng = np.random.default_rng(0)
    lists = [rng.integers(1, 9, length).tolist() for length in rng.geometric(0.05, 5000)]
    batches = with_tokens("resident", lists, 32)
    shapes, orders = set(), []
    for epoch in (0, 1):
        tokens, numbers = 0, list[int]()
        for step, batch in enumerate(batches.epoch(epoch)):
            assert len(batch["target"]) == batches.count(step)
            shapes.add(batch["tokens_0"].shape[1])
            tokens += batch["tokens_0"].numel()
            numbers += batch["target"].tolist()
        assert sorted(numbers) == list(range(5000))
        assert tokens < 0.4 * 5000 * max(map(len, lists))
        orders.append(numbers)
    assert len(shapes) <= len(NARROWER) + 1
    assert orders[0] != orders[1]
    last = [len(lists[i]) for epoch in range(40) for i in list(batches.epoch(epoch))[-1]["target"].tolist()]
    assert np.mean(last) == pytest.approx(np.mean([len(row) for row in lists]), rel=0.2), (
        "the rest is drawn, not the longest"
    )
    fixed = ResidentBatches(batches.tensors, 32, 0, one_shape=True)  # pyrefly: ignore
    assert {batch["tokens_0"].shape[1] for batch in fixed.epoch(0)} == {max(map(len, lists))}
    assert targets(fixed) == targets(batches)


@KINDS
def test_ragged_batches_begin_at_any_step_and_all_residences_but_the_stream_have_one_order(kind: str) -> None:
    lists = ragged(ROWS)
    batches = [batch["tokens_0"].tolist() for batch in with_tokens(kind, lists).epoch(2)]
    for start in (1, 9, 15):
        assert [batch["tokens_0"].tolist() for batch in with_tokens(kind, lists).epoch(2, start)] == batches[start:]
    if kind != "streamed":
        assert targets(with_tokens(kind, lists), 2) == targets(with_tokens("resident", lists), 2)


@KINDS
def test_ragged_rows_that_are_all_empty_are_a_column_of_padding(kind: str) -> None:
    for batch in with_tokens(kind, [[] for _ in range(70)]).epoch(0):
        assert batch["tokens_0"].tolist() == [[0]] * len(batch["target"])


def test_a_row_that_is_longer_than_the_width_is_cut() -> None:
    rows = PaddedRows.of(Ragged.of([[1, 2, 3], [4]]), 2)
    assert rows[:].tolist() == rows.index_select(0, torch.tensor([0, 1])).tolist() == [[1, 2], [4, 0]]
    out = np.ones((2, 2), np.int32)
    rows.gather(np.array([1, 0]), out)
    assert out.tolist() == [[4, 0], [1, 2]]
