"""The target as a recipe has it learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headway.data.config import SPLITS
from headway.data.store import Store
from headway.tasks import Objective, Target


def target_of(store: Store, objective: Objective) -> Target:
    """The store's target with what is minimised, fitted to the training rows.

    Raises DataError where a row of any part has a value that the loss or the scale cannot have.
    """
    target = store.preparation.target
    if objective.is_plain:
        return target
    values = {split: np.asarray(store.arrays(split)["target"]) for split in SPLITS}
    objective.refuse_unfit(np.concatenate(list(values.values())))
    return replace(target, objective=objective.fitted(values["train"]))
