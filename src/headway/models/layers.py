"""How prepared rows enter a network.

Shapes: B batch, F numeric columns, C categorical columns, D width of what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

ONE_HOT_CODES = 64
"""Columns with more codes than this are embedded: a one-hot column costs its width in every product."""


class OneHot(nn.Module):
    """codes_BC to (B, sum of codes), all columns in one scatter."""

    offsets: Tensor

    def __init__(self, codes: Sequence[int]) -> None:
        super().__init__()
        self.width = sum(codes)
        starts = torch.tensor([0, *codes[:-1]], dtype=torch.int64).cumsum(0)
        self.register_buffer("offsets", starts, persistent=False)

    def forward(self, codes_BC: Tensor) -> Tensor:
        out = torch.zeros(*codes_BC.shape[:-1], self.width, device=codes_BC.device)
        return out.scatter_(-1, codes_BC + self.offsets, 1.0)


class Embeddings(nn.Module):
    """codes_BC to (B, C * size), all columns in one table."""

    offsets: Tensor

    def __init__(self, codes: Sequence[int], size: int = 16) -> None:
        super().__init__()
        self.width = len(codes) * size
        self.table = nn.Embedding(sum(codes), size)
        nn.init.normal_(self.table.weight, std=size**-0.5)
        starts = torch.tensor([0, *codes[:-1]], dtype=torch.int64).cumsum(0)
        self.register_buffer("offsets", starts, persistent=False)

    def forward(self, codes_BC: Tensor) -> Tensor:
        return self.table(codes_BC + self.offsets).flatten(1)


class Texts(nn.Module):
    """What text columns become: (B, W) by name to (B, columns * size)."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.count, self.width = count, count * size

    @property
    def blocks(self) -> list[nn.Module]:
        """Of a deep one its blocks, one by one: what activation checkpointing wraps."""
        return []


