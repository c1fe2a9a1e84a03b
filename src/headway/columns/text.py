"""Free text: one 0/1 column for each of the words that separate the classes most, or tokens for a network that takes them.

`Tokens` are the first ones of a text beside other columns, `DocumentTokens` all of a document that alone is learnt from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.base import ColumnType, Fitter, RaggedEncoding
from headway.columns.category import canonical_text
from headway.columns.codes import encoded
from headway.columns.config import PrepareConfig, TokensConfig
from headway.columns.continuous import numbers
from headway.columns.discrete import Discrete
from headway.columns.ngrams import Ngrams, NgramsFitter
from headway.columns.ragged import Ragged
from headway.columns.recognition import FEW, Guess, Specimen
from headway.columns.summary import Summary
from headway.columns.tokenizer import BytePairs, Characters, Tokenizer, tokenizer_from_json
from headway.columns.values import BadValues, Place, refusal
from headway.columns.words import SPACELESS, Words, WordsFitter, without

CHARACTERS_A_TOKEN = 16
"""So many characters for each token that counts are looked at, so that a text of a megabyte costs no more than one of a page."""

SAMPLE_CHARACTERS = 1 << 25
"""Characters of training texts for a tokenizer: more change no frequent pair, and all of a large table would not fit in memory."""

LETTERS_A_WORD = 3
"""Of scripts without spaces, such as Chinese, by which texts are told from names."""

SHOWN = 200
"""Characters of a text that a profile keeps."""


@dataclass(frozen=True)
class Tokens(RaggedEncoding):
    """A text column: the first ``most`` byte-pair tokens of each text. ``tokenizer`` is its JSON form."""

    tokenizer: Mapping[str, Any]
    most: int

    group: ClassVar[str] = "tokens"

    def kind_name(self) -> str:
        return TextColumn.name

    @cached_property
    def _byte_pairs(self) -> BytePairs:
        return BytePairs.from_json(self.tokenizer)

    @property
    def vocabulary(self) -> int:
        return self._byte_pairs.size

    def ragged(self, column: pa.Array, missing: tuple[str, ...] = ()) -> Ragged:
        """A null, an empty text and a word for null have no tokens. Every different text is encoded once."""
        coded = beginnings(without(column, missing), self.most).dictionary_encode()
        return self._byte_pairs.encode_rows(coded.dictionary.to_pylist(), self.most).take(coded.indices.to_numpy())


def beginnings(column: pa.Array, most: int) -> pa.Array:
    """The part of each text that its first ``most`` tokens can need, without spaces around it."""
    return pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(pc.fill_null(column, "")), 0, most * CHARACTERS_A_TOKEN)


class TokensFitter(Fitter):
    """Keeps texts, evenly spread over the rows, for a tokenizer to be trained on."""

    def __init__(self, name: str, config: PrepareConfig) -> None:
        self._name, self._config = name, config.tokens
        self._texts: list[str] = []
        self._characters = self._rows = 0
        self._stride = 1

    def block(self, column: pa.Array, labels: pa.Array) -> pa.Array:
        return beginnings(column, self._config.most)

    def add(self, partial: pa.Array) -> None:
        places = np.arange(-self._rows % self._stride, len(partial), self._stride)
        sample = partial.take(pa.array(places)).to_pylist()
        self._rows += len(partial)
        self._texts += sample
        self._characters += sum(map(len, sample))
        while self._characters > SAMPLE_CHARACTERS and len(self._texts) > 1:
            self._texts, self._stride = self._texts[::2], 2 * self._stride
            self._characters = sum(map(len, self._texts))

    def to_json(self) -> dict[str, object]:
        return {"texts": self._texts, "rows": self._rows, "stride": self._stride}

    def take(self, values: Mapping[str, Any]) -> None:
        self._texts, self._rows, self._stride = list(values["texts"]), values["rows"], values["stride"]
        self._characters = sum(map(len, self._texts))

    def finish(self) -> Tokens | None:
        """None where no row holds a text."""
        if not self._characters:
            return None
        tokenizer = BytePairs.fit((text for text in self._texts if text), self._config.vocabulary)
        return Tokens(self._name, tokenizer.to_json(), self._config.most)


@dataclass(frozen=True)
class DocumentTokens(RaggedEncoding):
    """A column of documents: all tokens of each. ``tokenizer`` is its JSON form; ``ends``: whether token 0 ends each."""

    tokenizer: Mapping[str, Any]
    ends: bool = True

    group: ClassVar[str] = "documents"

    @classmethod
    def fit(cls, column: str, texts: Iterable[str], config: TokensConfig, ends: bool) -> DocumentTokens:
        """On the training documents only: a character that only the test has is unknown, as in later use."""
        characters = config.tokenizer == "characters"
        tokenizer = Characters.fit(texts) if characters else BytePairs.fit(texts, config.vocabulary)
        return cls(column, tokenizer.to_json(), ends)

    def kind_name(self) -> str:
        return TextColumn.name

    @cached_property
    def reader(self) -> Tokenizer:
        """What makes tokens of a text."""
        return tokenizer_from_json(self.tokenizer)

    @property
    def vocabulary(self) -> int:
        return self.reader.size

    @property
    def token_type(self) -> np.dtype[Any]:
        return np.dtype(np.uint16 if self.vocabulary <= 2**16 else np.uint32)

    def ragged(self, column: pa.Array, missing: tuple[str, ...] = ()) -> Ragged:
        kind = self.token_type  # at once, piece by piece: of a text of 500 MB, int64 is 4 GB
        return Ragged.join([self.reader.encode_document(text.as_py(), self.ends, kind) for text in column], kind)

    def unfit(self, column: pa.Array, where: str) -> BadValues | None:
        texts = ["" if text is None or text.isspace() else text for text in column.to_pylist()]
        short = np.array([len(self.reader.encode(text)) < 2 for text in texts], bool)
        if not short.any():
            return None
        return refusal(column, short, Place(self.column, where), "a text of two tokens or more")


@dataclass
class TextSummary(Discrete):
    """Texts: their counts and their lengths in characters, by which two samples are compared; moments and extremes are the lengths'."""

    def _add(self, column: pa.Array) -> None:
        coded = encoded(column)
        codes = coded.indices.to_numpy(zero_copy_only=False)
        each = numbers(coded.dictionary)
        lengths = each[codes]
        self._measure(lengths, np.sort(lengths))
        self.characters, self.longest = int(lengths.sum()), int(self.max or 0)
        counts = np.bincount(codes, minlength=len(each))
        self._count(_shortened(coded.dictionary, each), counts)

    def bins(self, bins: int, categories: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        return self._tenths(bins), ()

    def every(self, most: int) -> tuple[str, ...] | None:
        return None

    def bin_counts(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        return self._between(edges) if edges else np.zeros(0)


def _shortened(texts: pa.Array, lengths: np.ndarray) -> pa.Array:
    """Different texts as they are counted: of a long text its beginning and a digest, so that a profile holds no documents."""
    long = lengths > SHOWN
    if not long.any():
        return texts
    short = [
        f"{text[:SHOWN]}… {hashlib.sha256(text.encode()).hexdigest()[:16]}"
        for text in texts.filter(pa.array(long)).to_pylist()
    ]
    return pc.replace_with_mask(texts, pa.array(long), pa.array(short, texts.type))


class TextColumn(ColumnType):
    """Free text."""

    name = "text"
    rank = 3
    encoding = Words
    other_encodings = (Tokens, Ngrams, DocumentTokens)
    summary_class = TextSummary
    any_text = True
    can_leak = False
    linear_suits = True  # on banking77 .914 of the n-grams, and far less of the words present that a network reads
    turn = 3

    def canonical(self, column: pa.Array, place: Place, date_format: str | None, look: bool) -> pa.Array:
        return canonical_text(column, place, look)

    def recognise(self, specimen: Specimen) -> Guess | None:
        texts = pa.array(specimen.texts.tolist(), pa.string())
        words = pc.mean(pc.count_substring_regex(texts, r"\S+")).as_py()
        words = max(words, pc.mean(pc.count_substring_regex(texts, SPACELESS)).as_py() / LETTERS_A_WORD)
        has_words = pc.mean(pc.cast(pc.match_substring_regex(texts, r"\p{L}"), pa.float64())).as_py() > 0.5
        if specimen.distinct > FEW and specimen.distinct > 0.5 * len(specimen.texts) and words >= 3 and has_words:
            return Guess("feature", self.name, f"free text of {words:.0f} words on average")
        return None

    def doubt(self, summary: Summary) -> str | None:
        values = [value for value, _ in summary.frequent]
        if not values or any(letter.isalpha() for value in values for letter in value):
            return None
        return f"text, but its values have no letters, for example {values[0]!r}; is it numeric or categorical?"

    def fitter(self, name: str, config: PrepareConfig, numbers: bool) -> Fitter:
        return WordsFitter(name, config)

    def fitter_for(self, takes: Collection[str], name: str, config: PrepareConfig, numbers: bool) -> Fitter:
        if Ngrams.group in takes:
            return NgramsFitter(name, config)
        return TokensFitter(name, config) if Tokens.group in takes else self.fitter(name, config, numbers)
