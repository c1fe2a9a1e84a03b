"""The model that `init` proposes."""

from __future__ import annotations

from headway.columns import column_type
from headway.draft.plan import Plan
from headway.models.ensemble import Ensemble
from headway.models.linear import Linear
from headway.models.mlp import MLP

MOST_CLASSES = 50
"""Trees grow for each class: with 151 classes, 34 of each took eleven minutes."""


def propose_model(plan: Plan, classes: int) -> None:
    """By the columns alone, and by the number of classes, 0 for a number to predict."""
    texts = [name for name, kind in plan.features.items() if column_type(kind).linear_suits]
    if len(texts) == len(plan.features):
        name, reason = Linear().name, "of the words and runs of letters of each text"
    elif classes > MOST_CLASSES and texts:
        name, reason = Linear().name, f"reads texts well; trees would grow for each of {classes} classes"
    elif classes > MOST_CLASSES:
        name, reason = MLP().name, f"a network, since trees grow for each class and there are {classes}"
    else:
        name = Ensemble().name
        reason = "boosted trees, and a linear model beside them where it helps; mlp and tabm are networks"
    plan.model, plan.why["model"] = name, reason
