"""The list of planted damages: what is done to which file of which project. Each is one test of test_planted_damages.py.

rows     a table and a network
trees    a table and boosted trees, which have no checkpoints
little   a text and a language model
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support.whole_project import a_list, cut, empty, flip, gone, half_zeros, zeros

Damage = Callable[[Path], None]
Kind = Literal["dead run", "champion", "store", "checkpoint", "database"]


@dataclass(frozen=True)
class Planted:
    """``file``: within the run, the champion's bundle, the store, or the folder. Of checkpoints, how many are damaged, the newest first."""

    kind: Kind
    project: str
    file: str
    damage: Damage

    def __str__(self) -> str:
        return f"{self.project} {self.file} {self.damage.__name__}"

    def plant(self, path: Path) -> None:
        """Damage this file, which must be another one afterwards."""
        before = path.read_bytes()
        self.damage(path)
        assert not path.exists() or path.read_bytes() != before, f"{self} changes nothing"


def spoilt_key(path: Path) -> None:
    """A zero within the first event's key: it is a line still, but no JSON."""
    path.write_bytes(path.read_bytes().replace(b'"kind"', b'"k\x00nd"', 1))


def tail_of_zeros(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 100)


def cut_line(path: Path) -> None:
    """The second line ends early, and the third follows on it."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1][:9], *lines[2:]]))


def no_header(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"\0" * 100)


def page_of_zeros(path: Path) -> None:
    """One page of a table, in the middle of the file."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(b"\0" * 4096)


def _planted(kind: Kind, projects: str, files: str, *damages: Damage) -> tuple[Planted, ...]:
    return tuple(
        Planted(kind, project, file, damage)
        for project in projects.split()
        for file in files.split()
        for damage in damages
    )


# Dead runs: `headway up` looks at them again and again, and every other command passes them by.

JSON = "run.json data.json profile.json validation.json store.json stages.json flow.json tracking.json tuned.json error.json"
DEAD_RUNS = (
    *_planted("dead run", "rows", JSON, cut, empty, zeros),
    *_planted("dead run", "rows", "run.json tracking.json store.json", a_list),
    *_planted("dead run", "rows", "tracking-cursor.json", cut, empty),
    *_planted("dead run", "rows", "journal.jsonl", cut, empty, zeros, half_zeros, spoilt_key, tail_of_zeros, cut_line),
    *_planted("dead run", "rows", "plots/roc.png", cut),
    *_planted("dead run", "rows", "predictions/test.npy", cut, empty),
    *_planted("dead run", "rows", "bundle/weights.safetensors", cut, flip),
    *_planted("dead run", "trees", "run.json journal.jsonl", cut),
    *_planted("dead run", "trees", "bundle/model.txt", cut, flip),
    *_planted("dead run", "little", "run.json tracking.json validation.json", zeros),
    *_planted("dead run", "little", "predictions/test.npy", cut),
    *_planted("dead run", "little", "bundle/preparation.json bundle/weights.safetensors", flip),
)

# Champions: never used damaged; repaired from the run that made them, otherwise the one before takes over, otherwise a person decides.

CHAMPIONS = (
    *_planted("champion", "rows", "weights.safetensors", cut, flip, empty, half_zeros, gone),
    *_planted("champion", "rows", "bundle.json", cut, flip, gone, a_list),
    *_planted("champion", "rows", "preparation.json", cut, flip),
    *_planted("champion", "rows", "learnt.npy", cut),
    *_planted("champion", "rows", "checksums.json", cut, flip),
    *_planted("champion", "trees", "model.txt", cut, flip, zeros, gone),
    *_planted("champion", "trees", "bundle.json preparation.json", zeros),
    *_planted("champion", "little", "preparation.json", cut, flip, gone, a_list),
    *_planted("champion", "little", "weights.safetensors", cut, flip),
    *_planted("champion", "little", "bundle.json", gone, a_list),
    *_planted("champion", "little", "learnt.npy", half_zeros),
    *_planted("champion", "little", "checksums.json", empty),
)

AROUND_CHAMPIONS = (
    *_planted("champion", "rows", "MLmodel", cut, gone),
    *_planted("champion", "rows trees", "pyfunc.py", cut),
    *_planted("champion", "little", "MLmodel input_example.json", cut),
)
"""What MLflow needs around a bundle."""

# Prepared data: made again, and said.

STORES = (
    *_planted("store", "rows", "train/numeric.npy", cut, half_zeros, flip, gone),
    *_planted("store", "rows", "train/target.npy", flip),
    *_planted("store", "rows", "test/unit.npy", empty),
    *_planted("store", "rows", "raw/test.arrow", cut, flip),
    *_planted("store", "rows", "store.json", cut, gone, a_list),
    *_planted("store", "rows", "preparation.json", flip),
    *_planted("store", "rows", "learnt.npy", gone),
    *_planted("store", "rows", "checksums.json", empty, flip),
    *_planted("store", "trees", "train/categorical.npy", zeros),
    *_planted("store", "little", "preparation.json", cut, flip, gone),
    *_planted("store", "little", "train/tokens_0.values.npy", cut, half_zeros, flip),
    *_planted("store", "little", "test/tokens_0.offsets.npy", gone),
    *_planted("store", "little", "raw/test.arrow", cut),
    *_planted("store", "little", "store.json", a_list),
    *_planted("store", "little", "learnt.json checksums.json", flip),
)

# Checkpoints: a training goes on from the one before.

CHECKPOINTS = (
    *_planted("checkpoint", "rows", "1 2", cut, flip, empty, zeros),
    *_planted("checkpoint", "little", "1 2", half_zeros, flip),
)

# Databases: saved row by row, else from a backup, else anew; a command says which file it is.

DATABASES = (
    *_planted("database", "rows", "mlruns/mlflow.db", no_header, cut, empty, zeros, half_zeros, gone),
    *_planted("database", "little", "mlruns/mlflow.db", half_zeros, gone),
)
PREFECT = _planted("database", "rows", ".prefect/prefect.db", no_header, zeros)
PAGES = _planted("database", "rows", ".prefect/prefect.db", page_of_zeros)

PLANTED = (*DEAD_RUNS, *CHAMPIONS, *AROUND_CHAMPIONS, *STORES, *CHECKPOINTS, *DATABASES, *PREFECT, *PAGES)

__all__ = [
    "AROUND_CHAMPIONS",
    "CHAMPIONS",
    "CHECKPOINTS",
    "DATABASES",
    "DEAD_RUNS",
    "PAGES",
    "PLANTED",
    "PREFECT",
    "STORES",
    "Planted",
]
