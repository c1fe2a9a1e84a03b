"""Training on tokens, through the very process that trains tables."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from headway.columns.ragged import Ragged
from headway.columns.text import DocumentTokens
from headway.columns.tokenizer import Characters
from headway.data.arrays import GrowingRagged
from headway.data.config import SPLITS
from headway.data.inputs import Inputs
from headway.data.prepare import Preparation
from headway.data.store import Store
from headway.errors import ConfigError
from headway.files.atomic import read_json, write_json
from headway.models.gpt import GPT
from headway.run.directory import RunDirectory
from headway.run.result import Result
from headway.tasks import Target, language
from headway.train.language import LanguageWorkload
from headway.train.main import main
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe

CPU = torch.device("cpu")
FP32 = Arithmetic("fp32", CPU, "")
TOKENS: dict[str, int] = dict(zip(SPLITS, (4000, 500, 300), strict=True))
SMALL: dict[str, Any] = {"layers": 1, "heads": 2, "width": 16, "context": 16}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A text of eight tokens in which each is followed by one of two."""
    path, rng = tmp_path / "store", np.random.default_rng(0)
    tokens = DocumentTokens("text", Characters("abcdef").to_json(), ends=False)
    for split, count in TOKENS.items():
        (path / split).mkdir(parents=True)
        with GrowingRagged(path / split, "tokens_0", tokens.token_type) as growing:
            growing.append(Ragged.join([rng.integers(1, 3, count).cumsum() % 8], np.dtype(np.int64)))
    write_json(path / "preparation.json", Preparation((tokens,), Target("", "language")).to_json())
    write_json(path / "store.json", {"rows": dict.fromkeys(SPLITS, 1), "ragged": ["tokens_0"]})
    return path


def workload(store: Path, **model: Any) -> LanguageWorkload:
    return LanguageWorkload(Store(store), GPT(**{**SMALL, **model}))


def trained(root: Path, store: Path, name: str, model: dict[str, Any], train: dict[str, Any]) -> RunDirectory:
    settings = {
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 0.01,
        "threads": 1,
        "precision": "fp32",
        "device": "cpu",
        **train,
    }
    plan = {"project": {"name": "small", "model": {"name": "gpt", **SMALL, **model}, "train": settings}}
    run = RunDirectory.create(root / name, "small", plan)
    write_json(run.path / "store.json", {"path": str(store), "digest": "d"})
    assert main(str(run.path)) == 0
    return run


@pytest.mark.parametrize("tied", [False, True])
def test_a_text_is_learnt_to_its_entropy(tmp_path: Path, store: Path, tied: bool) -> None:
    run = trained(tmp_path, store, "a", {"tied": tied}, {})
    losses = np.load(run.predictions("test"))
    assert losses.shape == (TOKENS["test"] - 1,)
    assert math.log(2) - 0.03 < losses.mean() < math.log(2) + 0.1
    assert (run.result or Result()).unit == "tokens"
    network = GPT(**SMALL, tied=tied).build(Inputs(tokens=(8,)))
    network.load_state_dict(load_file(run.bundle / "weights.safetensors"))
    again = workload(store).predictions(network, FP32)["test"]
    np.testing.assert_allclose(again, losses, atol=1e-5)


def test_trained_twice_the_weights_are_the_same_and_the_journal_says_what_was_counted(
    tmp_path: Path, store: Path
) -> None:
    runs = [trained(tmp_path, store, name, {}, {"epochs": 2, "optimizer": "muon"}) for name in ("a", "b")]
    a, b = (load_file(run.bundle / "weights.safetensors") for run in runs)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert read_json(runs[0].path / "result.json")["steps"] == 2 * (TOKENS["train"] - 1) // (8 * 16)


def test_validation_is_the_mean_of_the_predictions_and_starts_at_chance(store: Path) -> None:
    texts = workload(store)
    network = texts.build()
    predicted = texts.predictions(network, FP32)
    assert {split: len(losses) for split, losses in predicted.items()} == {"validation": 499, "test": 299}
    assert texts.validate(network, FP32) == pytest.approx(predicted["validation"].mean(), abs=1e-6)
    assert texts.validate(network, FP32) == pytest.approx(math.log(8), abs=0.05)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_definition(smoothing: float) -> None:
    logits, target = torch.randn(3, 5, 7), torch.randint(0, 7, (3, 5))
    log_chances = logits.log_softmax(-1)
    shares = functional.one_hot(target, 7) * (1 - smoothing) + smoothing / 7
    truth = -(shares * log_chances).sum(-1).mean()
    torch.testing.assert_close(language.TASK.loss(logits, target, smoothing), truth)


def test_each_tokens_loss_is_what_one_window_gives(store: Path) -> None:
    texts, tokens = workload(store), Store(store).tokens("test").astype(np.int64)
    network = texts.build().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
        losses = texts.predictions(network, FP32)["test"]
        for start in (0, 8, 160):  # the second half of the window that starts here is scored in it
            window = torch.from_numpy(tokens[start : start + 17])[None]
            truth = functional.cross_entropy(network(tokens=window[:, :-1])[0], window[0, 1:], reduction="none")
            np.testing.assert_allclose(losses[start + 8 : start + 16], truth[8:].numpy(), atol=1e-5)


def test_what_does_not_fit_is_one_line(store: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be less than the 4,000 training tokens, but 250 times 16 is not"):
        workload(store).batches(Recipe(batch_size=250), CPU)
