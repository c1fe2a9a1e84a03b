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
    if all(column_type(kind).linear_suits for kind in plan.features.values()):
        name, reason = Linear().name, "of the words and runs of letters of each text"
    elif classes > MOST_CLASSES and any(column_type(kind).linear_suits for kind in plan.features.values()):
        name = Linear().name
        reason = (
            f"of the words and runs of letters of each text, since trees grow for each class and there are {classes}"
        )
    elif classes > MOST_CLASSES:
        name, reason = MLP().name, f"a network, since trees grow for each class and there are {classes}"
    else:
        name, reason = (
            Ensemble().name,
            "boosted trees, and a linear model beside them where it helps; mlp and tabm are networks",
        )
    plan.model, plan.why["model"] = name, reason
