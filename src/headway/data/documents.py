"""Documents: the rows of a table with one column of text and no target, each with the part that it belongs to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from headway.data.checks import Finding, check_shares
from headway.data.config import SPLITS, Split, SplitConfig, ValidationConfig
from headway.data.learnt_rows import LearntRows, Rule, described
from headway.data.shingles import all_shingles
from headway.data.split import Division

if TYPE_CHECKING:
    from headway.data.source import Table

EXAMPLES = 3
ROWS = 1024
"""Documents in memory at once."""
BATCH_CHARACTERS = 1 << 22
"""Of one part, in memory at once, the last document beyond them."""
WORTH_KNOWING = 0.001
"""A model of characters is warned of when training lacks more than this share of the test's characters."""


@dataclass(frozen=True)
class Document:
    """Its name (its keys, or its row) and its text."""

    name: str
    text: str


@dataclass(frozen=True)
class Documents:
    """The documents of a table. ``most``: how many bytes of them are read, None for all."""

    table: Table
    split: SplitConfig
    most: int | None = None

    @property
    def column(self) -> str:
        """The column that holds them."""
        (column,) = self.table.kinds
        return column

    @property
    def are_whole(self) -> bool:
        """Whether a part holds whole documents, rather than a piece of one text."""
        return self.split.by != "position"

    @cached_property
    def division(self) -> Division:
        """The rows, divided once for every pass over the documents."""
        return Division(self.table, self.split)

    def each(self) -> Iterator[tuple[int, Document]]:
        """Every document that holds text, with the number of its row. Raises DataError where one cannot be read."""
        rest, keys = self.most, self.table.keys
        for chunk in self.table.chunks(list(dict.fromkeys([*keys, self.column])), ROWS):
            for number, values in enumerate(chunk.batch.to_pylist(), chunk.start):
                text = values[self.column] or ""
                if rest is not None:
                    content = text.encode()
                    text, rest = content[:rest].decode("utf-8", "ignore"), rest - len(content)
                if text.strip():
                    name = "/".join(str(values[key]) for key in keys) or f"row {number + 1:,}"
                    yield number, Document(name, text)
                if rest is not None and rest <= 0:
                    return

    def parts(self) -> Iterator[tuple[Split, Document]]:
        """Every document, or by position every piece of the whole, with the part that it belongs to.

        By position the last share is the test, and the end of the rest is the validation.
        """
        if self.are_whole:
            parts = self.division.parts
            for number, document in self.each():
                yield SPLITS[parts[number]], document
            return
        whole = "\n".join(document.text for _, document in self.each())
        test = int(len(whole) * (1 - self.split.test))
        validation = int(test * (1 - self.split.validation))
        bounds = (0, validation, test, len(whole))
        for split, first, last in zip(SPLITS, bounds, bounds[1:], strict=False):
            yield split, Document(split, whole[first:last])

    def batches(self) -> Iterator[tuple[Split, pa.RecordBatch]]:
        """The documents of each part as rows of their one column, so many together as fit in memory; the order in a part stays."""
        waiting: dict[Split, list[str]] = {split: [] for split in SPLITS}
        sizes: Counter[Split] = Counter()
        for split, document in self.parts():
            waiting[split].append(document.text)
            sizes[split] += len(document.text)
            if len(waiting[split]) == ROWS or sizes[split] >= BATCH_CHARACTERS:
                yield split, self._batch(waiting[split])
                waiting[split], sizes[split] = [], 0
        for split, texts in waiting.items():
            if texts:
                yield split, self._batch(texts)

    def _batch(self, texts: list[str]) -> pa.RecordBatch:
        """Large strings: by position, a part is one text of any length."""
        return pa.record_batch({self.column: pa.array(texts, pa.large_string())})

    def described(self) -> dict[str, object]:
        """All that decides which documents there are, and in which part."""
        split = self.split.model_dump(mode="json")
        return {
            "data": self.table.digest,
            "column": self.column,
            "keys": self.table.keys,
            "split": split,
            "most": self.most,
        }

    def learnt(self) -> LearntRows:
        """The passages of train and validation."""
        hashes = all_shingles(document.text for split, document in self.parts() if split != "test")
        settings = described(self.split.model_dump(mode="json"), ())
        limit = {} if self.most is None else {"data.max_bytes": self.most}
        return LearntRows.of(Rule({**settings, **limit}, self.table.digest), None, hashes)


