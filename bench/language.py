"""Shakespeare by characters, against a plain loop: `make bench NAME=language`. Twelve minutes on two cores; `--minutes 3` takes a part.

nanoGPT's CPU recipe: 4 layers, 4 heads, 128 wide, block 64, batch 12. The anchor is the same network in a plainly written eager loop with
AdamW and nanoGPT's settings (2,000 steps, learning rate 1e-3 to 1e-4 by a cosine after 100 steps, beta2 0.99, clip 1). Ours is the recipe
of conf/shakespeare.yaml, in fp32 like the anchor; only the optimizer's orthogonalisation, which the anchor does not have, takes the
hardware's fastest format. Both train on the project's training text with the same threads and are judged on its test text, nanoGPT's
validation. The clock of both starts before the first step, so recording and compiling count, from an empty cache; validations do not.

The first ratio is our seconds to a test loss of 1.88 over the anchor's, the two in turns; the second our test loss after the anchor's
seconds, over the 1.70 allowed. Rates are chosen on the validation text, with a seed that no judged run has: `--choose` prints what the
project's own and their halves and doubles reach; the better ones then go into the project.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.samples import ROOT, Samples, options
from bench.side_by_side import summarise, tell
from headway.columns.tokenizer import Characters
from headway.data.batches import Batch
from headway.data.inputs import Inputs
from headway.data.windows import TokenBatches
from headway.models.gpt import GPT
from headway.pipeline.runs import documents_of, table_of
from headway.project import Project, load_project
from headway.tasks import language
from headway.train.memory import keep_memory
from headway.train.optimizer import make_optimizer
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.schedule import rate
from headway.train.step import Step
from headway.train.tune import physical_cores

CPU = torch.device("cpu")
STEPS, EVERY = 2000, 50
TARGET, BETTER = 1.88, 1.70
RUNS = 3
SHORT = 450
"""Steps of our run to the first target: the rate's fall is fitted to it."""
CLOCK = 10_000
"""Parts of the time that the rate's schedule tells apart."""
CHOOSING_SEED = 100
"""No judged run has it."""
FACTORS = ((1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 2.0))
"""Of learning_rate and muon_learning_rate, around the project's own: the pairs that --choose compares."""


@dataclass(frozen=True)
class Texts:
    """The project, and its text as tokens."""

    project: Project
    model: GPT
    vocabulary: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @classmethod
    def load(cls) -> Texts:
        """Shakespeare, in the parts that conf/shakespeare.yaml states."""
        project = load_project("shakespeare", ROOT)
        assert isinstance(project.model, GPT)
        documents = documents_of(project, table_of(project, ROOT))
        parts = {split: document.text for split, document in documents.parts()}
        tokenizer = Characters.fit([parts["train"]])
        tokens = {split: tokenizer.encode(text).astype(np.uint16) for split, text in parts.items()}
        return cls(project, project.model, tokenizer.size, tokens["train"], tokens["validation"], tokens["test"])

    def network(self, seed: int) -> nn.Module:
        """The project's model with this seed's weights."""
        torch.manual_seed(seed)
        return self.model.build(Inputs(tokens=(self.vocabulary,)))

    def loss(self, network: nn.Module, tokens: np.ndarray) -> float:
        """Over all of a text in blocks, side by side; nanoGPT averages some such blocks drawn at random."""
        block = self.model.context
        network.eval()
        rows = np.arange(0, len(tokens) - block - 1, block)[:, None] + np.arange(block + 1)
        windows = torch.from_numpy(tokens[rows].astype(np.int64))
        with torch.no_grad():
            sums = [
                float(language.TASK.loss(network(some[:, :-1]), some[:, 1:])) * len(some) for some in windows.split(128)
            ]
        network.train()
        return sum(sums) / len(windows)


def main() -> None:
    """Measure and keep the ratios."""
    settings = options([word for word in sys.argv[1:] if word != "--choose"])
    torch.set_num_threads(physical_cores())
    keep_memory()
    texts = Texts.load()
    if "--choose" in sys.argv:
        choose(texts)
        return
    samples, deadline = Samples("language", fresh=settings.fresh), settings.deadline()
    for seed in range(RUNS):
        for label, work in (("sooner", _sooner), ("better", _better)):
            if not samples.of(f"{label} {seed}") and time.monotonic() < deadline:
                work(texts, seed, samples)
    judge(samples)


def judge(samples: Samples) -> None:
    """Say and keep what there is."""
    ratios = {}
    for label, name, goal in (
        ("1.88 at least 3 x sooner than the plain loop", "sooner", 1 / 3),
        ("at most 1.70 in the plain loop's time", "better", 1.0),
    ):
        logs = [value for seed in range(RUNS) for value in samples.of(f"{name} {seed}")]
        if len(logs) < RUNS:
            print(f"{label}: {len(logs)} of {RUNS} seeds; run it again to go on")
        if logs:
            ratios[label] = summarise(logs, goal)
    tell("language", ratios)


