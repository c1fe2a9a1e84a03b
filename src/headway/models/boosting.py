"""Gradient-boosted trees by LightGBM: hard to beat on tables, and the measure that a network must meet.

Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree". Kept in LightGBM's own text format.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from headway.data.inputs import Inputs
from headway.data.sparse import sparse
from headway.errors import TrainingError
from headway.models.base import Estimator, ModelConfig
from headway.models.contributions import Contributions
from headway.tasks import Target, TargetTask

if TYPE_CHECKING:
    import lightgbm

    from headway.data.prepared_rows import PreparedRows

Arrays = Mapping[str, np.ndarray]

TEXT_COLUMNS = 512
"""The n-grams that trees are given, those that tell most of the target. Of 12 intents of banking77 beside two numbers, the accuracy is .806
with 64 words' flags, .874 with 256 n-grams and .910 with 1024; where a text hardly tells the target, as in loans, more only take time."""

TREES = "model.txt"
"""LightGBM's text, in a bundle."""

NGRAM = "ngram_"
"""Begins the name of the feature that an n-gram is, before its number: so the trees' own file says which n-grams they read."""


class Boosting(ModelConfig):
    """Gradient-boosted trees, with a fit of their own."""

    is_network: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ("lightgbm",)
    compares_rows: ClassVar[bool] = False
    title: ClassVar[str] = "LightGBM"

    name: Literal["boosting"] = "boosting"
    trees: int = Field(2000, ge=1, le=100_000, description="The most trees; early stopping ends with fewer.")
    learning_rate: float = Field(0.04, gt=0, le=1, description="Weight of each new tree.")
    leaves: int = Field(31, ge=2, le=131_072, description="The most leaves of a tree.")
    min_leaf: int = Field(20, ge=1, description="The fewest rows in a leaf.")
    columns: float = Field(0.8, gt=0, le=1, description="Share of the columns that each tree may use.")
    rows: float = Field(0.9, gt=0, le=1, description="Share of the rows that each tree sees.")
    l2: float = Field(1.0, ge=0, description="L2 penalty on leaf values.")
    text: Literal["ngrams", "words"] = Field(
        "ngrams",
        description="How a text column enters: as the weights of those of its words and runs of letters that separate best, "
        "or as a 0/1 column for each of some words.",
    )

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    def fit(
        self,
        inputs: Inputs,
        train: Arrays,
        validation: Arrays,
        *,
        task: TargetTask,
        seed: int,
        patience: int,
        threads: int,
        on_tree: Callable[[int, float, float], int | None],
        texts: Sequence[Any] = (None, None),
        ngrams: Sequence[int] | None = None,
    ) -> lightgbm.Booster:
        """Fit with early stopping. ``on_tree(tree, training loss, validation loss)`` is called after every tree and may return
        another number of threads for the next ones: 1, or ``threads``. The trees are the same with either.

        Arrays hold ``numeric`` (N, F), ``categorical`` (N, C) and ``target`` (N,): class codes, or numbers; ``weight`` (N,) where rows
        do not count the same. ``texts``: the n-grams of both, (N, G) sparse; None where no column becomes them.
        ``ngrams``: those of them that are features, by default the ones that tell most of the training rows' target.
        """
        lgb = load_lightgbm()
        columns = telling_ngrams(task, texts[0], train) if ngrams is None else list(ngrams)
        sets = [_dataset(inputs, part, some, columns) for part, some in zip((train, validation), texts, strict=True)]
        sets[1].reference = sets[0]
        metric = task.lightgbm(inputs.outputs)[1]

        def report(env: lightgbm.callback.CallbackEnv) -> None:
            losses = {item[0]: float(item[2]) for item in env.evaluation_result_list or []}
            count = on_tree(env.iteration + 1, losses["train"], losses["validation"])
            if count is not None:
                teams.allow(count > 1)

        with Teams() as teams:
            return lgb.train(
                self._parameters(task, inputs.outputs, seed, threads),
                sets[0],
                num_boost_round=self.trees,
                valid_sets=sets,
                valid_names=["train", "validation"],
                feval=None if isinstance(metric, str) else metric,
                callbacks=[lgb.early_stopping(patience, verbose=False), report],
            )

    def _parameters(self, task: TargetTask, outputs: int, seed: int, threads: int) -> dict[str, object]:
        """LightGBM's."""
        objective, metric = task.lightgbm(outputs)
        return {
            "objective": objective,
            "metric": metric if isinstance(metric, str) else "None",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.min_leaf,
            "feature_fraction": self.columns,
            "bagging_fraction": self.rows,
            "bagging_freq": 1,
            "lambda_l2": self.l2,
            "max_cat_to_onehot": 8,
            "cat_smooth": 20,
            "seed": seed,
            "num_threads": threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            **task.lightgbm_options(outputs),
        }

    def load(self, folder: Path, inputs: Inputs) -> Trees:
        del inputs
        return Trees(load_trees((folder / TREES).read_text()))

    def contributions(
        self,
        model: Trees,
        inputs: Inputs,
        rows: PreparedRows,
        others: PreparedRows,
        target: Target,
        which: np.ndarray,
    ) -> Contributions:
        """TreeSHAP (Lundberg et al. 2020, arXiv:1905.04610), LightGBM's own, beside the training rows that its trees count."""
        del others
        texts = sparse(rows.ragged, inputs.tokens)
        columns = [] if texts is None else _text_columns(model.booster)
        x = features(rows.arrays, texts, columns)
        parts = np.asarray(model.booster.predict(x.toarray() if columns else x, pred_contrib=True), np.float64)
        if inputs.outputs <= 2:
            center, spread = target.learner.trees_standard(target)
            base, own = parts[:, -1] * spread + center, parts[:, :-1] * spread
        else:
            import torch

            by_class = parts.reshape(len(parts), inputs.outputs, -1).transpose(0, 2, 1).reshape(-1, inputs.outputs)
            margins = target.learner.margins(target, torch.from_numpy(np.ascontiguousarray(by_class))).numpy()
            of_class = margins.reshape(len(parts), -1, inputs.outputs)[np.arange(len(parts)), :, which]
            base, own = of_class[:, -1], of_class[:, :-1]
        plain = inputs.numeric + len(inputs.categorical)
        text_of = np.searchsorted(np.cumsum(inputs.tokens), columns, side="right")
        of_texts = [own[:, plain:][:, text_of == text].sum(1) for text in range(len(inputs.tokens))]
        return Contributions(np.column_stack([own[:, :plain], *of_texts]), base)


