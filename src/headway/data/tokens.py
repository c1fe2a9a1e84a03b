"""The store of a text's tokens.

<digest>/tokenizer.json       the tokenizer, fitted on the training part
<digest>/<split>.npy          (N,) uint16 or uint32: all documents of the part, an end token after each
<digest>/raw/test.jsonl       the test's documents, one JSON string a line: for champions with another tokenizer
<digest>/learnt.json .npy     which passages train and validation hold, for later comparisons
<digest>/store.json           tokens, bytes and documents of each part; its presence means whole
<digest>/checksums.json       written last
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from headway.columns.config import PrepareConfig
from headway.columns.tokenizer import BytePairs, Characters, Tokenizer, tokenizer_from_json
from headway.data.arrays import GrowingArray
from headway.data.config import SPLITS, Split
from headway.data.documents import Documents
from headway.data.learnt import LEARNT_FILES, Learnt
from headway.data.ready import is_ready
from headway.errors import DataError
from headway.files import checksums
from headway.files.atomic import digest, read_json, write_json
from headway.files.records import Record

FORMAT = 5


@dataclass(frozen=True)
class Contents(Record):
    """store.json of a folder of tokens: how many different tokens, whether documents end with one, and the size of each part."""

    vocabulary: int
    ends: bool
    bytes: Mapping[str, int]
    documents: Mapping[str, int]
    tokens: Mapping[str, int]
    kind: str = "tokens"


@dataclass(frozen=True)
class TokenStore:
    """A finished folder of tokens. Whatever reads a damaged file of it raises DamagedError."""

    path: Path

    def _file(self, name: str) -> Path:
        """A file's path, once it is what was written."""
        checksums.check(self.path, name)
        return self.path / name

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the tokens."""
        return tokenizer_from_json(read_json(self._file("tokenizer.json")))

    @cached_property
    def described(self) -> Contents:
        """store.json."""
        return Contents.read(self._file("store.json"))

    @property
    def learnt(self) -> Learnt:
        """The passages of train and validation."""
        checksums.check(self.path, *LEARNT_FILES)
        learnt = Learnt.read(self.path)
        assert learnt is not None, "every store of this format has it"
        return learnt

    def tokens(self, split: Split) -> np.ndarray:
        """(N,) memory-mapped."""
        return np.load(self._file(f"{split}.npy"), mmap_mode="r")

    def test_documents(self) -> Iterator[str]:
        """The test part's documents as they were, one after the other."""
        with open(self._file("raw/test.jsonl"), encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def make_token_store(
    folder: Path,
    documents: Documents,
    prepare: PrepareConfig,
    smallest: int,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[TokenStore, bool]:
    """The store in ``folder``, and whether it was there already. A damaged one is made again, which ``warn`` is told.

    Raises DataError when a part has no more than ``smallest`` tokens.
    """
    split = documents.split.model_dump(mode="json")
    how = [
        documents.column,
        documents.table.keys,
        split,
        documents.most,
        prepare.tokens.tokenizer,
        prepare.tokens.vocabulary,
    ]
    path = folder / digest({"format": FORMAT, "data": documents.table.digest, "how": how})
    if is_ready(path, warn):
        return TokenStore(path), True
    with checksums.replacing_folder(path) as partial:
        (partial / "raw").mkdir()
        tokenizer = _fit(documents, prepare)
        write_json(partial / "tokenizer.json", tokenizer.to_json())
        documents.learnt().write(partial)
        _write(partial, documents, tokenizer, smallest).write(partial / "store.json")
    return TokenStore(path), False


def _fit(documents: Documents, prepare: PrepareConfig) -> Tokenizer:
    """On the training part only: a test character that training lacks is unknown, as it will be in use."""
    training = (document.text for split, document in documents.parts() if split == "train")
    return (
        Characters.fit(training)
        if prepare.tokens.tokenizer == "characters"
        else BytePairs.fit(training, prepare.tokens.vocabulary)
    )


def _write(folder: Path, documents: Documents, tokenizer: Tokenizer, smallest: int) -> Contents:
    """One pass over the documents."""
    ends = documents.are_whole
    kind = np.dtype(np.uint16 if tokenizer.size <= 2**16 else np.uint32)
    sizes: dict[str, int] = dict.fromkeys(SPLITS, 0)
    counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
    with ExitStack() as files:
        arrays = {split: files.enter_context(GrowingArray(folder / f"{split}.npy", kind)) for split in SPLITS}
        raw = files.enter_context(open(folder / "raw" / "test.jsonl", "w", encoding="utf-8"))
        for split, document in documents.parts():
            arrays[split].append(tokenizer.encode_document(document.text, ends))
            sizes[split] += len(document.text.encode())
            counts[split] += 1
            if split == "test":
                raw.write(json.dumps(document.text) + "\n")
    tokens: dict[str, int] = {split: array.count for split, array in arrays.items()}
    for split, count in tokens.items():
        if count <= smallest:
            raise DataError(
                f"the {split} part must have more tokens than model.context, {smallest}, but it has {count:,}"
            )
    return Contents(tokenizer.size, ends, sizes, counts, tokens)
