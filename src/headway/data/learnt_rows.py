"""The rows that a model was trained on, kept beside it, so that no later comparison tests it on those rows.

learnt.json   the rule that divided the rows, in words for people
learnt.npy    (M,) uint64, sorted: the identities of the rows of its training and its validation

Up to a million identities are all kept. Of more rows only the lowest hashes are kept, which is a random sample. Whether a row above
the sample was learnt is unknown, unless many test rows lie in the sample and none of them was learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headway.columns.hashes import first_places
from headway.data.earlier import renamed_rule
from headway.data.identity import Identity
from headway.data.reading import FileReading
from headway.errors import ConfigError, DataError
from headway.files.atomic import read_json, write_json

LEARNT_FILES = DESCRIPTION, HASHES = "learnt.json", "learnt.npy"
MOST = 1_000_000
ENOUGH = 1_000
"""Test rows in the sample of which none was learnt: then at most 0.3 % of all were (3 / n, the 95 % bound of zero hits of n)."""

FORMAT = 1
IDENTITY = "the columns that tell rows apart"


@dataclass(frozen=True)
class Rule:
    """How rows were divided: the settings, the digest of the data, and of each file that was the test by its name.

    ``reading``: how the files were read, which decides on the hash of a row. None of texts, and of versions older than this.
    """

    settings: Mapping[str, Any]
    data: str
    test_files: tuple[str, ...] = ()
    reading: FileReading | None = None

    def changes(self, later: Rule) -> list[str]:
        """What differs in a later rule, for people."""
        before, after = dict(self.settings), dict(later.settings)
        if self.reading is not None and later.reading is not None:
            before |= self.reading.settings
            after |= later.reading.settings
        pairs = [(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
        return [f"{name} {_change(old, new)}" for name, old, new in pairs if old != new]


def _change(old: Any, new: Any) -> str:
    """Of two lists only their difference, since rows may be told apart by hundreds of columns."""
    if isinstance(old, list) and isinstance(new, list):
        losses, gains = [x for x in old if x not in new], [x for x in new if x not in old]
        parts = [
            f"lost {', '.join(map(str, losses[:3]))}" if losses else "",
            f"gained {', '.join(map(str, gains[:3]))}" if gains else "",
        ]
        return " and ".join(part for part in parts if part)
    return f"was {'left out' if old is None else old}, is {'left out' if new is None else new}"


@dataclass(frozen=True)
class LearntRows:
    """The identities that a version learnt from. ``hashes`` are those below ``below``, which is 2^64 where all are kept."""

    rule: Rule
    identity: Identity | None
    below: int
    hashes: np.ndarray

    @classmethod
    def of(
        cls, rule: Rule, identity: Identity | None, hashes: np.ndarray, eligible: np.ndarray | None = None
    ) -> LearntRows:
        """From the hashes (N,) of the rows of training and validation, or of those that are ``eligible`` (N,) bool among all."""
        identities = _lowest(hashes, eligible, MOST + 1)
        below = int(identities[MOST]) if len(identities) > MOST else 2**64
        return cls(rule, identity, below, identities[:MOST])

    def read_as(self, reading: FileReading) -> LearntRows:
        """The same, of files that were read so."""
        return replace(self, rule=replace(self.rule, reading=reading))

    def contains(self, hashes: np.ndarray) -> np.ndarray:
        """(N,) bool: which identities are among those kept."""
        if not len(self.hashes):
            return np.zeros(len(hashes), bool)
        at = np.searchsorted(self.hashes, hashes).clip(max=len(self.hashes) - 1)
        return self.hashes[at] == hashes

    @property
    def whole(self) -> bool:
        """Whether every identity is kept."""
        return self.below >= 2**64

    def covers(self, hashes: np.ndarray) -> np.ndarray:
        """(N,) bool: the identities of which it is known whether they were learnt."""
        return np.ones(len(hashes), bool) if self.whole else hashes < np.uint64(self.below)

    def unlearnt(self, hashes: np.ndarray) -> np.ndarray:
        """(N,) bool: which rows it has not learnt from, as far as the sample says."""
        hits, in_sample = self.contains(hashes), self.covers(hashes)
        if not hits.any() and in_sample.sum() >= ENOUGH:
            return np.ones(len(hashes), bool)
        return ~hits & in_sample

    def write(self, folder: Path) -> None:
        """Keep it in a folder. The description is written last."""
        np.save(folder / HASHES, self.hashes)
        identity = self.identity.to_json() if self.identity else None
        rule = {"settings": self.rule.settings, "data": self.rule.data, "test_files": list(self.rule.test_files)}
        if self.rule.reading is not None:
            rule["reading"] = self.rule.reading.to_json()
        write_json(folder / DESCRIPTION, {"format": FORMAT, "rule": rule, "identity": identity, "below": self.below})

    @classmethod
    def read(cls, folder: Path) -> LearntRows | None:
        """What write kept; None for a version older than this. Raises ConfigError for a newer format."""
        if not (folder / DESCRIPTION).exists():
            return None
        values = read_json(folder / DESCRIPTION)
        if values["format"] > FORMAT:
            raise ConfigError(
                f"{DESCRIPTION}'s format must be at most {FORMAT}, but is {values['format']}; update Headway"
            )
        division = values["rule"]
        reading = FileReading.from_json(division["reading"], folder / DESCRIPTION) if "reading" in division else None
        rule = Rule(renamed_rule(division["settings"]), division["data"], tuple(division["test_files"]), reading)
        identity = Identity.from_json(values["identity"]) if values["identity"] else None
        return cls(rule, identity, int(values["below"]), np.load(folder / HASHES, allow_pickle=False))


def _lowest(hashes: np.ndarray, eligible: np.ndarray | None, most: int) -> np.ndarray:
    """The ``most`` smallest of different hashes, sorted, without a copy of them all."""
    lowest, waiting = np.zeros(0, np.uint64), [np.zeros(0, np.uint64)]
    for start in range(0, len(hashes), most):
        part = hashes[start : start + most]
        part = part if eligible is None else part[eligible[start : start + most]]
        waiting.append(part if len(lowest) < most else part[part < lowest[-1]])
        if sum(map(len, waiting)) >= most:
            lowest, waiting = _ordered([lowest, *waiting])[:most], []
    return _ordered([lowest, *waiting])[:most]


def _ordered(parts: list[np.ndarray]) -> np.ndarray:
    """Each once. np.unique keeps a hash table of its own, ten times as slow."""
    ordered = np.sort(np.concatenate(parts))
    return ordered[first_places(ordered)]


@dataclass(frozen=True)
class Examinable:
    """The test rows that a champion may be examined on: ``mask`` (N,) bool. ``why`` says why others are left out."""

    mask: np.ndarray
    why: str = ""

    @property
    def left_out(self) -> int:
        """How many rows are not among them."""
        return int((~self.mask).sum())

    def sentence(self, unit: str = "test rows") -> str:
        """One clause for the decision; empty where nothing is left out and nothing is to be said."""
        if not self.left_out:
            return self.why
        are = "is" if self.left_out == 1 else "are"
        return f"{self.left_out:,} of {len(self.mask):,} {unit} {are} left out: {self.why}"


def examinable(
    own: LearntRows, champion: LearntRows | None, label: str, rows: int, unlearnt: Callable[[LearntRows], np.ndarray]
) -> Examinable:
    """Which of the candidate's ``rows`` test rows the champion has not learnt from.

    ``unlearnt`` gives (rows,) bool for what the champion has learnt; it may raise ConfigError or DataError where the data no
    longer has the columns that this needs, or has them in other kinds, or cannot be read as it was: then no row can be used.
    """
    everything = np.ones(rows, bool)
    if champion is None:
        why = f"the training rows of {label} were not recorded, so its metric may be too good"
        return Examinable(everything, why)
    same = champion.rule.settings == own.rule.settings and champion.identity == own.identity
    if same and (champion.rule.data == own.rule.data or _same_test_files(own.rule, champion.rule)):
        return Examinable(everything)
    try:
        mask = unlearnt(champion)
    except (ConfigError, DataError) as error:
        return Examinable(np.zeros(rows, bool), f"the training rows of {label} cannot be recognised: {error}")
    if mask.all():
        return Examinable(mask, _nothing_known(own, champion, label))
    changes = "; ".join(champion.rule.changes(own.rule)[:3])
    return Examinable(mask, f"{label} learnt from them" + (f" ({changes})" if changes else ""))


def _nothing_known(own: LearntRows, champion: LearntRows, label: str) -> str:
    """The warning where the data holds no training row of the champion any more: if their values changed, none can be recognised."""
    if champion.identity is None or champion.identity != own.identity or own.contains(champion.hashes).any():
        return ""
    names = champion.identity.columns
    columns = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return (
        f"no training row of {label} is in these files (rows are recognised by {columns}): if these are the "
        "same rows with other values, its metric may be too good"
    )


def _same_test_files(own: Rule, champion: Rule) -> bool:
    """Whether every official test file was one of the champion's, which trained on none of them."""
    return bool(own.test_files) and set(own.test_files) <= set(champion.test_files)


def described(settings: Mapping[str, Any], identity: Sequence[str], section: str = "split") -> Mapping[str, Any]:
    """A rule's settings as people compare them: those of a section of the YAML, and the columns that tell rows apart."""
    plain = {f"{section}.{name}": list(v) if isinstance(v, tuple) else v for name, v in settings.items()}
    return {**{k: v for k, v in plain.items() if v not in (None, [])}, IDENTITY: list(identity)}
