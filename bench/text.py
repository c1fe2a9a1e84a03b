"""Language models at work: `make bench NAME=text`. Three minutes on two cores.

Generation: seconds of a token that a network of 10 million random weights (6 layers, 384 wide, context 512) adds to a prompt that fills its
context. The anchor reads the last 512 tokens anew for each token, as Headway did before it kept keys and values, and is written plainly
here. Ours keeps them and begins a window of 256 tokens when the context is full, which is inside the clock: of the 257 tokens of a turn
one is drawn from 512 tokens, the next reads 256 anew. Both sides take the likeliest token, in fp32, with the same threads. The clock
counts the process's CPU seconds, which other processes on the machine change least.
"""

from __future__ import annotations

import time

import torch

from bench.samples import Samples, options
from bench.side_by_side import Comparison, Work, against_itself, conclude, kept_threads, measure, with_threads
from headway.data.inputs import Inputs
from headway.models.gpt import GPT
from headway.models.transformer import Transformer
from headway.tasks.completion import Sampling, complete

CPU = torch.device("cpu")
CONTEXT, WORDS = 512, 65
TOKENS, TOKENS_ANEW = 1 + CONTEXT // 2, 2
PAIRS = 12
GENERATION = "generation"


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
    ]


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
