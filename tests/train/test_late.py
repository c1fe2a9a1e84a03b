"""Losses that are read late are told with their own steps, all of them, and one that is no number is still found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from headway.data.windows import TokenBatches
from headway.run.directory import RunDirectory
from headway.train.late import LateLosses, Mark
from headway.train.main import main
from headway.train.table import TableWorkload
from tests.train.killed import check_killed_ends_as_whole

MakeRun = Callable[..., RunDirectory]


class Slow:
    """An event of a device that is never done before somebody waits for it."""

    def __init__(self) -> None:
        self.waited = 0

    def query(self) -> bool:
        return bool(self.waited)

    def synchronize(self) -> None:
        self.waited += 1


def mark_slowly(self: LateLosses, step: int, total: Tensor, count: int) -> None:
    self._marks.append(Mark(step, count, total.detach().clone(), Slow()))  # pyrefly: ignore
    total.zero_()


def losses_of(run: RunDirectory) -> list[tuple[int, Any]]:
    return [(event.step, event.metrics) for event in run.events() if "train/loss" in event.metrics]


def test_a_loss_is_told_once_it_has_arrived_or_is_waited_for() -> None:
    late, total = LateLosses(), torch.tensor(6.0)
    mark_slowly(late, 3, total, 3)
    total.add_(4.0)
    mark_slowly(late, 5, total, 2)
    assert list(late.read(wait=False)) == []
    first = late._marks[0].arrived
    assert first is not None
    first.synchronize()
    assert list(late.read(wait=False)) == [(3, 2.0)]
    assert list(late.read(wait=True)) == [(5, 2.0)]
    assert list(late.read(wait=True)) == []


def test_late_losses_are_those_that_are_read_at_once(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"epochs": 4, "checkpoint_seconds": 0.0001}
    plain, late = (make_run(train=settings) for _ in range(2))
    assert main(str(plain.path)) == 0
    monkeypatch.setattr(LateLosses, "mark", mark_slowly)
    assert main(str(late.path)) == 0
    assert losses_of(late) == losses_of(plain)


def test_a_killed_training_tells_each_late_loss_once(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LateLosses, "mark", mark_slowly)
    whole, broken = (make_run(train={"checkpoint_seconds": 0.05}) for _ in range(2))
    check_killed_ends_as_whole(whole, broken, monkeypatch)
    assert losses_of(whole) == losses_of(broken)


def test_a_loss_that_is_no_number_is_found_late(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LateLosses, "mark", mark_slowly)
    plain, calls = TableWorkload.loss, [0]

    def once(self: TableWorkload, outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        calls[0] += 1
        return plain(self, outputs, target, smoothing) * (float("nan") if calls[0] == 60 else 1.0)

    monkeypatch.setattr(TableWorkload, "loss", once)
    run = make_run(train={"record": False})
    assert main(str(run.path)) == 0
    messages = [event.fields["text"] for event in run.events() if event.kind == "warning"]
    assert len(messages) == 1
    assert messages[0].startswith("the loss was not finite by step ")
    assert all(loss["train/loss"] is not None for _, loss in losses_of(run))


@pytest.mark.parametrize("start", [0, 3])
def test_windows_gathered_on_a_device_are_those_gathered_from_memory(start: int) -> None:
    class Pretended:
        """A device that is no CPU by its name."""

        type = "pretended"

        def __index__(self) -> int:
            return 0

    tokens = torch.arange(500).numpy()
    plain = list(TokenBatches(tokens, 4, 8, 0, torch.device("cpu")).epoch(1, start))
    in_memory = TokenBatches(tokens, 4, 8, 0, torch.device("cpu"))
    in_memory._resident_tokens = torch.from_numpy(tokens.astype("int32"))
    places = in_memory.places(1)[start:]
    in_memory.device = Pretended()  # pyrefly: ignore
    windows = in_memory._gather(places)
    assert all(
        torch.equal(one["tokens"], other[:, :-1]) and torch.equal(one["target"], other[:, 1:])
        for one, other in zip(plain, windows, strict=True)
    )
