"""Questions to a bank, each of one of 77 intents: 10,003 training and 3,080 test rows.

Casanueva et al. 2020, "Efficient Intent Detection with Dual Sentence Encoders" (arXiv:2003.04807), CC BY 4.0.
"""

from __future__ import annotations

from headway.data.datasets import Dataset
from headway.data.fetch import File, pinned

REPOSITORY = "PolyAI-LDN/task-specific-datasets"
COMMIT = "57ec275d8078af65b7731c2a98be812d844a6d6b"

DATASET = Dataset(
    files=(
        File(
            "banking77/test.csv",
            pinned(REPOSITORY, COMMIT, "banking_data/test.csv"),
            "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
        ),
        File(
            "banking77/train.csv",
            pinned(REPOSITORY, COMMIT, "banking_data/train.csv"),
            "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
        ),
    ),
)
