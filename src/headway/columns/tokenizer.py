"""Tokenizers: text to token numbers, and back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headway.columns.ragged import Ragged

if TYPE_CHECKING:
    import tokenizers

END = "<|end|>"
UNKNOWN = "\ufffd"
PIECE = 1 << 20
"""Characters of a long text that are encoded at once."""


class Tokenizer(ABC):
    """Text to token numbers and back. Token 0 ends a document."""

    size: int

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """(N,) int64."""

    def encode_document(self, text: str, ends: bool, kind: np.dtype[Any] | None = None) -> np.ndarray:
        """(N,) of ``kind``, by default int64; where documents end, the end token is the last."""
        kind = kind or np.dtype(np.int64)
        last = np.zeros(int(ends), kind)
        return np.concatenate([*(self.encode(piece).astype(kind, copy=False) for piece in pieces(text)), last])

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens; an end token has no text."""

    @abstractmethod
    def byte_lengths(self) -> np.ndarray:
        """(V,) the UTF-8 bytes that each token stands for."""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """As plain values."""


def pieces(text: str) -> Iterator[str]:
    """A text in pieces of about PIECE characters, whose tokens are the whole's: cut after a single line break between two words.

    Byte-pair tokens never join what such a break divides; other white space is looked at as a run.
    """
    first = 0
    while len(text) - first > PIECE:
        bounds = text.find("\n", first + PIECE)
        while bounds != -1 and (text[bounds - 1].isspace() or text[bounds + 1 : bounds + 2].isspace()):
            bounds = text.find("\n", bounds + 1)
        if bounds == -1:
            break
        yield text[first : bounds + 1]
        first = bounds + 1
    yield text[first:]


class Characters(Tokenizer):
    """One token for each character. Token 1 is every character that training does not have."""

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self.size = len(characters) + 2
        self._codes = np.array([ord(c) for c in characters], np.uint32)

    @classmethod
    def fit(cls, texts: Iterable[str]) -> Characters:
        """All characters of the texts, in the order of their codes."""
        characters: set[str] = set()
        for text in texts:
            characters |= set(text)
        return cls("".join(sorted(characters)))

    def encode(self, text: str) -> np.ndarray:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        at = np.searchsorted(self._codes, codes)
        in_vocabulary = at < len(self._codes)
        in_vocabulary[in_vocabulary] = self._codes[at[in_vocabulary]] == codes[in_vocabulary]
        return np.where(in_vocabulary, at + 2, 1).astype(np.int64)

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
        self.model.encode_special_tokens = True  # a text that spells the end token has its characters, not an end
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
        model.train_from_iterator((piece for text in texts for piece in pieces(text)), trainer)
        return cls(model)

    def encode(self, text: str) -> np.ndarray:
        return np.array(self.model.encode(text, add_special_tokens=False).ids, np.int64)

    def encode_rows(self, texts: Sequence[str], most: int) -> Ragged:
        """Each text's first ``most`` tokens."""
        encoded = self.model.encode_batch_fast(list(texts), add_special_tokens=False)
        return Ragged.of([one.ids[:most] for one in encoded])

    def decode(self, tokens: Sequence[int]) -> str:
        return self.model.decode([int(t) for t in tokens if t != 0], skip_special_tokens=False)

    def byte_lengths(self) -> np.ndarray:
        # In a byte-level vocabulary each character of a token's name stands for one byte.
        names = [self.model.id_to_token(t) or "" for t in range(self.size)]
        return np.array([0, *(len(name) for name in names[1:])])

    def to_json(self) -> dict[str, object]:
        return {"kind": "bpe", "model": json.loads(self.model.to_str())}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BytePairs:
        """What to_json gave."""
        from tokenizers import Tokenizer as Model

        return cls(Model.from_str(json.dumps(values["model"])))


def tokenizer_from_json(values: Mapping[str, Any]) -> Tokenizer:
    """What to_json gave."""
    if values["kind"] == "characters":
        return Characters(values["characters"])
    return BytePairs.from_json(values)
