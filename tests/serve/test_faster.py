"""Faster prediction: what each way computes, and that only one that pays is taken."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from headway.errors import ConfigError
from headway.serve import faster
from headway.serve.bundle import Predictor
from headway.serve.faster import Trial, fastest, hastened
from headway.tasks import Target
from tests.serve.bundles import CLASSES, VALUE, bundle_of, rows


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor.load(bundle_of(tmp_path / "bundle", CLASSES))


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # torch's own, of its compiler's imports
def test_compiled_predictions_are_the_plain_ones_for_any_number_of_rows(predictor: Predictor) -> None:
    compiled = hastened(predictor, "compiled")
    for n in (64, 9000, 1, 17):
        np.testing.assert_allclose(compiled.predict(rows(n, n)), predictor.predict(rows(n, n)), rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
@pytest.mark.parametrize("target", [CLASSES, VALUE])
def test_int8_predictions_are_near_but_not_the_same(tmp_path: Path, target: Target) -> None:
    plain = Predictor.load(bundle_of(tmp_path / "bundle", target))
    truth, predictions = plain.predict(rows(200, 1)), hastened(plain, "int8").predict(rows(200, 1))
    spread = 1.0 if target is CLASSES else VALUE.std
    assert 0 < np.abs(predictions - truth).max() < 0.02 * spread
    np.testing.assert_array_equal(plain.predict(rows(200, 1)), truth)  # the plain network is left as it was


def test_without_a_compiler_or_torchao_the_reason_is_told(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.train.step.has_compiler", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    choice, trials = fastest(predictor, rows(50, 0), repeats=1)
    assert choice is predictor
    assert [(t.way, t.seconds is None) for t in trials] == [("plain", False), *((w, True) for w in faster.WAYS)]
    assert "but there is none; install g++" in str(trials[1].problem)
    assert "needs the package torchao" in str(trials[2].problem)


def pretend(monkeypatch: pytest.MonkeyPatch, costs: dict[str, float], moves: dict[str, float]) -> tuple[object, ...]:
    """Ways whose predictions cost and move what they are told to, on a clock that only they advance."""
    now = [0.0]

    class Pretended(Predictor):
        way = "plain"

        def predict(self, batch: object) -> np.ndarray:  # pyrefly: ignore
            now[0] += costs[self.way]
            return np.full((4, 2), 0.5 + moves.get(self.way, 0.0))

    def make(way: str) -> Pretended:
        predictor = Pretended(None, None, None)  # pyrefly: ignore
        object.__setattr__(predictor, "way", way)
        return predictor

    monkeypatch.setattr(faster, "hastened", lambda _predictor, way: make(way))
    return make("plain"), lambda: now[0]


@pytest.mark.parametrize(
    ("costs", "moves", "truth"),
    [
        ({"compiled": 0.5, "int8": 9.0, "int8 compiled": 0.8}, {}, "compiled"),
        ({"compiled": 0.97, "int8": 9.0, "int8 compiled": 2.0}, {}, "plain"),
        ({"compiled": 0.5, "int8": 0.3, "int8 compiled": 0.2}, {"int8": 0.001, "int8 compiled": 0.05}, "int8"),
    ],
)
def test_the_fastest_within_the_tolerance_is_taken(
    monkeypatch: pytest.MonkeyPatch, costs: dict[str, float], moves: dict[str, float], truth: str
) -> None:
    plain, clock = pretend(monkeypatch, {"plain": 1.0, **costs}, moves)
    choice, trials = fastest(plain, rows(4, 0), clock=clock)  # pyrefly: ignore
    assert choice.way == truth  # pyrefly: ignore
    assert {t.way: t.seconds for t in trials} == pytest.approx({"plain": 1.0, **costs})
    assert {t.way: t.apart for t in trials if t.apart} == pytest.approx(moves)


def test_trees_are_refused() -> None:
    trees = lightgbm.Booster.__new__(lightgbm.Booster)
    with pytest.raises(ConfigError, match="needs a network, but this bundle holds trees"):
        hastened(Predictor(None, None, trees), "compiled")  # pyrefly: ignore
    assert Trial("plain", 1.0, 0.0).problem is None