def telling_ngrams(task: TargetTask, texts: Any, rows: Arrays) -> list[int]:
    """The n-grams of some rows' ``texts`` (N, G) that trees are given; none where there are no texts."""
    return [] if texts is None else task.telling(texts, np.asarray(rows["target"]), TEXT_COLUMNS).tolist()


@dataclass(frozen=True)
class Trees(Estimator):
    """Trained trees."""

    booster: lightgbm.Booster

    def predict(self, arrays: Arrays, inputs: Inputs, target: Target, texts: Any = None) -> np.ndarray:
        return target.learner.of_trees(target, predict(self.booster, arrays, inputs, texts))


def _dataset(inputs: Inputs, part: Arrays, texts: Any, columns: Sequence[int]) -> lightgbm.Dataset:
    """Rows as LightGBM takes them; ``columns``: of the n-grams of ``texts``, those that become features, with their names."""
    plain = [f"Column_{i}" for i in range(inputs.numeric + len(inputs.categorical))]
    return load_lightgbm().Dataset(
        features(part, texts, columns),
        np.asarray(part["target"]),
        weight=part.get("weight"),
        feature_name=[*plain, *(f"{NGRAM}{n}" for n in columns)] if columns else "auto",
        categorical_feature=list(range(inputs.numeric, len(plain))),
        free_raw_data=True,
    )


