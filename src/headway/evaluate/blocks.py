"""The rows that a language model is measured on: a test's documents, or blocks of neighbouring bytes of one long text.

Every model's nats are summed over the same blocks of the same text, whatever its tokens. Neighbouring tokens are not independent.
Documents are; of one long text, blocks of some hundred bytes nearly are. They are what is resampled. Shapes: N tokens, K blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headway.data.learnt_rows import ENOUGH, LearntRows
from headway.data.shingles import shingles
from headway.evaluate.resample import Units

BLOCK_BYTES = 512


def by_document(documents: int) -> bool:
    """Whether documents are the blocks of a test: wherever there are several, even two. One text is cut into blocks of bytes."""
    return documents > 1


def sizes_of(documents: Sequence[int]) -> np.ndarray:
    """(K,) bytes of each block of a test whose documents have so many."""
    if by_document(len(documents)):
        return np.asarray(documents, np.int64)
    size = sum(documents)
    return np.minimum(BLOCK_BYTES, size - BLOCK_BYTES * np.arange(-(-size // BLOCK_BYTES)))


def blocks_of(losses: np.ndarray, lengths: np.ndarray, blocks: int, documents: Sequence[int] = ()) -> np.ndarray:
    """(K, 3) nats, tokens and bytes of each block, from the nats of each token but the first (N - 1,), and the bytes of all (N,).

    ``documents``: how many tokens each has, where they are the blocks (see `by_document`). A token belongs to the block in which it
    begins, so that a long one may leave the next block with nothing.
    """
    if len(documents):
        block = np.repeat(np.arange(len(documents)), documents)[1:]
    else:
        block = (np.cumsum(lengths)[:-1] // BLOCK_BYTES).astype(np.int64)
    sums = (np.bincount(block, values, blocks) for values in (losses, np.ones(len(block)), lengths[1:]))
    return np.stack(list(sums), 1)


def units_of(blocks: int, documents: int, whole: bool) -> Units:
    """What is resampled of a test of so many documents. ``whole``: whether it is whole ones, not a piece of one long text."""
    if by_document(documents):
        return Units("document", blocks)
    if whole:
        return Units("document", blocks, np.zeros(blocks, np.int64))
    note = f"the test is one text, so its blocks of {BLOCK_BYTES} bytes are resampled as if independent"
    return Units("block", blocks, None, note)


def unlearnt_blocks(documents: Sequence[str], blocks: int, sample: LearntRows) -> np.ndarray:
    """(K,) bool: the blocks of which a version has learnt at most half of the sampled passages.

    ``documents`` are those of the test, one after the other, cut into blocks as `blocks_of` does. A block without a sampled passage
    is not used, unless many passages are sampled and none of them was learnt.
    """
    count, matches = np.zeros(blocks), np.zeros(blocks)
    contents = [text.encode() for text in documents]
    whole = by_document(len(contents))
    start = 0
    for number, content in enumerate(contents):
        starts, hashes = shingles(content)
        at = np.full(len(starts), number) if whole else (start + starts) // BLOCK_BYTES
        at, in_sample = at.clip(max=blocks - 1), sample.covers(hashes)
        np.add.at(count, at[in_sample], 1)
        np.add.at(matches, at[in_sample & sample.contains(hashes)], 1)
        start += len(content)
    if not matches.any() and (sample.whole or count.sum() >= ENOUGH):
        return np.ones(blocks, bool)
    return (matches <= count / 2) & (count > 0)