class _Census:
    """Counts of one pass over the documents, and a digest of each document, never its text."""

    def __init__(self, characters: bool) -> None:
        self.documents: Counter[Split] = Counter()
        self.bytes = self.copies = 0
        self._names: dict[Split, dict[bytes, str]] = {name: {} for name in SPLITS}
        self._characters = characters
        self._train_characters: set[str] = set()
        self._test_characters: Counter[str] = Counter()

    def add(self, split: Split, document: Document) -> None:
        """Look at one document."""
        content = document.text.encode()
        key = hashlib.sha256(content).digest()
        self.copies += key in self._names[split]
        self._names[split][key] = document.name
        self.documents[split] += 1
        self.bytes += len(content)
        if self._characters and split == "train":
            self._train_characters.update(document.text)
        elif self._characters and split == "test":
            self._test_characters.update(document.text)

    @property
    def overlap(self) -> list[str]:
        """Names of the test documents that training holds too."""
        return [name for key, name in self._names["test"].items() if key in self._names["train"]]

    @property
    def new_characters(self) -> tuple[float, list[str]]:
        """The share of the test's characters that training lacks, and the most frequent of them."""
        lacking = Counter({c: n for c, n in self._test_characters.items() if c not in self._train_characters})
        return lacking.total() / max(1, self._test_characters.total()), [c for c, _ in lacking.most_common(EXAMPLES)]


@dataclass(frozen=True)
class Examination:
    """The result of a pass over documents: how many hold text, their bytes, and their faults."""

    count: int
    bytes: int
    findings: tuple[Finding, ...]


def check_documents(documents: Documents, validation: ValidationConfig, characters: bool) -> Examination:
    """Read every document. ``characters``: whether tokens are characters. Raises DataError where one cannot be read."""
    census = _Census(characters)
    for split, document in documents.parts():
        census.add(split, document)
    count = census.documents.total()
    findings = [Finding("stop", documents.column, text) for text in _empty_parts(census)]
    findings += [Finding("warn", documents.column, text) for text in _odd(documents, census, count)]
    findings += _overlap(documents.column, census, validation.max_overlap)
    if documents.are_whole:
        findings += check_shares(documents.division)
    return Examination(count, census.bytes, tuple(findings))


def _empty_parts(census: _Census) -> list[str]:
    return [f"the {split} part must hold text, but is empty" for split in SPLITS if not census.documents[split]]


def _odd(documents: Documents, census: _Census, count: int) -> list[str]:
    """Warnings, one line each."""
    texts = []
    blank = documents.table.count() - count if documents.are_whole and documents.most is None else 0
    if blank:
        verb = "1 holds none and is" if blank == 1 else f"{blank:,} hold none and are"
        texts.append(f"documents should hold text, but {verb} left out")
    if census.copies:
        verb = "1 is a copy of another" if census.copies == 1 else f"{census.copies:,} are copies of others"
        texts.append(f"documents should differ, but {verb} in their part")
    share, characters = census.new_characters
    if share > WORTH_KNOWING:
        texts.append(
            f"test characters should occur in training, but {share:.1%} do not, for example "
            f"{', '.join(map(repr, characters))}; prepare.tokens.tokenizer: bpe knows every character"
        )
    return texts


def _overlap(column: str, census: _Census, most: float) -> list[Finding]:
    copies = census.overlap
    if not copies:
        return []
    share, examples = len(copies) / census.documents["test"], ", ".join(copies[:EXAMPLES])
    text = (
        f"test documents must not also be training documents, but {len(copies):,} ({share:.1%}) are, "
        f"for example {examples}"
    )
    return [Finding("stop" if share > most else "warn", column, text, tuple(copies[:EXAMPLES]))]
