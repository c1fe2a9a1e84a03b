"""Counting models, losses and bits a byte, against the slow obvious versions."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from headway.data.learnt_rows import LearntRows, Rule
from headway.data.shingles import all_shingles
from headway.errors import ConfigError
from headway.evaluate.blocks import blocks_of, sizes_of, units_of, unlearnt_blocks
from headway.evaluate.config import GateConfig
from headway.evaluate.evaluation import evaluate
from headway.evaluate.metrics import differences, measure, primary
from headway.evaluate.ngram import NGram, fit_ngram
from headway.evaluate.result import Metrics
from headway.tasks.language import token_losses

RNG = np.random.default_rng(0)


def of_one_text(losses: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Its blocks of 512 bytes."""
    return blocks_of(losses, lengths, len(sizes_of([int(lengths.sum())])))


def measured(blocks: np.ndarray, resamples: int) -> Metrics:
    return measure("language", np.zeros(len(blocks)), blocks, resamples)


def difference(a: np.ndarray, b: np.ndarray, resamples: int) -> tuple[float, float, float]:
    return differences("bits_per_byte", np.zeros(len(a)), a, b, resamples)


def chances(train: list[int], context: list[int], token: int, vocabulary: int, order: int) -> float:
    """Witten and Bell's interpolation, word by word."""
    if order == 0:
        return 1 / vocabulary
    before = tuple(context[len(context) - order + 1 :]) if order > 1 else ()
    follows: Counter[int] = Counter()
    for i in range(order - 1, len(train)):
        if tuple(train[i - order + 1 : i]) == before:
            follows[train[i]] += 1
    shorter = chances(train, context, token, vocabulary, order - 1)
    times, kinds = sum(follows.values()), len(follows)
    return (follows[token] + kinds * shorter) / (times + kinds) if times else shorter


@pytest.mark.parametrize("vocabulary", [5, 3_000_000_000])
def test_counts_are_those_of_the_slow_version(vocabulary: int) -> None:
    train, test = RNG.integers(0, 5, 200), RNG.integers(0, 5, 40)
    losses = NGram(train, vocabulary, 3).losses(test)
    for i in range(1, 40):
        order = min(3, i + 1)
        truth = chances(train.tolist(), test[:i].tolist(), int(test[i]), vocabulary, order)
        assert losses[i - 1] == pytest.approx(-math.log(truth), rel=1e-9)


def test_chances_sum_to_one() -> None:
    model = NGram(RNG.integers(0, 6, 300), 6, 3)
    for context in ([0, 1], [5, 5], [3, 2]):
        assert sum(math.exp(-model.losses(np.array([*context, w]))[-1]) for w in range(6)) == pytest.approx(1)


def test_the_order_is_the_one_that_fits() -> None:
    follows = defaultdict(lambda: RNG.integers(0, 4))
    tokens = [0, 1]
    for _ in range(5000):
        tokens.append(int(follows[tokens[-2], tokens[-1]]) if RNG.random() < 0.9 else int(RNG.integers(0, 4)))
    _, order = fit_ngram(np.array(tokens[:4000]), np.array(tokens[4000:]), 4)
    assert order == 3


def test_bits_a_byte_are_those_of_the_definition() -> None:
    losses, lengths = np.array([1.0, 2.0, 3.0]), np.array([1, 2, 3, 1])
    result = measured(of_one_text(losses, lengths), 100)
    assert result["bits_per_byte"].value == pytest.approx(6 / math.log(2) / 6)
    assert result["loss"].value == pytest.approx(2)
    assert result["perplexity"].value == pytest.approx(math.exp(2))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    hits = 0
    for _ in range(150):
        losses = RNG.gamma(2, 0.5, 20_000)
        interval = measured(of_one_text(losses, np.full(20_001, 4)), 200)["loss"]
        low, high = interval.low, interval.high
        assert low is not None
        assert high is not None
        hits += low <= 1.0 <= high
    assert 0.88 <= hits / 150 <= 0.99


def test_two_models_are_compared_on_the_same_blocks() -> None:
    lengths, common = np.full(10_001, 3), RNG.gamma(2, 1, 10_000)
    better = of_one_text(common, lengths)
    worse = of_one_text(common + 0.01 + RNG.normal(0, 0.01, 10_000), lengths)
    value, low, high = difference(better, worse, 300)
    assert 0 < low < value < high < 0.02
    evaluation = evaluate(
        "language",
        GateConfig(),
        (),
        sizes_of([30_003]),
        {"model": better, "5-gram": worse},
        units=units_of(len(better), 1, False),
        seconds={},
        slice_values={},
        reference=None,
        model_name="gpt",
        resamples=200,
    )
    assert (evaluation.primary, evaluation.rows) == ("bits_per_byte", 10_000)
    assert list(evaluation.metrics) == ["bits_per_byte", "loss", "perplexity"]
    keep = evaluation.earns_its_keep
    assert keep is not None
    assert keep.verdict
    assert keep.text.startswith("gpt is better than its best baseline, 5-gram")