class TokenBags(Texts):
    """Columns of tokens, (B, W) int each, to (B, columns * size): the mean of each row's embeddings, zero for a row without tokens.

    Embeddings begin at zero, so that a token which training never shows adds nothing.
    """

    def __init__(self, vocabularies: Sequence[int], size: int = 32) -> None:
        super().__init__(len(vocabularies), size)
        self.bags = nn.ModuleList(
            nn.EmbeddingBag(count, size, mode="mean", padding_idx=0, _weight=torch.zeros(count, size))
            for count in vocabularies
        )

    def forward(self, texts: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([bag(texts[f"tokens_{i}"]) for i, bag in enumerate(self.bags)], -1)


class WeightedBags(Texts):
    """Columns of weighted n-grams, (B, W) int and (B, W) float each, to (B, columns * size): the sum of weights times embeddings.

    ``dropout``: the share of the n-grams that are left out at a step of training.
    """

    def __init__(self, counts: Sequence[int], size: int, dropout: float = 0.0) -> None:
        super().__init__(len(counts), size)
        self.bags = nn.ModuleList(nn.EmbeddingBag(count, size, mode="sum", padding_idx=0) for count in counts)
        self.drop = Dropout(dropout)
        for bag in self.bags:
            weight = bag.get_parameter("weight")
            nn.init.normal_(weight, std=size**-0.5)
            nn.init.zeros_(weight[0])

    def forward(self, texts: Mapping[str, Tensor]) -> Tensor:
        parts = []
        for i, bag in enumerate(self.bags):
            weights = texts[f"tokens_{i}_weights"].to(bag.get_parameter("weight").dtype)
            parts.append(bag(texts[f"tokens_{i}"], per_sample_weights=self.drop(weights)))
        return torch.cat(parts, -1)


class Columns(nn.Module):
    """Numbers (through ``encoder`` if given), narrow categories one-hot, wide ones embedded, texts through ``texts``, side by side.

    Shape: x_BF float, codes_BC int and texts (B, W) by name to (B, width). ``chunks`` lists the width of each part that comes from one
    column, and ``places`` the number of that one: the numeric columns come first, then the categorical ones, then the texts.
    ``order``: of the numeric columns, where ``encoder`` gives them in another one. ``texts`` gives (B, its ``width``), an equal part for
    each column.
    """

    narrow: Tensor
    wide: Tensor

    def __init__(
        self,
        numeric: int,
        categorical: Sequence[int],
        encoder: nn.Module | None = None,
        encoded: Sequence[int] | None = None,
        texts: Texts | None = None,
        order: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        narrow = [i for i, codes in enumerate(categorical) if codes <= ONE_HOT_CODES]
        wide = [i for i, codes in enumerate(categorical) if codes > ONE_HOT_CODES]
        self.register_buffer("narrow", torch.tensor(narrow, dtype=torch.int64), persistent=False)
        self.register_buffer("wide", torch.tensor(wide, dtype=torch.int64), persistent=False)
        self.encoder = encoder
        self.one_hot = OneHot([categorical[i] for i in narrow]) if narrow else None
        self.embeddings = Embeddings([categorical[i] for i in wide]) if wide else None
        self.has_numeric = numeric > 0
        self.chunks = [*(encoded if encoded is not None else [1] * numeric), *(categorical[i] for i in narrow)]
        if self.embeddings is not None:
            self.chunks += [self.embeddings.width // len(wide)] * len(wide)
        self.bags = texts  # the name by which bundles hold their weights
        count = 0 if texts is None else texts.count
        if texts is not None:
            self.chunks += [texts.width // count] * count
        self.width = sum(self.chunks)
        self.places = [*(range(numeric) if order is None else order), *(numeric + i for i in (*narrow, *wide))]
        self.places += range(numeric + len(categorical), numeric + len(categorical) + count)

    def forward(self, numeric: Tensor, categorical: Tensor, texts: Mapping[str, Tensor] | None = None) -> Tensor:
        parts = []
        if self.has_numeric:
            parts.append(numeric if self.encoder is None else self.encoder(numeric))
        if self.one_hot is not None:
            parts.append(self.one_hot(categorical.index_select(-1, self.narrow)))
        if self.embeddings is not None:
            parts.append(self.embeddings(categorical.index_select(-1, self.wide)))
        if self.bags is not None:
            parts.append(self.bags(texts or {}))
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


class Summed(nn.Module):
    """What `Columns` gives, (B, its width) to (B, width): its texts, each of that width, added to a linear layer of all else."""

    def __init__(self, columns: Columns, width: int) -> None:
        super().__init__()
        texts = 0 if columns.bags is None else columns.bags.width
        self.parts = [columns.width - texts, *[width] * (texts // width)]
        self.linear = nn.Linear(self.parts[0], width) if self.parts[0] else None

    def forward(self, x: Tensor) -> Tensor:
        rest, *texts = x.split(self.parts, -1)
        parts = texts if self.linear is None else [self.linear(rest), *texts]
        return sum(parts[1:], start=parts[0])


class TableNetwork(nn.Module):
    """A network on columns: ``columns`` takes the named tensors, ``body`` what they become."""

    def __init__(self, columns: Columns, body: nn.Module) -> None:
        super().__init__()
        self.columns = columns
        self.body = body

    @property
    def blocks(self) -> list[nn.Module]:
        """The hidden layers, one by one: what activation checkpointing wraps."""
        if self.columns.bags is not None and self.columns.bags.blocks:
            return self.columns.bags.blocks
        inner = [block for part in self.body.modules() if isinstance(part, nn.ModuleList) for block in part]
        return inner or [part for part in self.body.children() if isinstance(part, nn.Sequential)]

    def encode(self, numeric: Tensor, categorical: Tensor, **texts: Tensor) -> Tensor:
        """(B, D): the columns side by side, each in a place of its own."""
        return self.columns(numeric, categorical, texts)

    def forward(self, numeric: Tensor, categorical: Tensor, **texts: Tensor) -> Tensor:
        return self.body(self.encode(numeric, categorical, **texts))


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) that draws eight elements' bits at a time on a CPU.

    torch's own draws one number an element, which on a CPU takes a third of a small ensemble's step. The share is rounded to the next
    1/256, and what is kept is scaled by exactly that share, so the expectation is that of the input.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.dropped = round(share * 256)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropped:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.share)
        return self.drop(x)

    def drop(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Drop on a CPU, with bits drawn from ``generator``, or from torch's own."""
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
        mask = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped
        return x * (mask * (256 / (256 - self.dropped)))


def with_fast_dropout(module: nn.Module) -> nn.Module:
    """The module with each torch dropout inside it replaced by ours."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, Dropout(child.p))
        else:
            with_fast_dropout(child)
    return module


class LinearNetwork(nn.Module):
    """x_BF, codes_BC and weighted n-grams (B, W) to (B, O): a weight a number, a row of weights a code and an n-gram.

    Its weights come from a fit, not from training.
    """

    center: Tensor
    spread: Tensor
    offsets: Tensor

    def __init__(self, numeric: int, categorical: Sequence[int], outputs: int, ngrams: Sequence[int] = ()) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(numeric))
        self.register_buffer("spread", torch.ones(numeric))
        starts = torch.tensor([0, *categorical[:-1]], dtype=torch.int64).cumsum(0)[: len(categorical)]
        self.register_buffer("offsets", starts, persistent=False)
        self.numbers = nn.Parameter(torch.zeros(numeric, outputs))
        self.codes = nn.Parameter(torch.zeros(sum(categorical), outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.firsts = [sum(ngrams[:i]) for i in range(len(ngrams))]
        if ngrams:
            self.ngrams = nn.Parameter(torch.zeros(sum(ngrams), outputs))

    def forward(self, numeric: Tensor, categorical: Tensor, **texts: Tensor) -> Tensor:
        out = (numeric - self.center) / self.spread @ self.numbers + self.bias
        if categorical.shape[-1]:
            out = out + nn.functional.embedding_bag(categorical + self.offsets, self.codes, mode="sum")
        for i, first in enumerate(self.firsts):
            features, weights = texts[f"tokens_{i}"], texts[f"tokens_{i}_weights"]
            out = out + nn.functional.embedding_bag(
                features + first, self.ngrams, per_sample_weights=weights.to(self.ngrams.dtype), mode="sum"
            )
        return out

    def terms(self, numeric: Tensor, categorical: Tensor, **texts: Tensor) -> Tensor:
        """(B, F + C + texts, O): what each column adds to the outputs, beside the bias."""
        parts = [((numeric - self.center) / self.spread)[..., None] * self.numbers]
        if categorical.shape[-1]:
            parts.append(self.codes[categorical + self.offsets])
        for i, first in enumerate(self.firsts):
            features, weights = texts[f"tokens_{i}"], texts[f"tokens_{i}_weights"]
            parts.append((self.ngrams[features + first] * weights[..., None]).sum(1, keepdim=True))
        return torch.cat(parts, 1)
