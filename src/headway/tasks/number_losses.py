"""The losses of numbers, elementwise, up to terms without the outputs.

With a log link an output is the logarithm of the expected value, so that no prediction is negative.

Shapes: any, the same for outputs and target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.tasks.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor


def losses(objective: Objective, outputs: Tensor, target: Tensor) -> Tensor:
    """The loss of each output."""
    from torch.nn import functional

    match objective.loss:
        case "mae":
            return (outputs - target).abs()
        case "huber":
            return functional.huber_loss(outputs, target, reduction="none", delta=objective.delta)
        case "quantile":
            above = target - outputs
            return (objective.quantile * above).maximum((objective.quantile - 1) * above)
        case "poisson":
            return outputs.exp() - target * outputs
        case "gamma":
            return outputs + target * (-outputs).exp()
        case "tweedie":
            p = objective.power
            return ((2 - p) * outputs).exp() / (2 - p) - target * ((1 - p) * outputs).exp() / (1 - p)
        case _:
            return functional.mse_loss(outputs, target, reduction="none")
