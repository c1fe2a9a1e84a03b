"""Texts as weighted n-grams: the parts that a slow reading finds, scikit-learn's weights, and a linear model that is as good as its own."""

from __future__ import annotations

import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from headway.columns import ngrams
from headway.columns.config import NgramsConfig, PrepareConfig
from headway.columns.ngrams import LENGTH, ODD, Ngrams, NgramsFitter
from headway.columns.recognition import Specimen
from headway.columns.text import TextColumn
from headway.data.inputs import Inputs
from headway.data.padded import padded
from headway.data.sparse import sparse
from headway.errors import ConfigError
from headway.models.linear import Linear
from headway.tasks import target_task

WORDS, RUNS = 64, 128
TEXTS = [
    "Where is MY card?",
    "card, card: lost!",
    "",
    "ÄRGER über 2 Karten 🙂",
    None,
    "?!",
    "x",
    "a b",
    "the card's card " * 40,
    "这个产品很好，喜欢! card カード3枚",
]


def mixed(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def hashed(part: str) -> int:
    return mixed(sum(mixed(ord(letter)) * ODD**i for i, letter in enumerate(part)) % 2**64)


def is_a_word(letter: str) -> bool:
    """Whether the letter is of a script without spaces between words."""
    return unicodedata.name(letter, "").startswith(("CJK", "KATAKANA LETTER", "HIRAGANA LETTER"))


def slowly(text: str | None) -> Counter[int]:
    """How often a text holds each feature: its words, pairs of words, and runs of 3 and 4 letters with the spaces around a word."""
    spaced_text = "".join(f" {letter} " if is_a_word(letter) else letter for letter in (text or "").lower())
    words = "".join(letter if letter.isalnum() else " " for letter in spaced_text).split()
    parts = [*words, *(f"{first} {second}" for first, second in pairwise(words))]
    counts = Counter(1 + hashed(part) % WORDS for part in parts)
    spaced = [f" {word} " for word in words]
    runs = [word[i : i + size] for word in spaced for size in (3, 4) for i in range(len(word) - size + 1)]
    return counts + Counter(1 + WORDS + hashed(run) % RUNS for run in runs)


def fitted(column: pa.Array, *cuts: int) -> Ngrams:
    fitter = NgramsFitter("t", PrepareConfig(ngrams=NgramsConfig(words=WORDS, characters=RUNS)))
    for start, end in zip((0, *cuts), (*cuts, len(column)), strict=True):
        fitter.update(column.slice(start, end - start), pa.nulls(end - start, pa.string()))
    encoding = fitter.finish()
    assert encoding is not None
    return encoding


def rows_of(encoding: Ngrams, column: pa.Array) -> np.ndarray:
    return sparse({"tokens_0": encoding.ragged(column)}, [encoding.vocabulary]).toarray()


def test_features_are_those_of_a_slow_reading_and_weights_are_scikit_learns() -> None:
    column = pa.array(TEXTS)
    counts = np.zeros((len(TEXTS), 1 + WORDS + RUNS))
    for row, text in enumerate(TEXTS):
        for feature, count in slowly(text).items():
            counts[row, feature] = count
    encoding = fitted(column)
    assert encoding.frequencies == tuple((counts > 0).sum(0)[1:])
    blocks = np.split(counts[:, 1:], [WORDS], 1)
    trusted = [TfidfTransformer(sublinear_tf=True).fit_transform(block).toarray() for block in blocks]
    ours = rows_of(encoding, column)
    assert not ours[:, 0].any(), "0 is padding"
    np.testing.assert_allclose(ours[:, 1:], LENGTH * np.hstack(trusted), rtol=1e-6)


def test_how_rows_are_cut_into_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pa.array(TEXTS)
    whole, rows = fitted(column), rows_of(fitted(column), column)
    monkeypatch.setattr(ngrams, "CHARACTERS_AT_ONCE", 16)
    assert fitted(column, 2, 2, 7) == whole
    np.testing.assert_array_equal(rows_of(whole, column), rows)
    for i in range(len(column)):
        np.testing.assert_array_equal(rows_of(whole, column.slice(i, 1))[0], rows[i])
    assert rows_of(whole, column.slice(0, 0)).shape == (0, 1 + WORDS + RUNS)
    again = Ngrams.from_json(whole.to_json())
    np.testing.assert_array_equal(rows_of(again, column), rows)


def test_features_that_training_lacks_and_words_for_null_have_no_weight() -> None:
    encoding = fitted(pa.array(["card"]))
    assert {number for number, count in enumerate(encoding.frequencies, 1) if count} == set(slowly("card"))
    features = rows_of(encoding, pa.array(["card"]))[0]
    ours = rows_of(encoding, pa.array(["lost money, other words than training's " * 9]))[0]
    assert not ours[features == 0].any()
    assert len(encoding.ragged(pa.array(["card"]), missing=("card",)).values) == 0


def test_only_the_first_characters_count_and_a_column_without_letters_becomes_nothing() -> None:
    most = PrepareConfig().ngrams.most
    encoding = fitted(pa.array(["card " * most]))
    assert len(encoding.ragged(pa.array(["?" * most + " card"])).values) == 0
    empty = TextColumn().fitter_for({"ngrams"}, "t", PrepareConfig(), False)
    empty.update(pa.array(["?!", None]), pa.array(["a", "b"]))
    assert empty.finish() is None
    with pytest.raises(ConfigError, match="words or characters must be at least 1"):
        PrepareConfig.parse({"ngrams": {"words": 0, "characters": 0}}, "prepare")


def test_texts_without_spaces_between_words_are_read_by_their_letters_and_pairs_of_them() -> None:
    rng = np.random.default_rng(0)
    good, bad, rest = ["很好", "喜欢", "满意", "推荐"], ["糟糕", "失望", "太差", "退货"], "的了是在我有和就不人"
    is_good = rng.random(600) < 0.5
    texts = [
        "".join(rng.permutation([*rng.choice(list(rest), 8), *rng.choice(good if one else bad, 2)])) for one in is_good
    ]
    table = pd.Series(texts, dtype="str")
    guess = TextColumn().recognise(Specimen("评论", table, table))
    assert guess is not None, "free text, and no key"
    assert TextColumn().recognise(Specimen("名", table.str[:3], table.str[:3])) is None
    column, labels = pa.array(texts), pa.array(np.where(is_good, "正", "负"))
    for group in ("ngrams", "texts"):
        fitter = TextColumn().fitter_for({group}, "评论", PrepareConfig(), False)
        fitter.update(column.slice(0, 400), labels.slice(0, 400))
        encoding = fitter.finish()
        assert encoding is not None
        again = type(encoding).from_json(encoding.to_json())
        features = rows_of(again, column) if isinstance(again, Ngrams) else np.stack(list(again.apply(column)), 1)
        model = LogisticRegression(max_iter=1000).fit(features[:400], is_good[:400])
        assert model.score(features[400:], is_good[400:]) > 0.97


def intents(rows: int, seed: int) -> pd.DataFrame:
    """Twelve intents whose words overlap: each has some of its own, misspelt now and then, among many common ones."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 12, rows)

    def word(label: int) -> str:
        own = (
            f"thing{chr(97 + label)}{chr(97 + rng.integers(0, 4))}"
            if rng.random() < 0.25
            else f"word{rng.integers(0, 60)}"
        )
        return own + "s" * int(rng.integers(0, 2))

    return pd.DataFrame({"text": [" ".join(word(label) for _ in range(8)) for label in labels], "intent": labels})


@pytest.mark.parametrize("beside", [False, True])
def test_a_linear_model_on_texts_is_as_good_as_scikit_learns_and_its_network_predicts_the_same(beside: bool) -> None:
    train, test = intents(900, 0), intents(400, 1)
    config = PrepareConfig()
    fitter = NgramsFitter("text", config)
    fitter.update(pa.array(train["text"].tolist()), pa.nulls(len(train), pa.string()))
    encoding = fitter.finish()
    assert encoding is not None
    columns = {
        name: {"tokens_0": encoding.ragged(pa.array(part["text"].tolist()))}
        | ({"tokens_1": encoding.ragged(pa.array(part["text"].str[:9].tolist()))} if beside else {})
        for name, part in (("train", train), ("test", test))
    }
    counts = [encoding.vocabulary] * (1 + beside)
    rng = np.random.default_rng(2)
    arrays = {
        name: {
            "numeric": rng.normal(size=(len(part), int(beside))).astype(np.float32),
            "categorical": rng.integers(0, 3, (len(part), int(beside))).astype(np.int32),
            "target": part["intent"].to_numpy(),
        }
        for name, part in (("train", train), ("test", test))
    }
    codes = [3] * beside
    task = target_task("classification")
    fit = Linear().fit(arrays["train"], codes, 12, task=task, seed=0, texts=sparse(columns["train"], counts))
    ours = fit.outputs(arrays["test"], sparse(columns["test"], counts))
    trusted = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)).fit(train["text"], train["intent"])
    accuracy = (ours.argmax(1) == test["intent"]).mean()
    assert accuracy >= 0.98 * (trusted.predict(test["text"]) == test["intent"]).mean() > 0.5
    network = Linear().build(Inputs(int(beside), tuple(codes), (), 12, tuple(counts)))
    network.load_state_dict({name: torch.from_numpy(np.float32(values)) for name, values in fit.state().items()})
    inputs = {name: torch.from_numpy(arrays["test"][name]) for name in ("numeric", "categorical")}
    with torch.no_grad():
        predicted = network(**inputs, **{name: rows[: len(test)] for name, rows in padded(columns["test"]).items()})
    np.testing.assert_allclose(predicted.numpy(), ours, rtol=1e-4, atol=1e-3)
