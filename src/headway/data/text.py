"""Where text comes from: UTF-8 files, one document each, read one at a time."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from headway.config import Config
from headway.data.config import SPLITS, Split
from headway.data.fetch import File, find, pinned
from headway.errors import ConfigError, DataError

SHAKESPEARE = File(
    "tinyshakespeare/input.txt",
    pinned("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e", "data/tinyshakespeare/input.txt"),
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__"}
"""Folders of Python's library that are no part of it, or are not on every machine."""


class TextConfig(Config):
    """The text of a language model."""

    dataset: Literal["shakespeare", "python-code"] | None = Field(None, description="A known text; or give source.")
    source: str | None = Field(None, description="A file, a folder or a glob of UTF-8 text; each file is a document.")
    tokenizer: Literal["characters", "bpe"] = Field("bpe", description="One token a character, or byte-pair tokens.")
    vocabulary: int = Field(4096, ge=258, le=1_000_000, description="Different tokens of a byte-pair tokenizer.")
    split: Literal["documents", "position"] = Field(
        "documents",
        description="Whole documents by a hash of their names; or position: the end of the text is the test.",
    )
    test: float = Field(0.1, gt=0, lt=0.5, description="The test part's share.")
    validation: float = Field(0.05, gt=0, lt=0.5, description="The share of what is left that decides when to stop.")
    max_bytes: int | None = Field(None, ge=10_000, description="Read at most so many bytes; null reads everything.")
    max_overlap: float = Field(
        0.05, ge=0, le=1, description="Largest share of test documents that training may also hold."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dataset is None) == (self.source is None):
            raise ValueError("exactly one of dataset and source must be given")
        return self


@dataclass(frozen=True)
class Document:
    """A file's name relative to its source, and its text."""

    name: str
    text: str


@dataclass(frozen=True)
class Text:
    """The files of a text, in order."""

    config: TextConfig
    base: Path
    files: tuple[Path, ...]

    def documents(self) -> Iterator[Document]:
        """One after the other. Raises DataError for a file that is not UTF-8 text."""
        left = self.config.max_bytes
        for path in self.files:
            content = path.read_bytes()
            if left is not None:
                content, left = content[:left], left - len(content)
            try:
                text = content.decode("utf-8")
            except UnicodeDecodeError as error:
                if left is not None and left < 0 and error.start > len(content) - 4:  # cut within a character
                    text = content[: error.start].decode("utf-8")
                else:
                    raise DataError(f"{path.name} must be UTF-8 text, but byte {error.start} is not") from None
            if text.strip():
                yield Document(self.name_of(path), text)
            if left is not None and left <= 0:
                return

    def name_of(self, path: Path) -> str:
        """A name that is the same on every machine."""
        return path.relative_to(self.base).as_posix()

    @property
    def digest(self) -> str:
        """SHA-256 of the files' names and contents."""
        whole = hashlib.sha256()
        for path in self.files:
            whole.update(self.name_of(path).encode() + b"\0")
            whole.update(hashlib.sha256(path.read_bytes()).digest())
        return whole.hexdigest()

    def parts(self) -> Iterator[tuple[Split, Document]]:
        """Every document, or by position every piece of the whole, with the part that it belongs to.

        By position the last share is the test, and the validation is the end of what is left.
        """
        if self.config.split == "documents":
            for document in self.documents():
                yield self._part(document.name), document
            return
        whole = "\n".join(document.text for document in self.documents())
        test = int(len(whole) * (1 - self.config.test))
        validation = int(test * (1 - self.config.validation))
        bounds = (0, validation, test, len(whole))
        for split, first, last in zip(SPLITS, bounds, bounds[1:], strict=False):
            yield split, Document(split, whole[first:last])

    def _part(self, name: str) -> Split:
        """By the name alone: a document that was in training is never in a later test."""
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
        if share < self.config.test:
            return "test"
        share = (share - self.config.test) / (1 - self.config.test)
        return "validation" if share < self.config.validation else "train"


def open_text(config: TextConfig, root: Path) -> Text:
    """Find the files. Raises DataError when there are none."""
    if config.dataset == "shakespeare":
        path = find(SHAKESPEARE, root / "data" / "raw" / "shakespeare", root)
        return Text(config, path.parent, (path,))
    if config.dataset == "python-code":
        base = Path(sysconfig.get_paths()["stdlib"])
        files = [p for p in base.rglob("*.py") if not LEFT_OUT & set(p.relative_to(base).parts[:-1])]
        return Text(config, base, tuple(sorted(p for p in files if _is_utf8(p))))
    assert config.source is not None
    return _own(config, root)


def _is_utf8(path: Path) -> bool:
    """A few files of Python's library are in other encodings on purpose."""
    try:
        path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return False
    return True


def _own(config: TextConfig, root: Path) -> Text:
    source = str(config.source)
    if "://" in source:
        raise ConfigError(f"data.source of a text must be a path on this machine, but is {source}")
    path = Path(source).expanduser()
    path = path if path.is_absolute() else root / path
    if path.is_file():
        found, base = [path], path.parent
    elif path.is_dir():
        found, base = [p for p in path.rglob("*") if p.is_file() and not p.name.startswith((".", "_"))], path
    else:
        fixed = next((i for i, part in enumerate(path.parts) if set(part) & set("*?[")), len(path.parts) - 1)
        base = Path(*path.parts[:fixed])
        found = [p for p in base.glob("/".join(path.parts[fixed:])) if p.is_file()]
    if not found:
        raise DataError(f"data.source must hold text files, but there is no {source}")
    return Text(config, base, tuple(sorted(found)))
