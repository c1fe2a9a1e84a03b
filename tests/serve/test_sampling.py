"""The text of a continuation, piece by piece: nothing is said that is taken back."""

from __future__ import annotations

import random

import pytest

from headway.columns.tokenizer import BytePairs, Characters, Tokenizer
from headway.serve.sampling import Continuation

TEXTS = ["ein Fluß, 東京 und 🚆🚆 am Ufer", "naïve cafés — 12 €", "🚆" * 5, "tie the tied tiger"]


def written(tokenizer: Tokenizer, tokens: list[int], stop: tuple[str, ...] = ()) -> tuple[str, list[str], int]:
    """The text, its pieces, and how many tokens were taken."""
    pieces: list[str] = []
    text = Continuation(tokenizer, stop, pieces.append)
    count = 0
    for token in tokens:
        count += 1
        if not text.take(token):
            break
    return text.end(), pieces, count


@pytest.mark.parametrize("tokenizer", [BytePairs.fit(["tie the tied tiger"], 262), Characters.fit(TEXTS)])
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters_and_together_the_text(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.encode(text).tolist()
    whole, pieces, _ = written(tokenizer, tokens)
    assert whole == "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces)
    assert len(pieces) > 3


def test_bytes_that_are_no_text_are_what_they_are_decoded_together() -> None:
    tokenizer, draws = BytePairs.fit(["tie the tied tiger"], 262), random.Random(0)
    for _ in range(200):
        tokens = draws.choices(range(1, tokenizer.size), k=20)
        whole, pieces, _ = written(tokenizer, tokens)
        assert whole == "".join(pieces) == tokenizer.decode(tokens)


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (("tied",), "tie the "),
        (("tiger", "the"), "tie "),
        (("e t",), "ti"),
        (("tigerish",), "tie the tied tiger"),
        (("ied t", "ied tj"), "tie the t"),
        (("tie",), ""),
    ],
)
def test_a_text_ends_before_the_first_stop_word_and_no_part_of_it_is_said(stop: tuple[str, ...], text: str) -> None:
    tokenizer = Characters.fit(TEXTS)
    tokens = tokenizer.encode("tie the tied tiger").tolist()
    whole, pieces, count = written(tokenizer, tokens, stop)
    assert whole == "".join(pieces) == text
    assert count == min([len(tokens), *(len(text) + len(s) for s in stop if f"{text}{s}" in "tie the tied tiger")])
