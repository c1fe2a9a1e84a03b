"""A language project so small that it trains in seconds: sentences of a few words, as characters."""

from __future__ import annotations

import random
from pathlib import Path

YAML = """
description: Little sentences.
task: language
data: {source: texts}
split: {test: 0.2, validation: 0.2}
prepare: {tokens: {tokenizer: characters}}
model: {name: gpt, layers: 1, heads: 2, width: 32, context: 16}
train: {epochs: 6, batch_size: 16, learning_rate: 0.01, threads: 1}
evaluate: {resamples: 100, prompts: ["the "]}
"""


def write_project(root: Path, yaml: str = YAML) -> None:
    """The project `little` with its texts."""
    (root / "conf").mkdir(exist_ok=True)
    (root / "conf" / "little.yaml").write_text(yaml)
    (root / "texts").mkdir()
    for n, text in enumerate(texts(80)):
        (root / "texts" / f"{n}.txt").write_text(text)


def texts(count: int, seed: int = 0) -> list[str]:
    """Documents of four short lines, each of which may come again in another order."""
    words, texts_made = random.Random(seed), []
    for n in range(count):
        lines = [
            f"the {words.choice(['cat', 'dog'])} {words.choice(['sees', 'hears'])} the {words.choice(['bird', 'fish'])}."
        ] * 3
        words.shuffle(lines)
        texts_made.append("\n".join([*lines, f"number {n}"]))
    return texts_made
