"""Language models at work: `make bench NAME=text`. Three minutes on two cores.

Generation: seconds of a token that a network of 10 million random weights (6 layers, 384 wide, context 512) adds to a prompt that fills its
context. The anchor reads the last 512 tokens anew for each token, as Headway did before it kept keys and values, and is written plainly
here. Ours keeps them and begins a window of 256 tokens when the context is full, which is inside the clock: of the 257 tokens of a turn
one is drawn from 512 tokens, the next reads 256 anew. Both sides take the likeliest token, in fp32, with the same threads. The clock
counts the process's CPU seconds, which other processes on the machine change least.

Batches: CPU seconds of a training step of the encoder (two layers, 128 wide) on 64 texts of banking77's training file. The anchor pads
every batch to the longest text. Both sides take steps from all over an epoch, the same number of rows, in fp32.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from pyarrow import csv
from torch import nn

from bench.samples import Samples, options
from bench.side_by_side import Comparison, Work, against_itself, conclude, kept_threads, measure, with_threads
from headway.columns.config import PrepareConfig
from headway.columns.text import TokensFitter
from headway.data.batches import ResidentBatches, inputs_of
from headway.data.datasets import locate
from headway.data.inputs import Inputs
from headway.data.padded import Rows, padded
from headway.models.encoder import Encoder
from headway.models.gpt import GPT
from headway.models.transformer import Transformer
from headway.tasks.completion import Sampling, complete

CPU = torch.device("cpu")
CONTEXT, WORDS = 512, 65
TOKENS, TOKENS_ANEW = 1 + CONTEXT // 2, 2
PAIRS = 12
GENERATION = "generation"
ROWS_A_BATCH, STEPS = 64, 12
BATCHES = "batches"


def main() -> None:
    """Measure and keep the ratios."""
    settings = options()
    samples = Samples("text", fresh=settings.fresh)
    measure(samples, comparisons(samples), settings)
    conclude("text", samples, comparisons(samples))


def comparisons(samples: Samples) -> list[Comparison]:
    """What is measured, with the anchor's best number of threads."""
    network = random_network()
    prompt = torch.randint(1, WORDS, (CONTEXT,), generator=torch.Generator().manual_seed(0)).tolist()
    threads = kept_threads(samples, GENERATION, anew(network, prompt))
    ours, anchor = (with_threads(threads, work) for work in (with_cache(network, prompt), anew(network, prompt)))
    return [
        Comparison(f"{GENERATION}: a fifth of the time without a cache", ours, anchor, PAIRS, 1 / 5),
        against_itself(anchor, PAIRS, GENERATION),
        *_batches(samples),
    ]


def _batches(samples: Samples) -> list[Comparison]:
    """Padded to a few widths, beside all to one."""
    rows = banking77()
    vocabulary = int(rows["tokens_0"].values.max()) + 1  # pyrefly: ignore
    network = Encoder(layers=2, dropout=0.0).build(Inputs(outputs=77, tokens=(vocabulary,)))
    narrow, wide = (ResidentBatches(rows, ROWS_A_BATCH, 0, one_shape) for one_shape in (False, True))
    threads = kept_threads(samples, BATCHES, steps_of(network, wide))
    ours, anchor = (with_threads(threads, steps_of(network, batches)) for batches in (narrow, wide))
    return [
        Comparison(f"{BATCHES}: half of the time of padded ones", ours, anchor, PAIRS, 1 / 2),
        against_itself(anchor, PAIRS, BATCHES),
    ]


def banking77() -> dict[str, Rows]:
    """The training questions as `headway run` prepares them for an encoder, with any targets."""
    texts = csv.read_csv(next(path for path in locate("banking77", {}, Path.cwd()).files if path.stem == "train"))
    column = texts.column("text").combine_chunks()
    fitter = TokensFitter("text", PrepareConfig())
    fitter.add(fitter.block(column, column))
    encoding = fitter.finish()
    assert encoding is not None
    count = len(column)
    dense = {"numeric": torch.zeros(count, 0), "categorical": torch.zeros(count, 0, dtype=torch.int64)}
    return {**dense, **padded({"tokens_0": encoding.ragged(column)}), "target": torch.arange(count) % 77}


def steps_of(network: nn.Module, batches: ResidentBatches) -> Work:
    """CPU seconds of a step, of STEPS spread over an epoch."""
    every = [batch for number, batch in enumerate(batches.epoch(0)) if number % (batches.steps // STEPS) == 0][:STEPS]

    def work() -> float:
        start = time.process_time()
        for batch in every:
            loss = nn.functional.cross_entropy(network(**inputs_of(batch)), batch["target"])
            loss.backward()
            network.zero_grad()
        return (time.process_time() - start) / len(every)

    return work


def random_network() -> Transformer:
    """That never ends a text."""
    torch.manual_seed(0)
    built = GPT(layers=6, heads=6, width=384, context=CONTEXT).build(Inputs(tokens=(WORDS,)))
    assert isinstance(built, Transformer)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
        built.head.weight[0] = 0
    return built.eval()


def with_cache(network: Transformer, prompt: list[int]) -> Work:
    """CPU seconds of one token of Headway's."""

    def work() -> float:
        added: list[int] = []

        def takes(_row: int, token: int) -> bool:
            added.append(token)
            return True

        start = time.process_time()
        complete(network, [prompt], CONTEXT, Sampling(tokens=TOKENS, temperature=0), takes, CPU)
        return (time.process_time() - start) / len(added)

    return work


def anew(network: Transformer, prompt: list[int]) -> Work:
    """CPU seconds of one token, each read with all that it is drawn from."""

    def work() -> float:
        tokens = list(prompt)
        start = time.process_time()
        for _ in range(TOKENS_ANEW):
            with torch.no_grad():
                logits_BTV = network(torch.tensor([tokens[-CONTEXT:]]))
            assert torch.is_tensor(logits_BTV)
            tokens.append(int(logits_BTV[0, -1].argmax()))
        return (time.process_time() - start) / TOKENS_ANEW

    return work


if __name__ == "__main__":
    main()
