"""Checkpoints: all that a training needs to go on as if it had never stopped, in one safetensors file, no pickle.

A file is `step-<step>-<checksum>.safetensors`. It is written under a temporary name, synced, renamed; the two newest stay. A file whose
content does not match the checksum in its name is passed over for the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

KEPT = 2


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> Path:
    """Write one checkpoint and remove all but the two newest. ``values`` is JSON beside the tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    content = save(plain, metadata={"values": json.dumps(dict(values))})
    path = folder / f"step-{step:010d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    partial = folder / f".{path.name}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEPT]:
        old.unlink()
    return path


def load_newest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and values of the newest checkpoint that is whole; None where there is none."""
    for path in sorted(folder.glob("step-*.safetensors"), reverse=True):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:16] != path.stem.rsplit("-", 1)[1]:
            continue
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return load(content), json.loads(header["__metadata__"]["values"])
    return None


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as named tensors, `<parameter>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{i}.{name}": torch.as_tensor(value)
        for i, held in state.items()
        for name, value in held.items()
        if value is not None
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what pack_optimizer gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
