"""Checkpoints: all that a training needs to go on as if it had never stopped, in one safetensors file, no pickle.

A file is `step-<step>-<checksum>.safetensors`. It is written off the training thread, under a temporary name, synced, renamed; the two
newest stay. A file whose content does not match the checksum in its name is passed over for the one before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from headway.errors import TrainingError
from headway.files.atomic import write_atomically
from headway.files.checksums import is_as_named

KEPT = 2


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> Path:
    """Write one checkpoint and remove all but the two newest. ``values`` is JSON beside the tensors, which are on the CPU."""
    from safetensors.torch import save

    content = save(dict(tensors), metadata={"values": json.dumps(dict(values))})
    path = folder / f"step-{step:010d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    write_atomically(path, content)
    for old in folder.glob(f"step-{step:010d}-*.safetensors"):
        if old != path:  # of the same step, before training stepped back: the newest is the one that counts
            old.unlink()
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEPT]:
        old.unlink()
    return path


def load_newest(
    folder: Path, warn: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and values of the newest checkpoint that is whole; None where there is none. ``warn`` gets a line for each damaged one."""
    from safetensors.torch import load

    for path in sorted(folder.glob("step-*.safetensors"), reverse=True):
        if not is_as_named(path):
            warn(f"the checkpoint {path.name} is damaged: training goes on from the one before it, or from the start")
            continue
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return load(content), json.loads(header["__metadata__"]["values"])
    return None


class CheckpointWriter:
    """Writes one checkpoint at a time on a thread of its own; training waits only if the one before is not yet on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, "headway-checkpoint")
        self._pending: tuple[int, Future[Path]] | None = None

    def submit(
        self, step: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
    ) -> tuple[int, OSError | None] | None:
        """Hand over a snapshot. Returns what became of the one before: its step and the error, if it could not be written."""
        outcome = self.wait()
        self._pending = step, self._pool.submit(save_checkpoint, self._folder, step, tensors, values)
        return outcome

    def poll(self) -> tuple[int, OSError | None] | None:
        """The checkpoint that ended since the last call, if one did."""
        return self.wait() if self._pending is not None and self._pending[1].done() else None

    def wait(self) -> tuple[int, OSError | None] | None:
        """Wait for the one under way."""
        if self._pending is None:
            return None
        step, future = self._pending
        self._pending = None
        try:
            future.result()
        except OSError as error:
            return step, error
        return step, None

    def close(self) -> None:
        """End the thread; what is under way is finished first."""
        self._pool.shutdown(wait=True)


def check_continues(values: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Whether a checkpoint belongs to this training. Returns a warning for another torch.

    Raises TrainingError when it is of another model, other data or another recipe: going on would be neither the one nor the other.
    """
    labels = {"data": "the prepared data", "model": "the model", "recipe": "the recipe"}
    for key, what in labels.items():
        if values.get(key) != now[key]:
            raise TrainingError(
                f"a checkpoint must be of the training that is resumed, but {what} changed since; "
                "remove the run's checkpoints/ to start again"
            )
    if values.get("torch") != now["torch"]:
        return (
            f"the checkpoint is of torch {values.get('torch')} and this is {now['torch']}: the last digits may differ"
        )
    return None
