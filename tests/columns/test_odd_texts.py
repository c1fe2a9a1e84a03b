"""Texts that few expect, as n-grams and as tokens: each is read, alone as among others."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headway.columns.base import RaggedEncoding
from headway.columns.config import NgramsConfig, PrepareConfig, TokensConfig
from headway.columns.ngrams import NgramsFitter
from headway.columns.text import Tokens, TokensFitter
from headway.columns.tokenizer import BytePairs

CONFIG = PrepareConfig(ngrams=NgramsConfig(words=64, characters=64), tokens=TokensConfig(vocabulary=300, most=40))
HUGE = "late again " * 1_000_000
TEXTS = {
    "NUL": "late\0again",
    "emoji": "late \U0001f600\U0001f468\u200d\U0001f469 again",
    "right to left": "\u202eשלום עולם, again",
    "combining": "la\u0301te " + "\u0301" * 500,
    "ten megabytes": HUGE,
    "a number": "4.0",
    "line breaks": "late\r\n\u2028again",
}


@pytest.fixture(scope="module", params=[NgramsFitter, TokensFitter])
def encoding(request: pytest.FixtureRequest) -> RaggedEncoding:
    texts = pa.array(["late again, sorry", "paid", *(text[:2000] for text in TEXTS.values()), None, ""])
    fitter = request.param("note", CONFIG)
    fitter.update(texts, texts)
    return fitter.finish()


@pytest.mark.parametrize("kind", TEXTS)
def test_an_odd_text_is_read_alone_as_among_others(encoding: RaggedEncoding, kind: str) -> None:
    alone = encoding.ragged(pa.array([TEXTS[kind]]))
    among = encoding.ragged(pa.array(["paid", TEXTS[kind], None, "late"])).take(np.array([1]))
    assert alone.values.tolist() == among.values.tolist()
    assert len(alone.values)
    if isinstance(encoding, Tokens):
        tokens = alone.values.tolist()
        assert len(tokens) <= 40
        assert 0 not in tokens, "0 is padding"
        text = BytePairs.from_json(encoding.tokenizer).decode(tokens).rstrip("\ufffd")  # of a character that was cut
        assert TEXTS[kind].strip().startswith(text)
    else:
        assert np.isfinite(alone.values["weight"]).all()
        assert (alone.values["feature"] > 0).all()


def test_a_text_of_spaces_and_none_at_all_have_no_tokens(encoding: RaggedEncoding) -> None:
    assert encoding.ragged(pa.array([" \t\n", "", None], pa.string())).lengths.tolist() == [0, 0, 0]


def test_signs_without_letters_are_tokens_but_no_ngrams(encoding: RaggedEncoding) -> None:
    (count,) = encoding.ragged(pa.array(["\U0001f600 \ufffd !?"])).lengths.tolist()
    assert (count > 0) == isinstance(encoding, Tokens)