def _sooner(texts: Texts, seed: int, samples: Samples) -> None:
    """Both to the target in turns, a share of the steps each: what the machine does meanwhile hits both."""
    anchor, ours = Anchor(texts, seed), Ours(texts, seed)
    with _empty_cache():
        runs = [anchor.run(), ours.run(SHORT)]
        while runs:
            runs = [run for run in runs if next(run, None) is not None]
    if anchor.loss > TARGET or ours.loss > TARGET:
        raise SystemExit(f"both must reach {TARGET}, but the plain loop has {anchor.loss:.3f} and ours {ours.loss:.3f}")
    print(
        f"seed {seed}: anchor {anchor.seconds:.1f} s ({anchor.steps} steps), ours {ours.seconds:.1f} s ({ours.steps})"
    )
    samples.add(f"sooner {seed}", math.log(ours.seconds / anchor.seconds))
    samples.add(f"anchor seconds {seed}", anchor.seconds)


def _better(texts: Texts, seed: int, samples: Samples) -> None:
    with _empty_cache():
        loss = Ours(texts, seed).for_seconds(samples.of(f"anchor seconds {seed}")[0])
    print(f"seed {seed}: {loss:.3f} in the plain loop's time")
    samples.add(f"better {seed}", math.log(loss / BETTER))


class _empty_cache(tempfile.TemporaryDirectory[str]):
    """A folder of its own for compiled code: what another run has left there would not be free for a user."""

    def __enter__(self) -> str:
        torch._dynamo.reset()
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = super().__enter__()
        return self.name


class Anchor:
    """A plain loop with nanoGPT's settings."""

    def __init__(self, texts: Texts, seed: int) -> None:
        self.texts, self.model = texts, texts.network(seed)
        self.seconds, self.steps, self.loss = 0.0, 0, math.inf

    def run(self) -> Iterator[float]:
        """Train until the test loss is at most the target; yields the loss whenever it was looked at."""
        block, batch = self.texts.model.context, int(self.texts.project.train.batch_size)
        data = torch.from_numpy(self.texts.train.astype(np.int64))
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim == 1]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
        while self.loss > TARGET and self.steps < 2 * STEPS:
            start = time.perf_counter()
            for _ in range(EVERY):
                for group in optimizer.param_groups:
                    group["lr"] = 1e-3 * _cosine(self.steps)
                places = torch.randint(len(data) - block, (batch,))
                x = torch.stack([data[i : i + block] for i in places])
                y = torch.stack([data[i + 1 : i + 1 + block] for i in places])
                logits = self.model(x)
                loss = functional.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
                self.steps += 1
            self.seconds += time.perf_counter() - start
            self.loss = self.texts.loss(self.model, self.texts.test)
            yield self.loss


def _cosine(step: int) -> float:
    """nanoGPT's share of the learning rate."""
    if step < 100:
        return (step + 1) / 101
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, (step - 100) / (STEPS - 100))))


class Ours:
    """The project's recipe in fp32, on the same network."""

    def __init__(self, texts: Texts, seed: int, recipe: Recipe | None = None) -> None:
        self.texts, self.model = texts, texts.network(seed)
        self.recipe = (recipe or texts.project.train).model_copy(update={"precision": "fp32"})
        batch, block = int(self.recipe.batch_size), texts.model.context
        optimizers = make_optimizer(self.model, self.recipe)
        self.step = Step(self.model, optimizers, language.TASK.loss, Arithmetic("fp32", CPU, ""), self.recipe, batch)
        self.batches = TokenBatches(texts.train, batch, block, seed, CPU)
        self.seconds, self.steps, self.loss = 0.0, 0, math.inf

    def _epochs(self) -> Iterator[Batch]:
        for epoch in itertools.count():
            yield from self.batches.epoch(epoch)

    def run(self, steps: int) -> Iterator[float]:
        """At most so many steps, until the test loss is at most the target; yields four times as often as the anchor."""
        batches, often = self._epochs(), EVERY // 4
        while self.steps < steps and self.loss > TARGET:
            start = time.perf_counter()
            for batch in itertools.islice(batches, min(often, steps - self.steps)):
                self.step.optimizers.set_rate(rate(self.recipe, self.steps, steps))
                self.step(batch)
                self.steps += 1
            self.seconds += time.perf_counter() - start
            if self.steps > steps - EVERY:  # the rate has fallen only then, and a look takes as long as ten steps
                self.loss = self.texts.loss(self.model, self.texts.test)
            yield self.loss

    def for_seconds(self, seconds: float) -> float:
        """The test loss after so many seconds. The rate follows the clock, as the machine's speed is not known before."""
        start = time.perf_counter()
        for batch in self._epochs():
            spent = (time.perf_counter() - start) / seconds
            if spent >= 1:
                break
            self.step.optimizers.set_rate(rate(self.recipe, int(spent * CLOCK), CLOCK))
            self.step(batch)
        return self.texts.loss(self.model, self.texts.test)


def choose(texts: Texts) -> None:
    """Print the validation loss of each pair of rates after the short run; the test text is not looked at."""
    base = texts.project.train
    for factor, muon_factor in FACTORS:
        rates = {
            "learning_rate": base.learning_rate * factor,
            "muon_learning_rate": base.muon_learning_rate * muon_factor,
        }
        ours = Ours(texts, CHOOSING_SEED, base.model_copy(update=rates))
        for number, batch in enumerate(itertools.islice(ours._epochs(), SHORT)):
            ours.step.optimizers.set_rate(rate(ours.recipe, number, SHORT))
            ours.step(batch)
        print(f"{rates}: {texts.loss(ours.model, texts.validation):.4f}", flush=True)


if __name__ == "__main__":
    main()
