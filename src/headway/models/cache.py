"""What a Transformer keeps of the tokens that it has read: each block's keys and values, so that a further token costs one token.

Rows have windows of different lengths: each row's tokens stand from place 0 on, and what lies behind its last one is hidden.

Shapes: R rows, B rows that are read at once, T tokens, L places, H heads, K heads of keys and values, G heads that share one of these,
E width of a head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Kept:
    """One block's keys and values, and which of their rows are read, in ascending order.

    ``places_B``: where the one token of each row stands; None where whole windows are read. ``length``: how many places are looked at;
    ``seen_B11L``: which of them each row sees; None where it is all.
    """

    keys_RKLE: Tensor
    values_RKLE: Tensor
    rows_B: Tensor
    places_B: Tensor | None = None
    length: int = 0
    seen_B11L: Tensor | None = None

    def keep(self, k_BKTE: Tensor, v_BKTE: Tensor) -> None:
        """Put them at their places."""
        for all_RKLE, new_BKTE in ((self.keys_RKLE, k_BKTE), (self.values_RKLE, v_BKTE)):
            if self.places_B is None:
                all_RKLE[self.rows_B, :, : new_BKTE.shape[2]] = new_BKTE
            else:
                all_RKLE[self.rows_B, :, self.places_B] = new_BKTE[:, :, 0]

    def attend(self, q_BH1E: Tensor) -> Tensor:
        """softmax(q kᵀ / √E) v of one token over all that are kept of its row: (B, H, 1, E)."""
        k_BKLE, v_BKLE = (self._of_rows(one[:, :, : self.length]) for one in (self.keys_RKLE, self.values_RKLE))
        q_BKGE = q_BH1E.squeeze(2).unflatten(1, (k_BKLE.shape[1], -1))
        y_BKGE = functional.scaled_dot_product_attention(q_BKGE, k_BKLE, v_BKLE, attn_mask=self.seen_B11L)
        return y_BKGE.flatten(1, 2).unsqueeze(2)

    def _of_rows(self, all_RKLE: Tensor) -> Tensor:
        return all_RKLE if len(self.rows_B) == len(all_RKLE) else all_RKLE[self.rows_B]


class Cache:
    """`headway.tasks.completion.Reader` of a Transformer, for rows 0, 1, ... of windows of at most ``length`` tokens.

    A row whose window is one token longer than what is kept of it reads this token; any other row reads its window anew.
    """

    def __init__(self, network: Any, rows: int, length: int) -> None:
        self.network = network
        weight = network.embedding.weight
        shape = (rows, *network.kept_shape(length))
        self._kept = [(weight.new_zeros(shape), weight.new_zeros(shape)) for _ in network.blocks]
        self._lengths = [0] * rows

    def __call__(self, rows: Sequence[int], windows: Sequence[Sequence[int]]) -> Tensor:
        """Logits (B, V)."""
        goes_on = [self._lengths[row] + 1 == len(window) for row, window in zip(rows, windows, strict=True)]
        logits_BV = self.network.head.weight.new_empty(len(rows), self.network.head.out_features)
        for reading, is_step in ((self._begin, False), (self._step, True)):
            places = [place for place, does in enumerate(goes_on) if does is is_step]
            if places:
                logits_BV[places] = reading([rows[place] for place in places], [windows[place] for place in places])
        for row, window in zip(rows, windows, strict=True):
            self._lengths[row] = len(window)
        return logits_BV

    def _begin(self, rows: Sequence[int], windows: Sequence[Sequence[int]]) -> Tensor:
        """Whole windows, padded behind their ends: nothing looks ahead."""
        longest = max(map(len, windows))
        padded = [[*window, *[0] * (longest - len(window))] for window in windows]
        tokens_BT, rows_B, lengths_B = (self._tensor(values) for values in (padded, rows, [*map(len, windows)]))
        cos, sin = (angles[:longest] for angles in self._angles())
        memories = [Kept(keys, values, rows_B) for keys, values in self._kept]
        x_BTD = self.network.continued(tokens_BT, cos, sin, memories)
        return self.network.head(x_BTD[torch.arange(len(rows), device=rows_B.device), lengths_B - 1])

    def _step(self, rows: Sequence[int], windows: Sequence[Sequence[int]]) -> Tensor:
        """The last token of each."""
        tokens_B, rows_B, places_B = (
            self._tensor(values) for values in ([w[-1] for w in windows], rows, [len(w) - 1 for w in windows])
        )
        length = max(map(len, windows))
        visible = None
        if min(map(len, windows)) < length:
            visible = (torch.arange(length, device=rows_B.device) <= places_B[:, None])[:, None, None]
        cos, sin = (angles[places_B, None, None] for angles in self._angles())
        memories = [Kept(keys, values, rows_B, places_B, length, visible) for keys, values in self._kept]
        return self.network.head(self.network.continued(tokens_B[:, None], cos, sin, memories)[:, 0])

    def _angles(self) -> tuple[Tensor, Tensor]:
        dtype = self.network.embedding.weight.dtype
        return self.network.cos.to(dtype), self.network.sin.to(dtype)

    def _tensor(self, values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(values, device=self.network.embedding.weight.device)