class Teams:
    """Switches between one thread and LightGBM's team of `num_threads` while trees grow; the team comes back when the block ends.

    LightGBM sizes its buffers for `num_threads` when it begins and keeps to it: `LGBM_SetMaxThreads` and a reset of the parameter
    reach only some of its loops. So OpenMP itself is set to allow no team: loops, blocks and sums stay the same, and so do the trees.
    """

    def __init__(self) -> None:
        library = load_lightgbm().basic._LIB  # and with it the OpenMP library that it is linked to
        self._set = getattr(library, "omp_set_max_active_levels", None)
        self._levels = library.omp_get_max_active_levels() if self._set is not None else 0

    def allow(self, team: bool) -> None:
        """From the next tree on, in this thread of the process. Does nothing where the OpenMP library cannot be reached (Windows)."""
        if self._set is not None:
            self._set(self._levels if team else 0)

    def __enter__(self) -> Teams:
        return self

    def __exit__(self, *_: object) -> None:
        self.allow(True)


def load_lightgbm():
    """LightGBM, after torch, whose OpenMP library it can share. Raises TrainingError where neither has one."""
    import torch  # noqa: F401 - brings libgomp

    return _lightgbm()


def load_trees(text: str) -> lightgbm.Booster:
    """Trees that were kept as LightGBM's text, to predict with. Raises TrainingError where there is no OpenMP library."""
    return load_lightgbm_alone().Booster(model_str=text)


def load_lightgbm_alone():
    """As `load_lightgbm`; torch, whose import takes 1.5 s of a core, only where the system itself has no OpenMP library."""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return load_lightgbm()
    return _lightgbm()


def _lightgbm():
    try:
        import lightgbm
    except OSError as error:
        raise TrainingError(
            f"boosting needs the OpenMP library, but it is missing ({error}); install the package libgomp1"
        ) from None
    return lightgbm


def features(arrays: Arrays, texts: Any = None, columns: Sequence[int] = ()) -> Any:
    """(N, F + C + M) float32: numbers, codes (exact up to 2^24), these ``columns`` of the n-grams of ``texts``; sparse with them."""
    plain = np.concatenate([arrays["numeric"], arrays["categorical"].astype(np.float32)], axis=1)
    if not columns:
        return plain
    import scipy.sparse

    return scipy.sparse.hstack([scipy.sparse.csr_matrix(plain), texts[:, columns]], format="csr")


def mean_of(boosters: Sequence[lightgbm.Booster], trees: Sequence[int]) -> lightgbm.Booster:
    """One booster whose outputs are the mean of these, each with so many ``trees``: all of them, and their leaf values divided."""
    lgb = load_lightgbm()
    library, check = lgb.basic._LIB, lgb.basic._safe_call
    merged, *others = (
        lgb.Booster(model_str=one.model_to_string(num_iteration=count))
        for one, count in zip(boosters, trees, strict=True)
    )
    for other in others:
        check(library.LGBM_BoosterMerge(merged._handle, other._handle))  # of LightGBM's C API; Python's has none
    if others:
        leaves = re.findall(r"^num_leaves=(\d+)$", merged.model_to_string(), re.MULTILINE)
        for tree, count in enumerate(map(int, leaves)):
            for leaf in range(count):
                merged.set_leaf_output(tree, leaf, merged.get_leaf_output(tree, leaf) / len(boosters))
    return merged


def predict(booster: lightgbm.Booster, arrays: Arrays, inputs: Inputs, texts: Any = None) -> np.ndarray:
    """(N, classes) float32 probabilities, or (N,) values for one output. ``texts``: as in `Boosting.fit`."""
    raw = np.asarray(
        booster.predict(features(arrays, texts, [] if texts is None else _text_columns(booster))), np.float32
    )
    return np.stack([1 - raw, raw], 1) if inputs.outputs == 2 else raw


def _text_columns(booster: lightgbm.Booster) -> list[int]:
    """The numbers of the n-grams that its trees read."""
    return [int(name.removeprefix(NGRAM)) for name in booster.feature_name() if name.startswith(NGRAM)]
