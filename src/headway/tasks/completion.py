"""Going on with texts: the parameters of a request, and the drawing of one token after another.

Each token is drawn from what its text's window holds. A window begins at the text's first token, or at the last ``context`` of a longer
prompt. Once it is full, it begins anew with the last half of a context, as it does where a text is measured: so every token is
drawn from half a context or more, and a network's keys and values are computed anew once for half a context of tokens.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PROMPT = "prompt"
"""The column of texts to go on with."""

END = 0
"""The token that ends a document."""

MOST_KEPT = 2**26
"""Numbers of keys and values that are kept at once, or one text's: 256 MiB in fp32."""


@dataclass(frozen=True)
class Number:
    """A number that a request may give: its name, its type in MLflow's words, its default and its bounds.

    ``is_open``: whether the number must be more than ``least``.
    """

    name: str
    kind: Literal["long", "double"]
    default: float
    least: float
    most: float
    is_open: bool = False
    shape: ClassVar[None] = None


@dataclass(frozen=True)
class Texts:
    """Texts that a request may give; by default none. ``most``: how many."""

    name: str
    most: int
    kind: ClassVar[Literal["string"]] = "string"
    shape: ClassVar[tuple[int]] = (-1,)

    @property
    def default(self) -> list[str]:
        """None."""
        return []


Parameter = Number | Texts

TOKENS = Number("tokens", "long", 300, 1, 10_000)
TEMPERATURE = Number("temperature", "double", 0.8, 0, 100)
TOP_K = Number("top_k", "long", 0, 0, 1_000_000_000)
TOP_P = Number("top_p", "double", 1, 0, 1, is_open=True)
SEED = Number("seed", "long", 0, 0, 2**63 - 1)
STOP = Texts("stop", 16)
PARAMETERS = (TOKENS, TEMPERATURE, TOP_K, TOP_P, STOP, SEED)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How texts are gone on with.

    ``tokens``: at most so many are added. ``temperature``: 0 takes the likeliest token. ``top_k``: the draw is from so many of the
    likeliest; 0: from all. ``top_p``: it is from the fewest of the likeliest that together have this chance. ``stop``: texts of which
    the first to come ends the continuation before it.
    """

    tokens: int = int(TOKENS.default)
    temperature: float = TEMPERATURE.default
    top_k: int = int(TOP_K.default)
    top_p: float = TOP_P.default
    stop: tuple[str, ...] = ()
    seed: int = int(SEED.default)


Reader = Callable[[Sequence[int], Sequence[Sequence[int]]], "Tensor"]
"""Rows by their numbers and the window of each to the logits (B, V) of their next tokens."""


@runtime_checkable
class Caching(Protocol):
    """A network that keeps what it computed of earlier tokens."""

    def reader(self, rows: int, length: int) -> Reader:
        """For rows 0, 1, ..., whose windows have at most ``length`` tokens. A window that is one token longer costs one token."""
        ...

    def kept_numbers(self, length: int) -> int:
        """How many numbers are kept of one row."""
        ...


def complete(
    network: nn.Module,
    prompts: Sequence[Sequence[int]],
    context: int,
    sampling: Sampling,
    takes: Callable[[int, int], bool],
    device: torch.device,
) -> None:
    """Draw tokens after each prompt, until an end token or ``sampling.tokens``. An empty prompt is a document's beginning.

    ``takes`` is given each prompt's number and each token, and answers whether its text is to go on. Each text is drawn with a
    generator of its own from ``sampling.seed``: what other prompts there are does not change it. ``sampling.stop`` is the caller's.
    """
    texts = [list(prompt) or [END] for prompt in prompts]
    for first, end, reader in _groups(network, texts, context, sampling, device):
        _complete(
            reader, texts[first:end], context, sampling, lambda row, token, first=first: takes(first + row, token)
        )


def _groups(
    network: nn.Module, texts: Sequence[Sequence[int]], context: int, sampling: Sampling, device: torch.device
) -> Iterator[tuple[int, int, Reader]]:
    """Which texts are read together, from one to before another: as many as memory allows."""
    caching: Any = network  # a module's type says nothing of the methods of its own
    if not isinstance(caching, Caching):
        yield 0, len(texts), _Rereading(network, device)
        return
    length = min(context, max(map(len, texts), default=0) + sampling.tokens)
    size = max(1, MOST_KEPT // caching.kept_numbers(length))
    for first in range(0, len(texts), size):
        end = min(first + size, len(texts))
        yield first, end, caching.reader(end - first, length)


@dataclass(frozen=True)
class _Rereading:
    """Of a network that keeps nothing: each window is read whole for each token."""

    network: nn.Module
    device: torch.device

    def __call__(self, rows: Sequence[int], windows: Sequence[Sequence[int]]) -> Tensor:
        import torch

        del rows
        outputs = [self.network(torch.tensor([window], device=self.device)) for window in windows]
        return torch.stack([(one if torch.is_tensor(one) else one.logits)[0, -1] for one in outputs])


def _complete(
    reader: Reader, texts: list[list[int]], context: int, sampling: Sampling, takes: Callable[[int, int], bool]
) -> None:
    import torch

    generators = [torch.Generator().manual_seed(sampling.seed) for _ in texts]
    starts = [max(0, len(text) - context) for text in texts]
    rows = list(range(len(texts)))
    for _ in range(sampling.tokens):
        if not rows:
            return
        with torch.no_grad():
            logits_BV = reader(rows, [texts[row][starts[row] :] for row in rows]).float().cpu()
        going: list[int] = []
        for row, logits_V in zip(rows, logits_BV, strict=True):
            token = draw(logits_V, sampling, generators[row])
            if token == END or not takes(row, token):
                continue
            going.append(row)
            texts[row].append(token)
            if len(texts[row]) - starts[row] > context:
                starts[row] = len(texts[row]) - max(1, context // 2)
        rows = going


def draw(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token. First the temperature, then top-k, then top-p (Holtzman et al. 2020, arXiv:1904.09751) of what top-k leaves."""
    import torch

    if sampling.temperature <= 0:
        return int(logits_V.argmax())
    chances_V = (logits_V / sampling.temperature).softmax(-1)
    if sampling.top_k or sampling.top_p < 1:
        ordered_V, tokens_V = chances_V.sort(descending=True, stable=True)
        if sampling.top_k:
            ordered_V[sampling.top_k :] = 0
            ordered_V = ordered_V / ordered_V.sum()
        if sampling.top_p < 1:
            ordered_V[ordered_V.cumsum(-1) - ordered_V >= sampling.top_p] = 0
        chances_V = torch.zeros_like(chances_V).scatter(-1, tokens_V, ordered_V)
    return int(torch.multinomial(chances_V, 1, generator=generator))
