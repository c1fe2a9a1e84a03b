"""Text as numbers: tokenizers, and the store of a text's tokens.

<digest>/tokenizer.json       the tokenizer, fitted on the training part
<digest>/<split>.npy          (N,) uint16 or uint32: all documents of the part, an end token after each
<digest>/raw/test.jsonl       the test's documents, one JSON string a line: for champions with another tokenizer
<digest>/learnt.json .npy     which passages train and validation hold, for later comparisons
<digest>/store.json           tokens, bytes and documents of each part; its presence means whole
<digest>/checksums.json       written last
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from headway.data.config import SPLITS, Split
from headway.data.learnt import LEARNT_FILES, Learnt, Rule, described
from headway.data.ready import is_ready
from headway.data.shingles import all_shingles
from headway.data.text import Text, TextConfig
from headway.errors import DataError
from headway.files import checksums
from headway.files.atomic import digest, read_json, write_json
from headway.files.records import Record

if TYPE_CHECKING:
    import tokenizers

FORMAT = 4
END = "<|end|>"
UNKNOWN = "\ufffd"


class Tokenizer(ABC):
    """Text to token numbers and back. Token 0 ends a document."""

    size: int

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """(N,) int64."""

    def encode_document(self, text: str, ends: bool) -> np.ndarray:
        """(N,) int64; where documents end, the end token is the last."""
        tokens = self.encode(text)
        return np.append(tokens, 0) if ends else tokens

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens; an end token is nothing."""

    @abstractmethod
    def byte_lengths(self) -> np.ndarray:
        """(V,) the UTF-8 bytes that each token stands for."""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """As plain values."""


class Characters(Tokenizer):
    """One token a character. Token 1 is every character that training did not hold."""

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self.size = len(characters) + 2
        self._codes = np.array([ord(c) for c in characters], np.uint32)

    @classmethod
    def fit(cls, texts: Iterable[str]) -> Characters:
        """All characters of the texts, in the order of their codes."""
        found: set[str] = set()
        for text in texts:
            found |= set(text)
        return cls("".join(sorted(found)))

    def encode(self, text: str) -> np.ndarray:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        at = np.searchsorted(self._codes, codes)
        known = at < len(self._codes)
        known[known] = self._codes[at[known]] == codes[known]
        return np.where(known, at + 2, 1).astype(np.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join("" if t == 0 else UNKNOWN if t == 1 else self.characters[t - 2] for t in tokens)

    def byte_lengths(self) -> np.ndarray:
        return np.array([0, 1, *(len(c.encode("utf-8", "surrogatepass")) for c in self.characters)])

    def to_json(self) -> dict[str, object]:
        return {"kind": "characters", "characters": self.characters}


class BytePairs(Tokenizer):
    """Byte-pair tokens by Hugging Face's tokenizers, on bytes, so that no text is unknown."""

    def __init__(self, model: tokenizers.Tokenizer) -> None:
        self.model = model
        self.size = model.get_vocab_size()

    @classmethod
    def fit(cls, texts: Iterable[str], size: int) -> BytePairs:
        """``size`` tokens at most, the end token and the 256 bytes among them."""
        from tokenizers import Tokenizer as Model
        from tokenizers import decoders, models, pre_tokenizers, trainers

        model = Model(models.BPE())
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        )
        model.train_from_iterator(texts, trainer)
        return cls(model)

    def encode(self, text: str) -> np.ndarray:
        return np.array(self.model.encode(text, add_special_tokens=False).ids, np.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        return self.model.decode([int(t) for t in tokens if t != 0], skip_special_tokens=False)

    def byte_lengths(self) -> np.ndarray:
        # In a byte-level vocabulary each character of a token's name stands for one byte.
        names = [self.model.id_to_token(t) or "" for t in range(self.size)]
        return np.array([0, *(len(name) for name in names[1:])])

    def to_json(self) -> dict[str, object]:
        return {"kind": "bpe", "model": json.loads(self.model.to_str())}


def tokenizer_from_json(values: Mapping[str, Any]) -> Tokenizer:
    """What to_json gave."""
    if values["kind"] == "characters":
        return Characters(values["characters"])
    from tokenizers import Tokenizer as Model

    return BytePairs(Model.from_str(json.dumps(values["model"])))


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
    folder: Path, text: Text, config: TextConfig, smallest: int, warn: Callable[[str], None] = lambda _: None
) -> tuple[TokenStore, bool]:
    """The store in ``folder``, and whether it was there already. A damaged one is made again, which ``warn`` is told.

    Raises DataError when a part has no more than ``smallest`` tokens.
    """
    described = config.model_dump(exclude={"max_overlap", "source", "dataset"})
    path = folder / digest({"format": FORMAT, "data": text.digest, **described})
    if is_ready(path, warn):
        return TokenStore(path), True
    with checksums.replacing_folder(path) as partial:
        (partial / "raw").mkdir()
        tokenizer = _fit(text, config)
        write_json(partial / "tokenizer.json", tokenizer.to_json())
        _learnt(text, config).write(partial)
        _write(partial, text, tokenizer, smallest).write(partial / "store.json")
    return TokenStore(path), False


def _fit(text: Text, config: TextConfig) -> Tokenizer:
    """On the training part only: a test character that training lacks is unknown, as it will be in use."""
    training = (document.text for split, document in text.parts() if split == "train")
    return Characters.fit(training) if config.tokenizer == "characters" else BytePairs.fit(training, config.vocabulary)


def _learnt(text: Text, config: TextConfig) -> Learnt:
    hashes = all_shingles(document.text for split, document in text.parts() if split != "test")
    rule = Rule(
        described(config.model_dump(include={"split", "test", "validation", "max_bytes"}), (), "data"), text.digest
    )
    return Learnt.of(rule, None, hashes)


class _Growing:
    """A one-dimensional .npy file that is written piece by piece: a text's tokens need not fit in memory."""

    def __init__(self, path: Path, kind: np.dtype[Any]) -> None:
        self.count, self._kind = 0, kind
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115
        self._head()

    def _head(self) -> None:
        # NumPy pads the header, so that it is as long for many values as for none.
        described = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self._file, described)

    def append(self, values: np.ndarray) -> None:
        self._file.write(values.astype(self._kind).tobytes())
        self.count += len(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.seek(0)
        self._head()
        self._file.close()


def _write(folder: Path, text: Text, tokenizer: Tokenizer, smallest: int) -> Contents:
    """One pass over the documents."""
    ends = text.config.split == "documents"
    kind = np.dtype(np.uint16 if tokenizer.size <= 2**16 else np.uint32)
    sizes: dict[str, int] = dict.fromkeys(SPLITS, 0)
    documents: dict[str, int] = dict.fromkeys(SPLITS, 0)
    with ExitStack() as files:
        arrays = {split: files.enter_context(_Growing(folder / f"{split}.npy", kind)) for split in SPLITS}
        raw = files.enter_context(open(folder / "raw" / "test.jsonl", "w", encoding="utf-8"))
        for split, document in text.parts():
            arrays[split].append(tokenizer.encode_document(document.text, ends))
            sizes[split] += len(document.text.encode())
            documents[split] += 1
            if split == "test":
                raw.write(json.dumps(document.text) + "\n")
    tokens: dict[str, int] = {split: array.count for split, array in arrays.items()}
    for split, count in tokens.items():
        if count <= smallest:
            raise DataError(
                f"the {split} part must have more tokens than model.context, {smallest}, but it has {count:,}"
            )
    return Contents(tokenizer.size, ends, sizes, documents, tokens)
