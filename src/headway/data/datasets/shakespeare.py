"""The works of Shakespeare in one file of 1.1 MB, as A. Karpathy's char-rnn and nanoGPT use them: one document."""

from __future__ import annotations

from headway.data.datasets import Dataset
from headway.data.fetch import File, pinned
from headway.data.naming import below

DATASET = Dataset(
    files=(
        File(
            "tinyshakespeare/input.txt",
            pinned("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e", "data/tinyshakespeare/input.txt"),
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
    ),
    clean=below(""),
    format="text",
)