def test_documents_are_the_blocks_where_there_are_several() -> None:
    counts = RNG.integers(5, 30, 40)
    losses, lengths = RNG.gamma(2, 1, counts.sum() - 1), RNG.integers(1, 5, counts.sum())
    blocks = blocks_of(losses, lengths, 40, counts.tolist())
    pieces = np.split(np.concatenate([[0.0], losses]), np.cumsum(counts)[:-1])  # the first token is not predicted
    np.testing.assert_allclose(blocks[:, 0], [piece.sum() for piece in pieces])
    assert blocks[:, 1].sum() == len(losses)
    assert units_of(40, 40, True).description() == "40 documents"
    one = units_of(40, 1, True)
    assert (one.name, one.count) == ("document", 1), "a single document says nothing of others, however long it is"
    piece = units_of(40, 1, False)
    assert (piece.name, piece.count) == ("block", 40)
    assert piece.note == "the test is one text, so its blocks of 512 bytes are resampled as if independent"
    assert sizes_of([1025]).tolist() == [512, 512, 1]
    assert sizes_of([7, 1025]).tolist() == [7, 1025]


def test_blocks_are_those_of_the_text_whatever_the_tokens() -> None:
    """A long last token begins in the block before the last: a champion of other tokens had fewer blocks, and was not compared."""
    short = of_one_text(np.ones(1024), np.ones(1025, int))
    long = of_one_text(np.ones(2), np.array([1000, 23, 2]))
    assert short[:, 2].tolist() == [511, 512, 1]
    assert long.tolist() == [[0, 0, 0], [2, 2, 25], [0, 0, 0]]
    assert difference(short, long, 100)[0] == pytest.approx((2 / 25 - 1) / math.log(2))


def test_the_gate_decides_by_nothing_in_which_other_tokens_cannot_be_compared() -> None:
    assert primary("language", 0, "bits_per_byte") == "bits_per_byte"
    with pytest.raises(ConfigError, match="gate.metric must be a metric of language, but is 'loss'"):
        primary("language", 0, "loss")


@pytest.mark.parametrize("documents", [12, 19])
def test_a_model_that_is_worse_by_the_margin_in_few_documents_passes_as_seldom_as_stated(documents: int) -> None:
    """How much worse differs from document to document with sd .02; blocks of bytes let it pass 36 times in 100."""
    rng, trials, passed = np.random.default_rng(0), 400, 0
    tokens, size = np.full(documents, 3840.0), np.full(documents, 15_360.0)
    for _ in range(trials):
        champion = rng.normal(2.0, 0.02, documents)
        candidate = champion + 0.02 + rng.normal(0, 0.02, documents)
        a, b = (np.stack([bits * size * np.log(2), tokens, size], 1) for bits in (candidate, champion))
        assert units_of(len(a), documents, True).count == documents
        passed += difference(a, b, 200)[1] > -0.02
    # 2.5 in 100 expected: 10, with an sd of 3.1.
    assert passed <= 0.035 * trials


def test_a_passage_is_known_wherever_it_stands() -> None:
    def words(count: int, seed: int) -> str:
        rng = np.random.default_rng(seed)
        return " ".join("".join(rng.choice(list("abcdefgh"), 6)) for _ in range(count))

    passages, new = words(4000, 1), words(4000, 2)
    learnt = LearntRows.of(Rule({}, "d"), None, all_shingles([words(500, 3) + passages[1234:]]))
    test = new[:9000] + passages[2000:12_000] + new[9000:18_000]
    mask = unlearnt_blocks([test], len(test) // 512 + 1, learnt)
    positions = np.arange(len(mask)) * 512
    assert mask[positions < 8400].all()
    assert not mask[(positions > 9300) & (positions < 18_200)].any()
    assert mask[positions > 19_100].all()
    documents = [new[i * 700 : (i + 1) * 700] for i in range(20)] + [passages[5000:5900]]
    np.testing.assert_array_equal(unlearnt_blocks(documents, 21, learnt), [True] * 20 + [False])


def test_short_documents_are_known_too() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefgh "), length)) for length in rng.integers(10, 120, 400)]
    learnt = LearntRows.of(Rule({}, "d"), None, all_shingles(texts[:200]))
    np.testing.assert_array_equal(unlearnt_blocks(texts, 400, learnt), np.arange(400) >= 200)


def test_of_a_very_long_text_blocks_without_a_kept_passage_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    passages, new = ("".join(rng.choice(list("abcdefgh"), 200_000)) for _ in range(2))
    monkeypatch.setattr("headway.data.learnt_rows.MOST", 200)
    learnt = LearntRows.of(Rule({}, "d"), None, all_shingles([passages]))
    half = 100_352
    mask = unlearnt_blocks([passages[:half] + new[:half]], 2 * half // 512, learnt)
    assert not mask[:190].any(), "seven of ten blocks of what was learnt hold no passage of the sample"
    assert 0.2 < mask[196:].mean() < 0.7


@pytest.mark.parametrize("count", [3, 8, 9, 13, 50])
def test_every_token_is_predicted_once_from_half_a_context_at_least(count: int) -> None:
    tokens = RNG.integers(0, 7, count)

    def forward(batch: torch.Tensor) -> torch.Tensor:
        """Says how far it has seen: the position in the window decides how sure it is of the truth."""
        places = torch.arange(batch.shape[1], dtype=torch.float32).expand(batch.shape)
        return torch.stack([places] + [torch.zeros_like(places)] * 6, -1)

    losses = token_losses(forward, np.zeros_like(tokens), 8, torch.device("cpu"))
    assert losses.shape == (count - 1,)
    nats_by_place = [-math.log(math.exp(p) / (math.exp(p) + 6)) for p in range(8)]
    assert losses[:8] == pytest.approx(nats_by_place[: count - 1][:8], abs=1e-5)
    assert all(loss <= nats_by_place[4] + 1e-5 for loss in losses[8:])
