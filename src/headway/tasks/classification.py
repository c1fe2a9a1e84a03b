"""Two classes or more: cross-entropy on logits, softmax to probabilities.

Shapes: N rows, B batch, K members, O classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.summary import Summary
from headway.errors import ConfigError, DataError
from headway.tasks.base import Answered, Target, TargetTask
from headway.tasks.class_metrics import METRICS
from headway.tasks.focal import for_trees, losses_of, probabilities
from headway.tasks.metric import Metric
from headway.tasks.objective import PLAIN, Objective, weighted_mean
from headway.tasks.proposal import Problem
from headway.tasks.shallow import Weights

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

MAX_CLASSES = 1000

RARE = 0.05
"""The share of the positive class below which average precision decides where no metric is stated."""

NEVER = -1e4
"""The logit of a class that training lacks: a probability of zero."""


LEAST = 1e-9
"""Of probabilities whose logarithms are averaged: a class that one model deems impossible is not impossible for both."""


class Classification(TargetTask):
    """Class codes and cross-entropy."""

    kind = "categorical"
    dtype = np.dtype(np.int64)
    has_classes = True
    stratified = True
    losses = ("auto", "cross_entropy", "focal")
    metrics: ClassVar[tuple[Metric, ...]] = METRICS

    def __init__(self, objective: Objective = PLAIN) -> None:
        self.objective = objective

    def minimising(self, objective: Objective) -> Self:
        return self if objective == self.objective or objective.is_plain else type(self)(objective)

    def problems(self, summary: Summary, positive: str | None) -> list[Problem]:
        name = summary.name
        if summary.distinct > MAX_CLASSES:
            text = f"the target {name} must have at most {MAX_CLASSES:,} classes, but it has {summary.distinct:,}"
            return [Problem("stop", f"{text}; is task: regression meant, or another column?")]
        classes = summary.counts or {}
        if positive is not None and positive not in classes:
            text = f"data.positive must be a class of {name}, but {positive} is none of {', '.join(classes)[:200]}"
            return [Problem("stop", text)]
        rare = tuple(value for value, count in classes.items() if count < 3)
        if rare:
            listing = ", ".join(rare[:5]) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
            verb = "has" if len(rare) == 1 else "have"
            text = (
                f"every class of {name} should have rows to train, validate and test on, but {listing} {verb} under 3"
            )
            return [Problem("warn", text, rare[:5])]
        return []

    def fit(self, summary: Summary, positive: str | None) -> Target:
        """Its classes in alphabetical order, the positive one last."""
        name, classes = summary.name, sorted(summary.counts or {})
        if len(classes) < 2:
            raise DataError(f"the target {name} must have two classes, but the training rows have {len(classes)}")
        if positive is not None:
            if positive not in classes:
                raise ConfigError(
                    f"data.positive must be a class of {name}, but is {positive!r} and the classes are "
                    f"{', '.join(classes[:10])}"
                )
            classes = [c for c in classes if c != positive] + [positive]
        return Target(name, "classification", tuple(classes))

    def outputs(self, target: Target) -> int:
        return len(target.classes)

    def encode(self, target: Target, column: pa.Array) -> np.ndarray:
        """(B,) codes, -1 for a class unknown in training."""
        return pc.fill_null(pc.index_in(column, value_set=pa.array(target.classes)), -1).to_numpy().astype(np.int64)

    def unlearnt(self, target: Target, values: np.ndarray) -> np.ndarray:
        del target
        return values < 0

    def remark(self, target: Target, values: np.ndarray) -> str:
        """The share of the event."""
        if len(target.classes) != 2:
            return ""
        share = float(np.mean(values == 1))
        return f"{target.classes[1]} is {100 * share:.3g} % of the training rows"

    def training_target(self, target: Target, values: np.ndarray) -> np.ndarray:
        del target
        return np.array(values, np.int64)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float = 0.0, weight: Tensor | None = None) -> Tensor:
        from torch.nn import functional

        if outputs.ndim == 3:
            target = target.repeat_interleave(outputs.shape[1])
            weight = None if weight is None else weight.repeat_interleave(outputs.shape[1])
            outputs = outputs.flatten(0, 1)
        outputs = outputs if outputs.element_size() == 8 else outputs.float()
        if self.objective.is_plain and weight is None:
            return functional.cross_entropy(outputs, target, label_smoothing=smoothing)
        each = functional.cross_entropy(outputs, target, reduction="none", label_smoothing=smoothing)
        each = each if self.objective.is_plain else losses_of(-each, self.objective.gamma)
        return each.mean() if weight is None else (each * weight).mean()

    def decode(self, outputs: Tensor) -> Tensor:
        probabilities = outputs.float().softmax(-1)
        return probabilities.mean(1) if probabilities.ndim == 3 else probabilities

    def score(self, decoded: Tensor, target: Tensor, weight: Tensor | None = None) -> float:
        logs = decoded.gather(1, target[:, None]).clamp_min(1e-12).log()
        if self.objective.is_plain and weight is None:
            return float(-logs.mean())
        logs = logs[:, 0]
        return float(weighted_mean(-logs if self.objective.is_plain else losses_of(logs, self.objective.gamma), weight))

    def finish(self, target: Target, decoded: np.ndarray) -> np.ndarray:
        del target
        return decoded.astype(np.float32)

    def criterion(self, outputs: int) -> Metric:
        """The log loss for any number of classes: ranks alone do not say whether the probabilities are right."""
        del outputs
        return self.metric("log_loss")

    def lightgbm(self, outputs: int) -> tuple[str | Callable[..., Any], str | Callable[..., Any]]:
        if not self.objective.is_plain:
            return for_trees(self.objective.gamma)
        return ("binary", "binary_logloss") if outputs == 2 else ("multiclass", "multi_logloss")

    def lightgbm_options(self, outputs: int) -> Mapping[str, float]:
        """Of two classes trees give one score, of more one for each."""
        return {"num_class": outputs} if outputs > 2 else {}

    def of_trees(self, target: Target, values: np.ndarray) -> np.ndarray:
        """With a loss of ours LightGBM gives scores; of two classes, (N, 2), in the second column."""
        del target
        if self.objective.is_plain:
            return values
        return probabilities(values[:, 1] if values.shape[1] == 2 else values).astype(np.float32)

    def solve_linear(
        self, x: Any, target: np.ndarray, outputs: int, l2: float, weights: np.ndarray | None = None
    ) -> Weights:
        """Logistic regression."""
        from sklearn.linear_model import LogisticRegression

        slopes, bias = np.zeros((x.shape[1], outputs)), np.full(outputs, NEVER)
        if len(np.unique(target)) < 2:
            bias[int(target[0])] = 0.0
            return slopes, bias
        model = LogisticRegression(C=1 / l2, max_iter=5000).fit(x, target, weights)
        if len(model.classes_) == 2:  # one score: the second class against the first
            slopes[:, model.classes_[1]], bias[model.classes_] = model.coef_[0], [0.0, model.intercept_[0]]
        else:
            slopes[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
        return slopes, bias

    def strengths(self, x: Any, target: np.ndarray) -> np.ndarray:
        """Chi-squared of the weights by class."""
        from sklearn.feature_selection import chi2

        return chi2(x, target)[0]

    def answer(self, target: Target, predictions: np.ndarray) -> pd.DataFrame:
        """`prediction`, and `probability_<class>` for each: a lone `probability` beside a label reads as that label's."""
        import pandas as pd

        codes = predictions.argmax(1)
        if target.threshold is not None:
            codes = (predictions[:, 1].astype(np.float64) >= target.threshold.value).astype(np.int64)
        labels = np.asarray(target.classes, object)[codes]
        frame = pd.DataFrame({"prediction": pd.Series(labels, dtype="str")})
        shares = (predictions[:, i].astype(np.float64) for i in range(len(target.classes)))
        return frame.assign(**dict(zip(_probabilities(target.classes), shares, strict=True)))

    def answered(self, classes: Sequence[str]) -> dict[str, Answered]:
        shares: dict[str, Answered] = dict.fromkeys(_probabilities(classes), "double")
        return {"prediction": "string", **shares}

    def no_predictions(self, outputs: int) -> np.ndarray:
        return np.zeros((0, outputs), np.float32)

    def margins(self, target: Target, outputs: Tensor) -> Tensor:
        """How far a class's log probability is above the mean of the others': of two classes the log-odds of the second, alone."""
        del target
        logs = outputs.log_softmax(-1)
        logs = logs.logsumexp(1) if logs.ndim == 3 else logs  # the members' probabilities are averaged
        others = (logs.sum(-1, keepdim=True) - logs) / (logs.shape[-1] - 1)
        margins = logs - others
        return margins[:, 1:] if margins.shape[-1] == 2 else margins

    def margin_names(self, target: Target) -> tuple[str, ...]:
        names = target.classes[1:] if len(target.classes) == 2 else target.classes
        return tuple(f"log-odds of {name}" for name in names)

    def explained(self, predictions: np.ndarray) -> np.ndarray:
        """Of two classes the second, of more the likeliest."""
        return super().explained(predictions) if predictions.shape[1] == 2 else predictions.argmax(1)

    def default_metric(self, classes: int) -> str:
        return "auc" if classes == 2 else "log_loss"

    def leading_metric(self, classes: int, target: np.ndarray) -> str:
        """Of a rare event average precision: an AUC of .95 can stand for one hit in ten alarms."""
        rare = classes == 2 and 0 < np.mean(target == 1) < RARE
        return "average_precision" if rare else self.default_metric(classes)

    def pictures(self, classes: Sequence[str], target: np.ndarray) -> tuple[str, ...]:
        both = len(classes) == 2 and len(np.unique(target)) == 2
        return ("confusion", "roc", "precision_recall", "calibration") if both else ("confusion",)

    def event(self, predictions: np.ndarray) -> np.ndarray | None:
        return predictions[:, 1] if predictions.shape[1] == 2 else None

    def is_one_score(self, outputs: int) -> bool:
        return outputs == 2

    def of_scores(self, scores: np.ndarray) -> np.ndarray:
        """(N, 2) from the probability of the positive class."""
        return np.stack([1 - scores, scores], 1)

    def trivial(self, target: np.ndarray, outputs: int, rows: int) -> np.ndarray:
        """Always the class shares."""
        shares = np.bincount(target, minlength=outputs) / len(target)
        return np.tile(shares.astype(np.float32), (rows, 1))

    def linear_predictions(self, outputs: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        return softmax(outputs, 1).astype(np.float32)

    def pooled(self, first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
        """The weighted mean of their log-odds (Genest and Zidek 1986, logarithmic pooling)."""
        from scipy.special import softmax

        logs = [np.log(np.clip(one.astype(np.float64), LEAST, None)) for one in (first, second)]
        return softmax((1 - share) * logs[0] + share * logs[1], 1).astype(np.float32)

    def boosted(
        self,
        x: np.ndarray,
        target: np.ndarray,
        z: np.ndarray,
        outputs: int,
        options: Mapping[str, Any],
        weights: np.ndarray | None = None,
    ) -> np.ndarray:
        from sklearn.ensemble import HistGradientBoostingClassifier

        # Early stopping sets rows of every class aside, so a class with a single row has to be left out.
        usable = np.bincount(target, minlength=outputs)[target] > 1
        present = len(np.unique(target[usable]))
        if present < 2:
            return self.trivial(target, outputs, len(z))
        if usable.sum() * options["validation_fraction"] <= present - 1:  # too few rows to set one of every class aside
            options = {**options, "early_stopping": False, "max_iter": min(100, options["max_iter"])}
        weights = None if weights is None else weights[usable]
        model = HistGradientBoostingClassifier(**options).fit(x[usable], target[usable], weights)
        predictions = np.zeros((len(z), outputs), np.float32)
        predictions[:, model.classes_] = model.predict_proba(z)
        return predictions

    def suits(self, distinct: int, numbers: np.ndarray | None) -> bool:
        """Texts, two values, or a few whole numbers."""
        if numbers is None or distinct == 2:
            return True
        return distinct <= 10 and bool((numbers == np.floor(numbers)).all())

    def why(self, distinct: str) -> str:
        return f"has {distinct}"


def _probabilities(classes: Iterable[str]) -> list[str]:
    """What the columns of probabilities are called, wherever rows are predicted."""
    return [f"probability_{name}" for name in classes]


TASK = Classification()
