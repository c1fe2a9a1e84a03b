"""One network as three users without Headway would have it, from a pandas frame to the probability of the second class.

Shapes: N rows, F numbers, C categorical columns, V codes of a column.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from headway.columns.category import FIRST_CODE, MISSING, UNKNOWN

NUMBERS = tuple(f"n{i}" for i in range(80))
CATEGORIES = tuple(f"c{i}" for i in range(20))
VALUES = tuple(f"v{code}" for code in range(25))
CODES = FIRST_CODE + len(VALUES)

Predict = Callable[[pd.DataFrame], np.ndarray]


class Anchors:
    """Three anchors with the weights of ``network``, each with so many threads; ``folder`` keeps their files."""

    def __init__(self, network: nn.Module, folder: Path, threads: int) -> None:
        self._network, self._folder, self._threads = network, folder, threads
        self._linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]

    def by_name(self) -> dict[str, Predict]:
        """What each is called, and how it predicts."""
        return {
            "plain mlflow.pytorch": self._mlflow_pytorch(),
            "scikit-learn pipeline": self._scikit_learn(),
            "ONNX Runtime": self._onnx_runtime(),
        }

    def _mlflow_pytorch(self) -> Predict:
        """`mlflow.pytorch.save_model`, loaded as a pyfunc, on rows that pandas has prepared."""
        import mlflow.pyfunc
        import mlflow.pytorch

        path = str(self._folder / "pytorch")
        example = np.zeros((4, len(NUMBERS) + len(CATEGORIES)), np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pytorch.save_model(OneInput(self._network), path, input_example=example)
            model = mlflow.pyfunc.load_model(path)

        def predict(frame: pd.DataFrame) -> np.ndarray:
            numbers, codes = prepared(frame)
            return _second(model.predict(np.concatenate([numbers, codes.astype(np.float32)], 1)))

        return predict

    def _scikit_learn(self) -> Predict:
        """Imputing, scaling and one-hot columns by a ColumnTransformer, and an MLPClassifier with the network's weights."""
        from sklearn.compose import ColumnTransformer
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.impute import SimpleImputer
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        categories = [np.array(["missing", *VALUES], object)] * len(CATEGORIES)
        encode = OneHotEncoder(categories=categories, handle_unknown="ignore", dtype=np.float32)
        words = make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), encode)
        columns = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(strategy="mean"), StandardScaler()), list(NUMBERS)),
                ("words", words, list(CATEGORIES)),
            ]
        )
        pipeline = make_pipeline(columns, MLPClassifier([layer.out_features for layer in self._linear[:-1]]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipeline.set_params(mlpclassifier__max_iter=1).fit(_symmetric(), [0, 1])
        self._give_weights(pipeline[-1])

        def predict(frame: pd.DataFrame) -> np.ndarray:
            with threadpool_limits(self._threads):
                return pipeline.predict_proba(frame)[:, 1]

        return predict

    def _give_weights(self, classifier: object) -> None:
        """Without the code of the unknown, which is no column in scikit-learn; one logit is the difference of our two."""
        weights = [layer.weight.detach().numpy().T for layer in self._linear]
        biases = [layer.bias.detach().numpy() for layer in self._linear]
        is_used = np.ones(len(weights[0]), bool)
        is_used[len(NUMBERS) + UNKNOWN :: CODES] = False
        weights[0] = weights[0][is_used]
        weights[-1], biases[-1] = weights[-1][:, 1:] - weights[-1][:, :1], biases[-1][1:] - biases[-1][:1]
        vars(classifier).update(coefs_=weights, intercepts_=biases)

    def _onnx_runtime(self) -> Predict:
        """The network's graph, written with onnx's own helper, on rows that pandas has prepared."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        graph = onnx_graph([(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in self._linear])
        session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])

        def predict(frame: pd.DataFrame) -> np.ndarray:
            numbers, codes = prepared(frame)
            return session.run(None, {"numbers": numbers, "codes": codes})[0][:, 1]

        return predict


def prepared(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Scaled numbers (N, F) float32 and codes (N, C) int64, as pandas does them. The numbers' mean is 0, their spread 1."""
    numbers = (frame[list(NUMBERS)].fillna(0.0) - 0.0) / 1.0
    codes = np.empty((len(frame), len(CATEGORIES)), np.int64)
    for i, name in enumerate(CATEGORIES):
        column = frame[name]
        place = pd.Index(VALUES).get_indexer(pd.Index(column))
        codes[:, i] = np.where(place >= 0, place + FIRST_CODE, np.where(column.isna(), MISSING, UNKNOWN))
    return numbers.to_numpy(np.float32), codes


class OneInput(nn.Module):
    """The network on one tensor (N, F + C), which is what MLflow's PyTorch flavour hands on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, rows: Tensor) -> Tensor:
        return self.network(numeric=rows[:, : len(NUMBERS)], categorical=rows[:, len(NUMBERS) :].long())


def _second(logits: np.ndarray) -> np.ndarray:
    """The softmax's second column."""
    return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


def _symmetric() -> pd.DataFrame:
    """Two rows whose numbers have mean 0 and spread 1, for scikit-learn to be fitted on."""
    frame = pd.DataFrame({name: [-1.0, 1.0] for name in NUMBERS})
    return frame.assign(**{name: pd.Series(["v0", "v1"], dtype=object) for name in CATEGORIES})


def onnx_graph(layers: list[tuple[np.ndarray, np.ndarray]]) -> bytes:
    """One-hot columns beside numbers, then linear layers with ReLU between them, then the softmax."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {
        "depth": np.array(CODES, np.int64),
        "off_on": np.array([0, 1], np.float32),
        "shape": np.array([-1, CODES * len(CATEGORIES)], np.int64),
    }
    nodes = [
        helper.make_node("OneHot", ["codes", "depth", "off_on"], ["hot"], axis=-1),
        helper.make_node("Reshape", ["hot", "shape"], ["flat"]),
        helper.make_node("Concat", ["numbers", "flat"], ["h0"], axis=1),
    ]
    for i, (weight, bias) in enumerate(layers):
        constants |= {f"w{i}": weight, f"b{i}": bias}
        nodes.append(helper.make_node("Gemm", [f"h{i}", f"w{i}", f"b{i}"], [f"z{i}"], transB=1))
        last = i == len(layers) - 1
        nodes.append(helper.make_node("Softmax" if last else "Relu", [f"z{i}"], ["shares" if last else f"h{i + 1}"]))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [
            helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", len(NUMBERS)]),
            helper.make_tensor_value_info("codes", TensorProto.INT64, ["N", len(CATEGORIES)]),
        ],
        [helper.make_tensor_value_info("shares", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()
